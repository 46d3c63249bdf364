"""Tests of jobs with several steps: joined outputs, frozen arguments, failed steps and retries."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from fakes.job_schema import check_store
from fakes.media_files import frame_pixels
from fakes.tiny_clip import make_tiny_clip

from facefusion.options import describe
from facefusion.processors.registry import REGISTRATIONS
from facefusion.steps.arguments import STEP_GROUPS

DRAW = ('--processors', 'face_debugger')
HEAD = ('--trim-frame-end', '10')
MIDDLE = ('--trim-frame-start', '30', '--trim-frame-end', '45')


class Jobs:
    """Job commands, run in ``folder``."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def __call__(self, *words, code=0, says='', **kw):
        result = self.program(*words, **kw)
        assert result.code == code, result.err
        assert says in result.err and 'Traceback' not in result.err
        return result

    def make(self, job_id, *steps):
        """Create a job of steps with the DRAW options; each step is a target, an output and further options."""
        self('job-create', job_id)
        for target, output, *options in steps:
            paths = ('-t', self.folder / target, '-o', self.folder / 'out' / output)
            self('job-add-step', job_id, *paths, *DRAW, *options)

    def run(self, job_id, code=0, says=''):
        self('job-submit', job_id)
        return self('job-run', job_id, code=code, says=says)

    def show(self, job_id):
        return json.loads(self('job-show', job_id, '--format', 'json').out)

    def out(self):
        """Return the names in the folder of outputs."""
        return {path.name for path in (self.folder / 'out').iterdir()}


@pytest.fixture
def jobs(program, tmp_path, tiny_clip):
    for name, grey in (('a.png', 80), ('b.png', 120), ('c.png', 200)):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), grey, np.uint8))
    (tmp_path / 'clip.mp4').symlink_to(tiny_clip)
    yield Jobs(program, tmp_path)
    # After every test the store matches the schema and has no left-over files.
    check_store(tmp_path / 'jobs', quiet=True)


@pytest.fixture(scope='module')
def tiny_clip(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp('tiny') / 'clip.mp4', 60)


def statuses(view):
    return [step['status'] for step in view['steps']]


def grey(path):
    return round(cv2.imread(str(path)).mean())


# Without running


def test_the_index_counts_from_0_and_a_negative_one_is_the_last(jobs):
    jobs.make('j', ('a.png', '0.png'), ('a.png', '1.png'))
    words = ('-t', 'x.png', '-o')
    jobs('job-insert-step', 'j', '0', *words, 'first.png')
    jobs('job-insert-step', 'j', '-1', *words, 'last-but-one.png')
    jobs('job-remix-step', 'j', '-5', '-o', 'remix.png', says='the last step remixed; it has 5 now')
    outputs = [step['args']['output_path'].rpartition('/')[2] for step in jobs.show('j')['steps']]
    assert outputs == ['first.png', '0.png', 'last-but-one.png', '1.png', 'remix.png']
    assert jobs.show('j')['steps'][4]['args']['target_path'].endswith('1-j-3.png')
    jobs('job-remove-step', 'j', '3', code=1, says='[step-in-use]')
    jobs('job-remove-step', 'j', '-1', says='the last step removed; it has 4 now')
    jobs('job-remove-step', 'j', '-5')
    jobs('job-remove-step', 'j', '0', says='step 0 removed; it has 2 now')
    outputs = [step['args']['output_path'].rpartition('/')[2] for step in jobs.show('j')['steps']]
    assert outputs == ['0.png', 'last-but-one.png']
    assert set(statuses(jobs.show('j'))) == {'drafted'} and jobs.show('j')['date_updated']


