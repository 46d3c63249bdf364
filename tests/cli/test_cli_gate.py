"""Tests of the content gate and the consent rule in all commands, with fake classifiers that refuse."""

from __future__ import annotations

import configparser
import json
import signal

import cv2
import numpy as np
import pytest
from fakes.media_files import write_views
from fakes.screenings import BrightIsBad
from fakes.tiny_clip import make_tiny_clip

from facefusion.cli.headless_run import GROUPS
from facefusion.options import describe
from facefusion.safety.content_gate import ContentGate

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')
OPTIONS = [info for group in GROUPS for info in describe(group) if not info.no_effect]
# Options that the tests already set, and options for which another value prevents the run.
NO_RUN = (
    *('dry_run', 'execution_providers', 'processors', 'require_timestamp', 'timestamp_url', 'workflow_mode'),
    # These need weights, or sources of their own.
    *('face_map', 'face_selector_age_end', 'face_selector_age_start', 'face_selector_gender'),
)


@pytest.fixture
def refusing(monkeypatch):
    """A fake classifier that refuses everything and counts its images."""
    classifier = BrightIsBad(threshold=0.0)
    monkeypatch.setattr(
        'facefusion.pipeline.content_screening.prepare_gate', lambda sessions, models: ContentGate([classifier], 1)
    )
    monkeypatch.setattr(
        'facefusion.pipeline.content_screening.model_digests', lambda store, ids: dict.fromkeys(ids, 'ab' * 32)
    )
    return classifier


@pytest.fixture
def target(tmp_path):
    path = tmp_path / 'target.png'
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def job_of(program, state):
    (path,) = (program.folder / 'jobs' / state).glob('*.json')
    return json.loads(path.read_text())


def test_a_refused_target_is_exit_code_3_with_the_reason(program, refusing, target, tmp_path):
    said = program.fails(3, 'content-refused', 'headless-run', *DRAW, '-t', target, '-o', tmp_path / 'out.png')
    assert 'target.png is refused' in said and 'bright_is_bad 0.353 (threshold 0)' in said
    record = job_of(program, 'failed')
    error = record['steps'][0]['error']
    assert record['error'] == error and error['exit_code'] == 3
    assert error['facts']['models'] == [{'model_id': 'bright_is_bad', 'threshold': 0.0}]
    assert error['facts']['frames'][0]['scores'] == [pytest.approx(0.353, abs=0.001)]


def test_a_refused_source_is_refused_before_the_target_is_opened(program, refusing, target, example_portrait, tmp_path):
    out = tmp_path / 'out.png'
    said = program.fails(3, 'content-refused', 'headless-run', '-s', example_portrait, '-t', target, '-o', out)
    assert f'{example_portrait.name} is refused' in said and refusing.seen == 1


