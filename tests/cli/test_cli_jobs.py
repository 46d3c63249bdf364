"""Tests of the job commands of FaceFusion 3.8, with the commands and exit codes of its own tests."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from fakes.job_schema import check_store
from fakes.media_files import plain_png

DRAW = ('--processors', 'face_debugger')


@pytest.fixture
def jobs(program, tmp_path):
    """Return a function that runs a job command, checks its exit code, and returns the result."""

    def call(*words, code=0, says=''):
        result = program(*words)
        assert result.code == code, result.err
        assert says in result.err and 'Traceback' not in result.err
        assert not result.err or result.err.startswith(('facefusion: ', '[FACEFUSION.'))
        if code:
            assert result.out == ''
        return result

    plain_png(tmp_path / 'in.png', 64, 48)
    return call


def listed(jobs, *words):
    return {job['id']: job['state'] for job in json.loads(jobs('job-list', *words, '--format', 'json').out)}


def shown(jobs, job_id):
    return json.loads(jobs('job-show', job_id, '--format', 'json').out)


def draft(jobs, tmp_path, job_id, steps=1):
    jobs('job-create', job_id)
    for index in range(steps):
        jobs('job-add-step', job_id, '-t', tmp_path / 'in.png', '-o', tmp_path / f'{job_id}-{index}.png', *DRAW)


def test_create_prints_only_the_id_of_a_created_job(jobs, tmp_path):
    assert jobs('job-create', 'my-job', says='job my-job drafted').out == 'my-job\n'
    jobs('job-create', 'my-job', code=1, says='[job-exists]')
    assert jobs('job-create', 'my-job', '--if-missing', says='already').out == 'my-job\n'
    assert jobs('job-create', '--job-id', 'v1.2_x').out == 'v1.2_x\n'
    made = jobs('job-create').out.strip()
    assert re.fullmatch(r'job-[0-9-]+-[0-9a-f]{10}', made)
    assert listed(jobs) == dict.fromkeys(['my-job', 'v1.2_x', made], 'drafted')
    assert shown(jobs, made)['steps'] == []
    check_store(tmp_path / 'jobs', quiet=True)


def test_create_with_target_and_output_has_a_first_step(jobs, tmp_path):
    made = jobs('job-create', '--source', 'a.jpg', '--target', 'b.mp4', '--output', 'c.mp4').out.strip()
    (step,) = shown(jobs, made)['steps']
    assert [step['args'][key] for key in ('target_path', 'output_path')] == [
        str(type(tmp_path).cwd() / name) for name in ('b.mp4', 'c.mp4')
    ]
    jobs('job-submit', '--job-id', made)


@pytest.mark.parametrize(
    'words', [('-t', 'a.png'), ('-o', 'a.png'), ('-s', 'a.png'), DRAW, ('--trim-frame-end', '5', '-t', 'a.png')]
)
def test_an_incomplete_step_creates_no_job(jobs, tmp_path, words):
    jobs('job-create', 'half', *words, code=2, says='[step-incomplete]')
    assert listed(jobs) == {}


@pytest.mark.parametrize('job_id', ['', '.x', 'a b', 'a/b', '..', '../../up', 'x' * 129, 'a@b', 'é', '\udcff'])
@pytest.mark.parametrize('command', ['job-create', 'job-submit', 'job-show'])
def test_an_invalid_id_is_wrong_usage(jobs, tmp_path, job_id, command):
    jobs(command, job_id, code=2, says='[job-id-invalid]')
    assert not (tmp_path / 'jobs').exists()


@pytest.mark.parametrize(
    'words',
    [
        ('job-submit', 'nope'),
        ('job-run', 'nope'),
        ('job-retry', 'nope'),
        ('job-retry', 'nope', '--queue'),
        ('job-delete', 'nope'),
        ('job-cancel', 'nope'),
        ('job-show', 'nope'),
        ('job-add-step', 'nope', '-t', 'a.png', '-o', 'b.png'),
        ('job-remix-step', 'nope', '0', '-o', 'b.png'),
        ('job-insert-step', 'nope', '0', '-t', 'a.png', '-o', 'b.png'),
        ('job-remove-step', 'nope', '0'),
    ],
    ids=' '.join,
)
def test_a_missing_job(jobs, words):
    jobs(*words, code=1, says='there is no job nope [job-unknown]')


@pytest.mark.parametrize('words', [('job-submit',), ('job-delete',), ('job-show',), ('job-retry',), ('job-cancel',)])
def test_a_command_for_one_job_needs_its_id(jobs, words):
    jobs(*words, code=2, says='[job-id-missing]')


def test_the_id_may_be_at_any_position_once(jobs):
    jobs('job-create', 'a')
    jobs('job-show', '--log-level', 'debug', 'a')
    jobs('job-show', 'a', '--job-id', 'a')
    jobs('job-show', '--job-id=a')
    jobs('job-show', 'a', '--job-id', 'b', code=2, says='[job-id-twice]')
    jobs('job-show', 'a', 'b', code=2, says='b is one argument too many')


@pytest.mark.parametrize('word', ['submit-all', 'delete-all', 'run-all', 'retry-all'])
def test_all_commands_fail_without_a_job(jobs, word):
    jobs(f'job-{word}', code=1, says='[jobs-none]')
    jobs('job-create', 'empty')
    if word != 'delete-all':
        jobs(f'job-{word}', code=1, says='[job-empty]' if word == 'submit-all' else '[jobs-none]')


def test_run_without_an_id_needs_a_queued_job(jobs):
    jobs('job-create', 'drafted')
    jobs('job-run', code=1, says='there is no queued job [jobs-none]')


def test_an_empty_job_cannot_be_submitted(jobs):
    jobs('job-create', 'a')
    jobs('job-submit', 'a', code=1, says='[job-empty]')
    assert listed(jobs) == {'a': 'drafted'}


def test_an_empty_list_fails_as_a_table_but_not_as_json(jobs, tmp_path):
    for status in ('drafted', 'queued', 'running', 'completed', 'failed'):
        jobs('job-list', status, code=1)
        assert jobs('job-list', status, '--format', 'json').out == '[]\n'
    assert jobs('job-list').out == ''
    draft(jobs, tmp_path, 'a', 2)
    table = jobs('job-list', 'drafted').out.splitlines()
    assert table[0].split('  ')[0] == 'job id' and table[1].split()[:2] == ['a', '2'] and len(table) == 2
    jobs('job-list', 'queued', code=1)
    jobs('job-list', '--job-status', 'drafted')
    jobs('job-list', 'nonsense', code=2, says='[usage]')


def test_the_actions_that_each_state_allows(jobs, tmp_path):
    draft(jobs, tmp_path, 'a')
    for words in (('job-run', 'a'), ('job-retry', 'a'), ('job-retry', 'a', '--queue'), ('job-cancel', 'a')):
        jobs(*words, code=1, says='the job a is drafted: it cannot be')
    jobs('job-submit', 'a', says='no worker watches this store')
    assert [step['status'] for step in shown(jobs, 'a')['steps']] == ['queued']
    more = ('-t', 'b.png', '-o', 'c.png')
    for words in (
        ('job-submit', 'a'),
        ('job-retry', 'a', '--queue'),
        # FaceFusion 3.8 can change the steps of a queued job. This program does not, because the job may start.
        ('job-add-step', 'a', *more),
        ('job-insert-step', 'a', '0', *more),
        ('job-remix-step', 'a', '0', '-o', 'c.png'),
        ('job-remove-step', 'a', '0'),
    ):
        jobs(*words, code=1, says='the job a is queued: it cannot be')
    jobs('job-cancel', 'a')
    view = shown(jobs, 'a')
    assert (view['state'], view['error']['reference'], view['attempts']) == ('failed', 'cancelled', [])
    jobs('job-cancel', 'a', code=1, says='[job-wrong-state]')
    jobs('job-run', 'a', code=1, says='job-retry')
    jobs('job-retry', 'a', '--queue')
    assert listed(jobs) == {'a': 'queued'} and shown(jobs, 'a')['error'] is None
    check_store(tmp_path / 'jobs', quiet=True)
    jobs('job-delete', 'a')
    assert listed(jobs) == {}


def test_submit_all_continues_after_a_failure_without_halt_on_error(jobs, tmp_path):
    jobs('job-create', 'a-empty')
    for job_id in ('b', 'c'):
        draft(jobs, tmp_path, job_id)
    jobs('job-submit-all', '--halt-on-error', code=1, says='[job-empty]')
    assert listed(jobs) == {'a-empty': 'drafted', 'b': 'drafted', 'c': 'drafted'}
    jobs('job-submit-all', code=1, says='] the job a-empty has no steps [job-empty]')
    assert listed(jobs) == {'a-empty': 'drafted', 'b': 'queued', 'c': 'queued'}
    jobs('job-delete-all')
    assert listed(jobs) == {}


def test_the_settings_stored_with_a_job(jobs, tmp_path):
    kept = ('--priority', '5', '--retries', '2', '--retry-delay', '1.5', '--notify', 'cat')
    jobs('job-create', 'a', *kept, '-t', tmp_path / 'in.png', '-o', tmp_path / 'out.png')
    view = shown(jobs, 'a')
    assert [view[key] for key in ('priority', 'retries', 'retry_delay', 'notify')] == [5, 2, 1.5, 'cat']
    jobs('job-submit', 'a', '--priority', '-7')
    view = shown(jobs, 'a')
    assert [view[key] for key in ('priority', 'retries', 'notify')] == [-7, 2, 'cat']
    for flag, value in (('--priority', '2000'), ('--retries', '-1'), ('--retry-delay', 'soon')):
        jobs('job-create', flag, value, code=2, says=f'argument {flag}')


# Job files of FaceFusion 3.8, and broken job files


def peer_file(root, state, typed, target='in.png', output='out.png'):
    """Write a job of FaceFusion 3.8 with the file name that FaceFusion uses, and return its id."""
    name = typed if typed.replace('-', '').isalnum() else hashlib.sha1(typed.encode()).hexdigest()
    args = {'source_paths': None, 'target_path': str(target), 'output_path': str(output), 'processors': list(DRAW[1:])}
    args |= {'face_occluder_model': 'xseg_1', 'face_selector_race': None, 'target_frame_amount': 4}
    record = {'version': '1', 'date_created': '2026-11-22T20:14:48.518316+00:00', 'date_updated': None}
    path = root / state / f'{name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record | {'steps': [{'args': args, 'status': state}]}, indent=4), encoding='ascii')
    return name


@pytest.mark.parametrize('typed', ['a b', 'a_b', 'v1.2', 'x/y', 'é1'])
def test_a_job_of_facefusion_38_is_found_by_its_name_there(jobs, tmp_path, typed):
    name = peer_file(tmp_path / 'jobs', 'drafted', typed)
    assert listed(jobs) == {name: 'drafted'}
    assert shown(jobs, typed)['id'] == shown(jobs, name)['id'] == name
    jobs('job-submit', typed)
    view = shown(jobs, typed)
    assert (view['state'], view['version']) == ('queued', '2')
    assert view['steps'][0]['args']['target_frame_amount'] == 4 and view['steps'][0]['args_version'] == '1'
    jobs('job-delete', typed)
    assert listed(jobs) == {}


BROKEN = {
    'cut': b'{"version": "2", "date_cre',
    'empty': b'',
    'list': b'[]',
    'future': b'{"version": "9", "date_created": "x", "steps": []}',
    'stepless': b'{"version": "2", "date_created": "x"}',
    'binary': b'\xff\xfe\x00',
}


@pytest.mark.parametrize('state', ['drafted', 'queued', 'running', 'failed'])
def test_a_broken_file_is_listed_explained_and_can_be_deleted(jobs, tmp_path, state):
    folder = tmp_path / 'jobs' / state
    folder.mkdir(parents=True)
    for name, text in BROKEN.items():
        (folder / f'{name}.json').write_bytes(text)
    (folder / 'notes.txt').write_text('not a job')
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert listed(jobs) == listed(jobs, state) == dict.fromkeys(BROKEN, 'broken')
    assert 'broken' in jobs('job-list', state).out
    command = {'drafted': 'submit', 'queued': 'run', 'running': 'cancel', 'failed': 'retry'}[state]
    for name in BROKEN:
        for words in ((f'job-{command}', name), ('job-show', name)):
            said = jobs(*words, code=1, says='[job-broken]').err
            # The listed path is the permanent path of the file, not the path of the claim.
            assert f'cause: {folder / name}.json: ' in said and '--' not in said.split('hint:')[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for name in BROKEN:
        jobs('job-delete', name)
    assert listed(jobs) == {} and [path.name for path in folder.iterdir()] == ['notes.txt']


def test_a_broken_job_does_not_block_the_others(jobs, tmp_path):
    draft(jobs, tmp_path, 'good')
    for state in ('drafted', 'queued'):
        (tmp_path / 'jobs' / state).mkdir(exist_ok=True)
        (tmp_path / 'jobs' / state / f'{state}-broken.json').write_bytes(b'{')
    jobs('job-submit-all', code=1, says='drafted-broken')
    assert listed(jobs, 'queued') == {'queued-broken': 'broken', 'good': 'queued'}


def test_an_unwritable_or_unreadable_store_is_named(jobs, program, tmp_path):
    (tmp_path / 'file').write_bytes(b'')
    place = {'FACEFUSION_JOBS_PATH': str(tmp_path / 'file')}
    result = program('job-create', 'a', environ=place)
    assert (result.code, result.out) == (2, '')
    assert '[jobs-path]' in result.err and str(tmp_path / 'file') in result.err and '--jobs-path' in result.err
    assert program('job-list', '--format', 'json', environ=place).code == 2
    result = program('job-create', 'a', '--jobs-path', tmp_path / 'other', environ=place)
    assert result.code == 0 and (tmp_path / 'other' / 'drafted' / 'a.json').is_file()


def test_reading_commands_change_nothing(jobs, tmp_path):
    jobs('job-list')
    jobs('job-show', 'a', code=1)
    jobs('job-delete-all', code=1)
    assert not (tmp_path / 'jobs').exists()


def test_clips_are_read_before_a_job_is_claimed(jobs, program, tmp_path, monkeypatch):
    """Reading a long clip can take longer than the timeout of a claim, so the clip is read first."""
    jobs('job-create', 'j')
    for _ in range(2):
        jobs('job-add-step', 'j', '-t', tmp_path / 'in.mp4', '-o', tmp_path / 'out.mp4', *DRAW)
    seen = []

    def look(record):
        seen.append((tmp_path / 'jobs' / 'drafted' / 'j.json').exists())
        if len(seen) == 1:
            jobs('job-remove-step', 'j', '0')

    monkeypatch.setattr('facefusion.services.job_actions._check_joins', look)
    jobs('job-submit', 'j', code=1, says='[job-busy]')
    assert listed(jobs) == {'j': 'drafted'}
    jobs('job-add-step', 'j', '-t', tmp_path / 'in.mp4', '-o', tmp_path / 'out.mp4', *DRAW)
    jobs('job-submit', 'j')
    jobs('job-submit', 'j', code=1, says='[job-wrong-state]')
    assert seen == [True, True]


def test_a_command_for_all_jobs_does_not_exit_with_the_code_of_a_job(jobs, tmp_path):
    draft(jobs, tmp_path, 'j')
    path = tmp_path / 'jobs' / 'drafted' / 'j.json'
    path.write_bytes(path.read_bytes().replace(b'"output_image_quality": ', b'"output_image_quality": 9999'))
    jobs('job-submit', 'j')
    jobs('job-run', 'j', code=1, says='[step-argument]')
    for words in ((), ('--halt-on-error',)):
        jobs('job-retry-all', *words, code=1, says='[step-argument]')


@pytest.mark.parametrize('command', ['job-run', 'job-run-all', 'job-retry-all'])
def test_a_failure_is_the_last_event(program, command):
    result = program(command, '--progress', 'json')
    assert (result.code, [event['event'] for event in result.events]) == (1, ['run_failed'])
    assert result.events[-1]['error']['reference'] == 'jobs-none'


def test_invalid_dates_do_not_break_the_list(jobs, tmp_path):
    jobs('job-create', 'j')
    path = tmp_path / 'jobs' / 'drafted' / 'j.json'
    path.write_bytes(path.read_bytes().replace(b'"date_updated": null', b'"date_updated": 5'))
    assert jobs('job-list').out.splitlines()[1].split()[0] == 'j'