@pytest.mark.parametrize('steps', [0, 2])
@pytest.mark.parametrize('command', ['insert', 'remix', 'remove'])
def test_an_unknown_index(jobs, command, steps):
    jobs.make('j', *[('a.png', '0.png')] * steps)
    more = {'insert': ('-t', 'x.png', '-o', 'y.png'), 'remix': ('-o', 'y.png'), 'remove': ()}[command]
    for index in ('2', '99') if steps else ('0', '-1', '-5'):
        jobs(f'job-{command}-step', 'j', index, *more, code=1, says='[step-unknown]')
    for index in ('x', '1.5', '', '1e3'):
        jobs(f'job-{command}-step', 'j', index, *more, code=2, says='argument STEP_INDEX')
    jobs(f'job-{command}-step', 'j', *more, code=2, says='STEP_INDEX')
    assert len(jobs.show('j')['steps']) == steps


def test_the_id_and_the_index_in_any_order_with_flags(jobs):
    jobs.make('j', ('a.png', '0.png'))
    jobs('job-insert-step', '--target', 'x.png', '--output', 'y.png', 'j', '0')
    jobs('job-insert-step', '--target', 'x.png', '0', '--output', 'y.png', '--job-id', 'j')
    jobs('job-remix-step', '-o', 'z.png', '--job-id=j', '-1')
    jobs('job-remove-step', 'j', '--log-level', 'debug', '-1')
    assert len(jobs.show('j')['steps']) == 3
    jobs('job-remix-step', 'j', '0', '-t', 'x.png', '-o', 'y.png', code=2, says='[remix-target]')


def test_settings_are_frozen_when_a_step_is_added(jobs, tmp_path):
    ini = tmp_path / 'my.ini'
    ini.write_text('[output_creation]\noutput_image_quality = 33\n[execution]\nexecution_thread_count = 3\n')
    jobs('job-create', 'j')
    words = ('job-add-step', 'j', '-t', 'a.png', '-o', 'b.png', '--config-path', ini)
    environ = {'FACEFUSION_FACE_SELECTOR_MODE': 'one', 'FACEFUSION_EXECUTION_THREAD_COUNT': '2'}
    jobs(*words, '--log-level', 'debug', '--execution-thread-count', '4', environ=environ, code=2)
    jobs(*words, '--log-level', 'debug', environ=environ)
    ini.write_text('[output_creation]\noutput_image_quality = 99\n')
    args = jobs.show('j')['steps'][0]['args']
    assert (args['output_image_quality'], args['face_selector_mode']) == (33, 'one')
    idle = {key for each in REGISTRATIONS if each.name not in args['processors'] for key in each.preferences}
    automatic = {key for key, value in args.items() if key.endswith('_model') and value == 'auto'}
    # No processor of the step needs a voice.
    assert automatic <= {*idle, 'voice_extractor_model'}
    # Options that belong to the process that adds the step (devices, messages) are not stored.
    assert set(args) == {info.key for group in STEP_GROUPS for info in describe(group) if not info.no_effect}


# Run


@pytest.mark.network
def test_clips_with_one_output_are_joined(jobs, tmp_path):
    jobs.make('j', ('clip.mp4', 'v.mp4', *HEAD), ('a.png', 'p.png'), ('clip.mp4', 'v.mp4', *MIDDLE))
    jobs.run('j')
    frames = [picture.mean() for picture in frame_pixels(tmp_path / 'out' / 'v.mp4')]
    source = [picture.mean() for picture in frame_pixels(tmp_path / 'clip.mp4')]
    assert len(frames) == 25
    assert max(abs(a - b) for a, b in zip(frames, source[:10] + source[30:45], strict=True)) < 3
    assert jobs.out() == {'v.mp4', 'p.png'}
    view = jobs.show('j')
    assert statuses(view) == ['completed'] * 3 and [len(output['steps']) for output in view['outputs']] == [1, 2]
    assert [output['size'] for output in view['outputs']] == [
        (tmp_path / 'out' / name).stat().st_size for name in ('p.png', 'v.mp4')
    ]


@pytest.mark.network
def test_the_last_of_several_images_with_one_output_is_written(jobs, tmp_path):
    jobs.make('j', ('a.png', 'p.png'), ('c.png', 'p.png'), ('b.png', 'p.png'))
    jobs.run('j')
    assert jobs.out() == {'p.png'} and grey(tmp_path / 'out' / 'p.png') == 120