def test_a_refused_video_is_analysed_but_not_rendered(program, refusing, face_clip, tmp_path):
    words = ('headless-run', *DRAW, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--progress', 'json')
    result = program(*words)
    assert result.code == 3 and not (tmp_path / 'out.mp4').exists()
    stages = {event.get('stage') for event in result.events}
    assert 'analysing' in stages and 'processing' not in stages
    (facts,) = [event['error']['facts'] for event in result.events if event['event'] == 'run_failed']
    # The clip has 60 frames at 25 per second, and the gate checks every seventh frame.
    assert facts['samples'] == 9 and facts['frames'][1]['frame'] == 7
    assert facts['frames'][1]['seconds'] == pytest.approx(7 / 25)
    seen = refusing.seen
    assert program(*words).code == 3 and refusing.seen == seen, 'the scores are stored'


def test_jobs_and_batches_are_refused_in_the_same_way(program, refusing, target, tmp_path):
    out = tmp_path / 'out.png'
    assert program('job-create', 'j', *DRAW, '-t', target, '-o', out).code == 0
    assert program('job-submit', 'j').code == 0
    assert program('job-run', 'j').code == 3
    assert program('job-retry', 'j').code == 3
    batch = program('batch-run', *DRAW, '-t', str(tmp_path / 'target*'), '-o', str(tmp_path / '{target_name}-out.png'))
    assert batch.code == 1 and '[content-refused]' in batch.err
    assert sorted(path.name for path in tmp_path.glob('*.png')) == ['target.png']


@pytest.fixture
def files(target, tmp_path):
    """A dark image, a bright one, a file that is not an image, and a missing file."""
    cv2.imwrite(str(tmp_path / 'bright.png'), np.full((48, 64, 3), 250, np.uint8))
    (tmp_path / 'broken.png').write_bytes(b'no picture')
    return {'dark': target, 'bright': tmp_path / 'bright.png', 'broken': tmp_path / 'broken.png'}


@pytest.fixture
def judging(refusing):
    """A fake classifier that refuses only bright images."""
    refusing.threshold = 0.8
    return refusing


def test_check_reports_the_verdict_of_every_file(program, judging, files):
    passed = program('check', files['dark'])
    assert passed.code == 0 and passed.out.splitlines()[1].split()[:4] == ['passed', '0.353', '0.8', '1']
    result = program('check', *files.values(), '--format', 'json')
    assert result.code == 3, 'a refusal takes precedence over an unreadable file'
    dark, bright, broken = json.loads(result.out)
    assert [entry['verdict'] for entry in (dark, bright, broken)] == ['passed', 'refused', 'failed']
    assert bright['models'] == [{'model_id': 'bright_is_bad', 'threshold': 0.8, 'score': pytest.approx(0.98, abs=0.01)}]
    assert (
        bright['error']['reference'] == 'content-refused' and bright['frames'] == 1 and 'threshold' in bright['reason']
    )
    assert broken['error']['reference'] in result.err and broken['file'] == str(files['broken'])
    assert program('check', files['broken'], files['dark']).code == 1


def test_check_emits_one_event_per_file(program, judging, files):
    result = program('check', files['dark'], files['bright'], '--progress', 'json')
    found = [event for event in result.events if event['event'] == 'content_checked']
    assert result.code == 3 and [event['verdict'] for event in found] == ['passed', 'refused']


def test_a_run_reuses_the_scores_of_check(program, judging, files, tmp_path):
    assert program('check', files['dark']).code == 0
    assert program('headless-run', *DRAW, '-t', files['dark'], '-o', tmp_path / 'out.png').code == 0
    assert judging.seen == 1


def test_check_needs_the_gate_model_and_a_file(program, files, tmp_path):
    said = program('check', files['dark'], '--models-path', tmp_path / 'none')
    assert said.code == 6 and said.out == '' and 'open_nsfw' in said.err
    assert 'FILE' in program.fails(2, 'usage', 'check')


def test_an_interrupted_check_prints_the_verdicts_so_far(program, judging, files, monkeypatch):
    def interrupt(images, classify=judging.scores):
        signal.raise_signal(signal.SIGTERM)
        return classify(images)

    monkeypatch.setattr(judging, 'scores', interrupt)
    result = program('check', files['dark'], files['bright'], '--format', 'json')
    assert result.code == 4 and [entry['verdict'] for entry in json.loads(result.out)] == ['passed']


def some_value(info) -> str:
    """Return a valid value other than the default."""
    if info.choices:
        return str(next((choice for choice in reversed(info.choices) if choice != info.default), info.choices[0]))
    if info.kind in ('int', 'float'):
        largest = info.maximum if info.maximum is not None and info.maximum != info.default else info.minimum or 0
        return str(int(largest) if info.kind == 'int' else largest)
    return ('no' if info.default else 'yes') if info.kind == 'flag' else 'some text'


def as_flags(values) -> list[str]:
    """Return the options as words of a command line; policies have no flags."""
    words = []
    for info, value in values.items():
        if info.is_policy:
            continue
        if info.kind == 'flag':
            words.append(info.flag if value == 'yes' else '--no-' + info.flag[2:])
        else:
            words += [info.flag, value]
    return words


@pytest.fixture
def every_option(tmp_path):
    """Return all options with which a run is possible, each with a value other than its default."""
    (tmp_path / 'work').mkdir()
    given = {'temp_path': str(tmp_path / 'work'), 'trim_frame_start': '5', 'trim_frame_end': '40'}
    given |= {'output_video_encoder': 'libx265', 'output_audio_encoder': 'libmp3lame', 'notify': 'exit'}
    given |= {'execution_thread_count': '3', 'face_selector_mode': 'one'}
    # Published models need weights that the tests do not have.
    given |= {
        'face_detector_model': 'centerface',
        'face_landmarker_model': 'face_mesh',
        'face_recognizer_model': 'dlib_face_resnet',
        'face_swapper_model': 'mesh_warp',
    }
    return {
        info: given.get(info.key) or some_value(info)
        for info in OPTIONS
        if info.key in given or not (info.key in NO_RUN or info.kind == 'path')
    }


@pytest.mark.parametrize('way', ['flags', 'environment', 'ini'])
def test_no_option_disables_the_gate(program, refusing, target, tmp_path, every_option, way):
    words, environ = ['headless-run', *DRAW, '-t', target, '-o', tmp_path / 'out.png'], {}
    if way == 'flags':
        words += as_flags(every_option)
    elif way == 'environment':
        environ = {info.variable: value for info, value in every_option.items()}
    else:
        ini = configparser.ConfigParser()
        for info, value in every_option.items():
            ini.read_dict({info.section: {info.key: value}})
        with (tmp_path / 'all.ini').open('w') as file:
            ini.write(file)
        words += ['--config-path', tmp_path / 'all.ini']
    program.fails(3, 'content-refused', *words, environ=environ)
    assert refusing.seen > 0 and list(tmp_path.rglob('*.png')) == [target]


def test_no_option_disables_the_gate_of_a_video(program, refusing, face_clip, tmp_path, every_option):
    words = ('headless-run', *DRAW, '-t', face_clip, '-o', tmp_path / 'out.mp4', *as_flags(every_option))
    program.fails(3, 'content-refused', *words)
    assert refusing.seen > 0 and not list(tmp_path.rglob('*.mp4'))


def test_a_dry_run_does_not_bypass_the_gate(program, refusing, target, tmp_path):
    result = program('headless-run', *DRAW, '-t', target, '-o', tmp_path / 'out.png', '--dry-run')
    assert result.code == 0 and refusing.seen == 0 and list(tmp_path.rglob('*.png')) == [target]


def test_a_missing_gate_model_fails_before_the_run(program, target, tmp_path, store):
    weights = tmp_path / 'weights'
    weights.mkdir()
    for model_id in ('centerface', 'face_mesh'):
        path = store.path(model_id)
        (weights / path.name).write_bytes(path.read_bytes())
    lock = store.path('centerface').with_name('lock.json')
    (weights / 'lock.json').write_bytes(lock.read_bytes())
    words = ('headless-run', *DRAW, '-t', target, '-o', tmp_path / 'out.png', '--models-path', weights)
    result = program(*words)
    assert result.code == 6 and 'open_nsfw' in result.err and not (tmp_path / 'out.png').exists()
    (weights / 'open_nsfw.onnx').write_bytes(b'damaged')
    result = program(*words)
    assert result.code == 6 and 'open_nsfw' in result.err and not (tmp_path / 'out.png').exists()


@pytest.fixture
def strict(tmp_path):
    """An ini file that requires consent."""
    path = tmp_path / 'strict.ini'
    path.write_text('[policy]\nrequire_consent = yes\n')
    return path


def test_consent_is_stored_with_the_step_and_shown(program, target, tmp_path):
    words = ('headless-run', *DRAW, '-t', target, '-o', tmp_path / 'out.png')
    assert program(*words, '--consent', 'the person in it, 2026-11-01').code == 0
    record = job_of(program, 'completed')
    assert record['steps'][0]['args']['consent'] == 'the person in it, 2026-11-01'
    assert 'the person in it, 2026-11-01' in program('job-show', record['id']).out


def test_the_lines_of_a_consent_do_not_look_like_another_step(program, target, tmp_path):
    words = ('job-create', 'j', '-t', target, '-o', 'o.png', '--consent', 'A. agreed\nstep 1: consent: B. agreed')
    assert program(*words).code == 0
    assert 'step 0: consent: A. agreed\n    step 1:' in program('job-show', 'j').out


def test_consent_from_a_file_is_its_text(program, target, tmp_path):
    (tmp_path / 'consent.txt').write_text('Everybody in the clip agreed.\n')
    assert program('job-create', 'j', '-t', target, '-o', 'o.png', '--consent', tmp_path / 'consent.txt').code == 0
    (tmp_path / 'consent.txt').unlink()
    shown = json.loads(program('job-show', 'j', '--format', 'json').out)
    assert shown['steps'][0]['args']['consent'] == 'Everybody in the clip agreed.'


@pytest.mark.parametrize(
    ('content', 'reference'),
    [
        (None, 'consent-missing'),
        (b'', 'consent-empty'),
        (b'\0\1', 'consent-binary'),
        (b'x' * 10**7 + b'xx', 'consent-too-large'),
    ],
    ids=['missing', 'empty', 'binary', 'huge'],
)
def test_a_consent_file_that_cannot_be_used(program, target, tmp_path, content, reference):
    path = tmp_path / 'consent.txt'
    if content is not None:
        path.write_bytes(content)
    words = (*DRAW, '-t', target, '-o', tmp_path / 'out.png', '--consent', path)
    program.fails(2, reference, 'headless-run', *words)
    program.fails(2, reference, 'job-create', 'j', *words)


def test_an_operator_can_require_consent(program, target, strict, tmp_path):
    words = (*DRAW, '-t', target, '-o', tmp_path / 'out.png', '--config-path', strict)
    assert '--consent' in program.fails(2, 'consent-required', 'headless-run', *words)
    program.fails(2, 'consent-required', 'job-create', 'j', *words)
    # Neither the environment nor a flag overrides this setting.
    program.fails(2, 'consent-required', 'headless-run', *words, environ={'FACEFUSION_REQUIRE_CONSENT': 'no'})
    program.fails(2, 'unknown-option', 'headless-run', *words, '--no-require-consent')
    assert program('headless-run', *words, '--consent', 'all agreed').code == 0


def test_another_ini_file_does_not_lift_the_requirement(program, target, tmp_path):
    home = tmp_path / 'home'
    home.mkdir()
    (home / 'facefusion.ini').write_text('[policy]\nrequire_consent = yes\n')
    (tmp_path / 'mild.ini').write_text('[policy]\nrequire_consent = no\n')
    words = ('job-create', 'j', *DRAW, '-t', target, '-o', 'o.png', '--config-path', tmp_path / 'mild.ini')
    program.fails(2, 'consent-required', *words, environ={'FACEFUSION_HOME': str(home)})


def test_a_job_without_a_required_consent_is_refused(program, target, strict, tmp_path):
    assert program('job-create', 'j', *DRAW, '-t', target, '-o', tmp_path / 'out.png').code == 0
    assert program('job-submit', 'j').code == 0
    result = program('job-run', 'j', '--config-path', strict)
    assert result.code != 0 and '[consent-required]' in result.err and not (tmp_path / 'out.png').exists()


@pytest.mark.parametrize(
    'words',
    [
        ('--face-selector-race', 'asian'),
        ('--deep-swapper-model', 'x/y_224'),
        ('--processors', 'face_swapper', 'deep_swapper'),
    ],
    ids=['race', 'model', 'processor'],
)
def test_race_and_named_people_are_refused_with_the_reason(program, target, tmp_path, words):
    said = program.fails(2, 'option-refused', 'headless-run', '-t', target, '-o', tmp_path / 'out.png', *words)
    assert 'race' in said or 'named people' in said


@pytest.mark.parametrize('change', [{'face_selector_race': 'asian'}, {'processors': ['deep_swapper']}], ids=str)
def test_jobs_of_facefusion_38_that_use_them_are_refused(program, target, tmp_path, change):
    args = {'source_paths': None, 'target_path': str(target), 'output_path': str(tmp_path / 'out.png')}
    args |= {'processors': ['face_debugger'], 'face_selector_race': None, 'deep_swapper_model': 'x/y_224'} | change
    queued = program.folder / 'jobs' / 'queued'
    queued.mkdir(parents=True)
    record = {'version': '1', 'date_created': '2026-11-01T10:00:00+00:00', 'date_updated': None}
    (queued / 'old.json').write_text(json.dumps(record | {'steps': [{'args': args, 'status': 'queued'}]}))
    result = program('job-run', 'old')
    assert result.code != 0 and '[option-refused]' in result.err and not (tmp_path / 'out.png').exists()


def test_the_ini_file_cannot_sort_by_race(program, target, tmp_path):
    (tmp_path / 'race.ini').write_text('[face_selector]\nface_selector_race = asian\n')
    words = ('headless-run', '-t', target, '-o', tmp_path / 'out.png', '--config-path', tmp_path / 'race.ini')
    program.fails(2, 'option-refused', *words)


@pytest.mark.parametrize('frames', [1, 3, 30])
def test_the_real_gate_passes_clips_of_one_frame_and_black_ones(program, tmp_path, frames):
    make_tiny_clip(tmp_path / 'tiny.mp4', frames)
    black = np.zeros((96, 160, 3), np.uint8)
    write_views(tmp_path / 'black.mp4', lambda number: black, frames, size=(160, 96))
    for name in ('tiny', 'black'):
        result = program('headless-run', *DRAW, '-t', tmp_path / f'{name}.mp4', '-o', tmp_path / f'{name}-out.mp4')
        assert result.code == 0, result.err