@pytest.mark.network
def test_a_remix_processes_the_output_of_its_source(jobs, tmp_path):
    jobs.make('j', ('clip.mp4', 'first.mp4', '--trim-frame-end', '20', '--output-video-scale', '0.5'))
    jobs('job-remix-step', 'j', '0', '-o', tmp_path / 'out' / 'second.mp4', *DRAW, '--trim-frame-start', '15')
    jobs('job-remix-step', 'j', '-1', '-o', tmp_path / 'out' / 'third.mp4', *DRAW, '--trim-frame-end', '2')
    # In FaceFusion 3.8, the inserted step breaks the target names of the remixes.
    jobs('job-insert-step', 'j', '0', '-t', tmp_path / 'a.png', '-o', tmp_path / 'out' / 'p.png', *DRAW)
    jobs.run('j')
    assert jobs.out() == {'p.png', 'first.mp4', 'second.mp4', 'third.mp4'}
    found = [frame_pixels(tmp_path / 'out' / f'{name}.mp4') for name in ('first', 'second', 'third')]
    assert [len(frames) for frames in found] == [20, 5, 2]
    assert {frames[0].shape for frames in found} == {(48, 80, 3)}


@pytest.mark.network
def test_a_remix_with_the_same_output_is_joined_with_its_source(jobs, tmp_path):
    jobs.make('j', ('clip.mp4', 'v.mp4', *HEAD))
    jobs('job-remix-step', 'j', '0', '-o', tmp_path / 'out' / 'v.mp4', *DRAW, '--trim-frame-end', '4')
    jobs.make('k', ('a.png', 'p.png'))
    jobs('job-remix-step', 'k', '0', '-o', tmp_path / 'out' / 'p.png', *DRAW)
    jobs.run('j')
    jobs.run('k')
    assert jobs.out() == {'v.mp4', 'p.png'} and len(frame_pixels(tmp_path / 'out' / 'v.mp4')) == 14


@pytest.mark.network
def test_incompatible_clips_are_refused_at_submission(jobs, tmp_path):
    jobs.make('j', ('clip.mp4', 'v.mp4', *HEAD), ('clip.mp4', 'v.mp4', *HEAD, '--output-video-scale', '0.5'))
    said = jobs('job-submit', 'j', code=1, says='[job-join]').err
    assert '160x96' in said and '80x48' in said and jobs.show('j')['state'] == 'drafted'
    jobs('job-remove-step', 'j', '1')
    jobs.run('j')


@pytest.mark.network
def test_completed_steps_stay_when_a_later_step_fails_and_a_retry_does_the_rest(jobs, tmp_path):
    jobs.make('j', ('clip.mp4', 'v.mp4', *HEAD), ('late.mp4', 'v.mp4', *HEAD), ('a.png', 'p.png'))
    said = jobs.run('j', code=1, says='[media-missing]').err
    assert 'late.mp4' in said
    assert jobs.out() == {'v-j-0.mp4'}
    view = jobs.show('j')
    assert (view['state'], statuses(view)) == ('failed', ['completed', 'failed', 'queued'])
    assert view['steps'][0]['output']['path'] == str(tmp_path / 'out' / 'v-j-0.mp4') and view['outputs'] == []
    assert view['error']['reference'] == view['steps'][1]['error']['reference'] == 'media-missing'
    first = view['steps'][0]
    for words in (('job-run', 'j'), ('job-submit', 'j'), ('job-add-step', 'j', '-t', 'x', '-o', 'y')):
        jobs(*words, code=1, says='the job j is failed')
    (tmp_path / 'late.mp4').symlink_to(tmp_path / 'clip.mp4')
    said = jobs('job-retry', 'j').err
    assert 'step 0 (1 of 3)' not in said and 'step 1 (2 of 3)' in said and 'step 2 (3 of 3)' in said
    view = jobs.show('j')
    assert (view['state'], statuses(view), view['error']) == ('completed', ['completed'] * 3, None)
    assert view['steps'][0] == first and [attempt['result'] for attempt in view['attempts']] == ['failed', 'completed']
    assert jobs.out() == {'v.mp4', 'p.png'} and len(frame_pixels(tmp_path / 'out' / 'v.mp4')) == 20
    for words in (('job-retry', 'j'), ('job-retry', 'j', '--from-scratch'), ('job-run', 'j'), ('job-cancel', 'j')):
        jobs(*words, code=1, says='the job j is completed')


@pytest.mark.network
def test_from_scratch_repeats_all_steps(jobs, tmp_path):
    jobs.make('j', ('a.png', 'p.png'), ('late.png', 'q.png'))
    jobs.run('j', code=1)
    (tmp_path / 'late.png').symlink_to(tmp_path / 'b.png')
    said = jobs('job-retry', '--from-scratch', 'j').err
    assert 'step 0 (1 of 2)' in said and 'step 1 (2 of 2)' in said and jobs.out() == {'p.png', 'q.png'}


@pytest.mark.network
@pytest.mark.parametrize(
    ('step', 'reference'),
    [
        (('a.png', '../a.png'), 'output-is-input'),
        (('missing.png', 'x.png'), 'media-missing'),
        (('a.png', 'x.nothing'), 'output-extension'),
        (('clip.mp4', 'x.mp4', '--workflow-mode', 'image-to-image'), 'workflow-mode'),
    ],
)
def test_an_impossible_step_fails_its_job_with_1(jobs, step, reference):
    jobs.make('j', step)
    jobs.run('j', code=1, says=f'[{reference}]')
    view = jobs.show('j')
    assert (view['state'], view['error']['reference']) == ('failed', reference)
    jobs('job-retry', 'j', code=1, says=f'[{reference}]')
    assert f'step 0: {view["error"]["message"]} [{reference}]' in jobs('job-show', 'j').out


def test_a_step_without_target_or_output_is_not_queued(jobs):
    jobs('job-create', 'j')
    jobs('job-add-step', 'j', *DRAW)
    jobs('job-submit', 'j', code=1, says='[step-incomplete]')
    jobs('job-remove-step', 'j', -1)
    jobs('job-add-step', 'j', '-o', 'x.png', *DRAW)
    jobs('job-submit', 'j', code=1, says='has no target')
    assert jobs.show('j')['state'] == 'drafted'


@pytest.mark.network
def test_run_all_and_retry_all(jobs, tmp_path):
    jobs.make('a', ('a.png', 'a.png'))
    jobs.make('b', ('late.png', 'b.png'))
    jobs.make('c', ('c.png', 'c.png'))
    jobs('job-submit-all')
    said = jobs('job-run-all', '--halt-on-error', code=1, says='job b failed: no file at').err
    assert 'job a completed' in said and 'job c' not in said
    jobs('job-run-all', says='job c completed')
    jobs('job-run-all', code=1, says='[jobs-none]')
    jobs('job-retry-all', code=1, says='job b: no file at')
    (tmp_path / 'late.png').symlink_to(tmp_path / 'b.png')
    jobs('job-retry-all', '--queue')
    jobs('job-run', says='job b completed')
    jobs('job-retry-all', code=1, says='[jobs-none]')
    assert jobs.out() == {'a.png', 'b.png', 'c.png'}


@pytest.mark.network
def test_jobs_run_by_priority_then_by_submission(jobs):
    for job_id, priority in (('d', 0), ('c', 5), ('b', 5), ('a', -1)):
        jobs.make(job_id, ('a.png', f'{job_id}.png'))
        jobs('job-submit', job_id, '--priority', str(priority))
    jobs('job-run', says='job c completed')
    said = jobs('job-run-all', '--max-jobs', '2').err
    assert [line.split()[2] for line in said.splitlines() if line.endswith('completed')] == ['b', 'd']
    assert [job['id'] for job in json.loads(jobs('job-list', 'queued', '--format', 'json').out)] == ['a']
    for wrong in ('0', '-1', 'x', '1.5'):
        jobs('job-run-all', '--max-jobs', wrong, code=2, says='is not a whole number from 1')


@pytest.mark.network
def test_a_failed_job_is_retried_automatically_and_notifies_once(jobs, tmp_path):
    told = tmp_path / 'told.json'
    jobs.make('j', ('late.png', 'p.png'))
    jobs('job-submit', 'j', '--retries', '2', '--retry-delay', '0.1', '--notify', f'cat >> {told}')
    said = jobs('job-run', 'j', code=1).err
    assert 'retried in 0.1 seconds' in said and 'retried in 0.2 seconds' in said
    view = jobs.show('j')
    assert [attempt['result'] for attempt in view['attempts']] == ['failed'] * 3 and view['retries_used'] == 2
    (line,) = told.read_text().splitlines()
    assert (json.loads(line)['state'], json.loads(line)['error']['reference']) == ('failed', 'media-missing')
    told.unlink()
    (tmp_path / 'late.png').symlink_to(tmp_path / 'b.png')
    jobs('job-retry', 'j')
    told = json.loads(told.read_text())
    assert (told['id'], told['state'], told['outputs'][0]['path']) == ('j', 'completed', str(tmp_path / 'out/p.png'))


@pytest.mark.network
def test_a_failing_notify_command_does_not_change_the_job(jobs):
    jobs.make('j', ('a.png', 'p.png'))
    jobs('job-submit', 'j', '--notify', 'echo oh dear; exit 3')
    said = jobs('job-run', 'j', says='job j completed').err
    assert 'failed with exit code 3: oh dear' in said
    assert jobs.show('j')['state'] == 'completed' and jobs.show('j')['error'] is None


@pytest.mark.network
@pytest.mark.parametrize('other', ['a.png', 'out/../a.png', 'link.png'])
@pytest.mark.parametrize('steps', [1, 2])
def test_no_output_replaces_an_input(jobs, tmp_path, other, steps):
    (tmp_path / 'link.png').symlink_to(tmp_path / 'a.png')
    before = (tmp_path / 'a.png').read_bytes()
    # Two steps first write separate files; the joined file would then replace the target.
    jobs.make('j', *[('a.png', f'../{other}')] * steps)
    jobs.run('j', code=1, says='[output-is-input]')
    assert (tmp_path / 'a.png').read_bytes() == before and (tmp_path / 'link.png').is_symlink()


@pytest.mark.network
def test_a_job_interrupted_in_facefusion_38_is_completed(jobs, tmp_path, monkeypatch):
    """The job has version 1, with relative paths, a queued step marked 'started', and a remix by target name."""
    monkeypatch.chdir(tmp_path)

    def step(target, output, status='queued'):
        paths = {'source_paths': None, 'target_path': target, 'output_path': output}
        return {'args': {**paths, 'processors': ['face_debugger'], 'trim_frame_end': 5}, 'status': status}

    names = (('clip.mp4', 'out/v.mp4', 'started'), ('out/v-old-0.mp4', 'out/v.mp4'), ('out/v-old-1.mp4', 'out/w.mp4'))
    record = {'version': '1', 'date_created': '2026-11-22T20:14:48.518316+00:00', 'date_updated': None}
    path = tmp_path / 'jobs' / 'queued' / 'old.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record | {'steps': [step(*words) for words in names]}, indent=4))
    jobs('job-run', 'old')
    assert jobs.out() == {'v.mp4', 'w.mp4'}
    assert [len(frame_pixels(tmp_path / 'out' / name)) for name in ('v.mp4', 'w.mp4')] == [10, 5]
    assert statuses(jobs.show('old')) == ['completed'] * 3


# Names that are too long


def test_a_too_long_name_is_refused_before_it_is_stored(jobs, tmp_path):
    words = ('-t', tmp_path / 'clip.mp4', '-o', tmp_path / ('n' * 248 + '.mkv'), *DRAW)
    jobs('job-create', 'j')
    for command in ('job-add-step', 'job-create', 'headless-run'):
        named = ('j',) if command == 'job-add-step' else ()
        jobs(command, *named, *words, code=1, says='has 257 bytes, and the file system supports names of up to 255')
    patterns = (
        '-t',
        tmp_path / '[ab].png',
        '-o',
        tmp_path / ('n' * 243 + '{target_name}{index:08d}{target_extension}'),
    )
    for more in ((), ('--dry-run',)):
        jobs('batch-run', *patterns, *DRAW, *more, code=1, says='[output-name]')
    assert jobs.show('j')['steps'] == [] and len(json.loads(jobs('job-list', '--format', 'json').out)) == 1


def test_a_job_of_another_program_with_a_too_long_name_is_not_queued(jobs, tmp_path):
    """Queue a job without checks, as FaceFusion 3.8 or an old version does."""
    jobs.make('j', ('clip.mp4', 'a.mkv'), ('clip.mp4', 'a.mkv'))
    path = tmp_path / 'jobs' / 'drafted' / 'j.json'
    path.write_text(path.read_text().replace('a.mkv', 'n' * 248 + '.mkv'))
    jobs('job-submit', 'j', code=1, says='[output-name]')
    assert jobs.show('j')['state'] == 'drafted'
    jobs('job-delete', 'j')


def test_a_clip_with_the_longest_name_is_processed(jobs, tmp_path):
    jobs.make('j', ('a.png', 'a.png'))
    path = tmp_path / 'jobs' / 'drafted' / 'j.json'
    record = json.loads(path.read_text())
    name = str(tmp_path / ('n' * 251 + '.mp4'))
    record['outputs'] = [{'path': name, 'size': 1, 'sha256': '0' * 64, 'steps': [record['steps'][0]['id']]}]
    path.write_text(json.dumps(record))
    assert name in jobs('job-show', 'j').out


# Files that change while a job waits


@pytest.mark.network
def test_a_changed_input_is_a_warning_and_recorded(jobs, tmp_path):
    paths = ('-t', tmp_path / 'a.png', '-o', tmp_path / 'out' / 'a.png')
    jobs('job-create', 'j', *paths, *DRAW)
    jobs('job-add-step', 'j', '-t', tmp_path / 'late.png', '-o', tmp_path / 'out' / 'late.png', *DRAW)
    (tmp_path / 'b.png').rename(tmp_path / 'a.png')
    (tmp_path / 'c.png').rename(tmp_path / 'late.png')
    done = jobs.run('j', says=f'{tmp_path / "a.png"} has changed since the step was added')
    assert 'late.png was changed' not in done.err
    reports = [step['report'] for step in jobs.show('j')['steps']]
    assert [change['path'] for change in reports[0]['inputs_changed']] == [str(tmp_path / 'a.png')]
    assert 'inputs_changed' not in reports[1]
    assert f'step 0: changed since the step was added: {tmp_path / "a.png"}' in jobs('job-show', 'j').out


@pytest.mark.parametrize('demand', ['consent', 'policy'])
def test_a_changed_input_is_refused_with_a_consent_or_a_policy(jobs, tmp_path, demand):
    (tmp_path / 'strict.ini').write_text('[policy]\nrequire_unchanged = yes\n')
    words = ('--consent', 'she agreed') if demand == 'consent' else ()
    for name in 'jk':
        paths = ('-s', tmp_path / 'b.png', '-t', tmp_path / f'{name}.png', '-o', tmp_path / f'out-{name}.png')
        (tmp_path / f'{name}.png').write_bytes((tmp_path / 'a.png').read_bytes())
        jobs('job-create', name, *paths, *words)
        jobs('job-submit', name)
    (tmp_path / 'b.png').write_bytes((tmp_path / 'c.png').read_bytes() + b'more')
    ini = ('--config-path', tmp_path / 'strict.ini') if demand == 'policy' else ()
    jobs('job-run', 'j', *ini, code=1, says='[input-changed]')
    view = jobs.show('j')
    assert view['state'] == 'failed' and view['error']['facts']['inputs_changed'][0]['path'].endswith('b.png')
    assert not (tmp_path / 'out-j.png').exists()
    jobs('job-delete', 'k')
