from __future__ import annotations

import copy
import json
import random
import runpy
from dataclasses import fields, replace
from pathlib import Path

import pytest
from fakes.job_schema import SCHEMA, SCHEMA_PATH, check_store, schema_errors
from fakes.job_stores import FakeWork, drain, make_record, make_store
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import FaceFusionError, JobError, UsageError
from facefusion.events import silent
from facefusion.jobs.naming import step_output_path
from facefusion.jobs.record import (
    AttemptRecord,
    JobRecord,
    RecordError,
    StepRecord,
    now_text,
    parse_record,
    record_bytes,
    record_from_json,
    record_to_json,
)
from facefusion.jobs.states import STATES
from facefusion.jobs.steps import add_step, groups_of, requeued, submitted, work_paths
from facefusion.jobs.store import JobStore
from facefusion.models.choice import EmbeddedModels
from facefusion.options import describe
from facefusion.settings import resolve
from facefusion.steps.arguments import STEP_GROUPS, freeze, restore

DEFAULTS = resolve(GROUPS, {}, None, {})
DATE = '2026-11-22T20:14:48.518316+00:00'
ERROR = JobError('it-failed', 'it failed', cause='no reason', hint='none').as_record()

# Strategies for all kinds of records that the schema allows, with unknown keys in each part.

texts = st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=8)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
dates = st.datetimes(timezones=st.timezones()).filter(lambda date: date.year > 999).map(lambda date: date.isoformat())
maybe_dates = st.none() | st.just(DATE)
nonces = st.integers(0, 2**56).map(lambda number: f'{number:014x}')
digests = st.just('0' * 64)


def unknown(kind: type) -> st.SearchStrategy[dict]:
    known = {entry.name for entry in fields(kind)} - {'extra'}
    return st.dictionaries(texts.filter(lambda key: key not in known), plain_json, max_size=3)


@st.composite
def files(draw, published=False):
    made = {'path': draw(texts.filter(bool)), 'size': draw(st.integers(0, 2**40)), 'sha256': draw(digests)}
    return made | ({'steps': ['s0']} if published else {})


@st.composite
def steps(draw, step_id):
    status = draw(st.sampled_from(('drafted', 'queued', 'completed', 'failed', 'skipped')))
    outcome = {'date_started': DATE, 'date_finished': DATE, 'seconds': draw(st.floats(0, 1e6))}
    more = {
        'completed': outcome | {'output': draw(st.none() | files()), 'report': {'frames': draw(st.integers(0, 99))}},
        'failed': outcome | {'error': ERROR},
    }.get(status, {})
    args = draw(st.dictionaries(texts.filter(lambda key: not key.endswith('_path')), plain_json, max_size=3))
    args.pop('source_paths', None)
    args |= {'target_path': draw(st.none() | texts), 'output_path': draw(st.none() | texts)}
    extra = draw(unknown(StepRecord))
    noted = {'modified': draw(st.integers(-1, 2**63)), 'sampled': draw(st.booleans())}
    inputs = tuple(draw(st.lists(files().map(lambda made: made | noted), max_size=2)))
    return StepRecord(
        step_id, args, status=status, remix_of=draw(st.none() | texts), inputs=inputs, extra=extra, **more
    )


@st.composite
def attempts(draw, nonce):
    result = draw(st.sampled_from(('completed', 'failed', 'requeued', 'lost')))
    error = ERROR if result in ('failed', 'requeued') else None
    finished = None if result == 'lost' else DATE
    pid = draw(st.integers(0, 2**31))
    return AttemptRecord('host-1', pid, nonce, DATE, finished, result, error, draw(unknown(AttemptRecord)))


@st.composite
def records(draw, origin='job'):
    count = draw(st.integers(0, 4))
    return JobRecord(
        id=draw(st.from_regex(r'[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}', fullmatch=True)),
        date_created=draw(dates),
        date_updated=draw(maybe_dates),
        date_submitted=draw(maybe_dates),
        date_started=draw(maybe_dates),
        date_finished=draw(maybe_dates),
        priority=draw(st.integers(-1000, 1000)),
        retries=draw(st.integers(0, 100)),
        retries_used=draw(st.integers(0, 100)),
        retry_delay=draw(st.floats(0, 86400)),
        not_before=draw(st.none() | st.floats(0, 1e10)),
        notify=draw(st.none() | texts),
        on_step_error=draw(st.sampled_from(('stop', 'continue'))),
        error=draw(st.none() | st.just(ERROR)),
        outputs=tuple(draw(st.lists(files(published=True), max_size=2))),
        attempts=tuple(draw(attempts(nonce)) for nonce in draw(st.lists(nonces, max_size=3, unique=True))),
        steps=tuple(draw(steps(f's{index}')) for index in range(count)),
        extra=draw(unknown(JobRecord)),
    )


@given(records())
def test_records_survive_writing_and_reading_and_match_the_schema(record):
    text = record_bytes(record)
    assert parse_record(record.id, text) == record
    assert record_bytes(parse_record(record.id, text)) == text
    assert schema_errors(json.loads(text)) == []


def test_the_schema_has_the_keys_and_types_of_the_record_classes():
    for kind, part in ((JobRecord, SCHEMA), (StepRecord, SCHEMA['$defs']['step']), (AttemptRecord, None)):
        part = part or SCHEMA['$defs']['attempt']
        names = {entry.name for entry in fields(kind)} - {'extra'}
        assert names == set(part['properties']) == set(part['required'])
    generated = runpy.run_path(str(SCHEMA_PATH.parents[1] / 'scripts' / 'make_reference.py'))['job_record_schema']()
    assert SCHEMA_PATH.read_text(encoding='utf-8') == generated, 'run scripts/make_reference.py'


@pytest.mark.parametrize(
    ('place', 'value'),
    [
        (('priority',), '1'),
        (('retry_delay',), None),
        (('date_created',), 'yesterday'),
        (('origin',), 'user'),
        (('error',), 'it failed'),
        (('outputs',), [{'path': 'a'}]),
        (('steps', 0, 'inputs'), [{'path': 'a'}]),
        (('steps', 0, 'inputs'), None),
        (('steps', 0, 'status'), 'done'),
        (('steps', 0, 'error'), ERROR),
        (('steps', 0, 'args'), []),
        (('attempts', 0, 'pid'), 1.5),
        (('attempts', 0, 'result'), 'killed'),
        (('attempts', 0, 'result'), 'failed'),
    ],
)
def test_the_schema_refuses_wrong_values(place, value):
    attempt = AttemptRecord('host', 1, 'ab', DATE, DATE, 'completed')
    data = record_to_json(replace(make_record('job'), attempts=(attempt,)))
    assert schema_errors(data) == []
    part = data
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    assert schema_errors(data)


# Unknown keys

EXTRA = {'x-ours': {'deep': [1, None, 'ü']}, 'state': 'theirs', 'extra': [1]}


def plant(path: Path) -> None:
    """Add unknown keys at the top level, in steps and in attempts."""
    data = json.loads(path.read_bytes())
    for part in (data, *data['steps'], *data.get('attempts', ())):
        part |= EXTRA
    path.write_text(json.dumps(data))


def has_extra(part: dict) -> bool:
    return all(part.get(key) == value for key, value in EXTRA.items())


def test_unknown_keys_survive_edit_submit_a_failing_run_retry_and_completion(tmp_path):
    store = make_store(tmp_path)
    store.create(make_record('job', 2, tmp_path, extra={}))
    plant(store.root / 'drafted' / 'job.json')
    with store.edit('job', 'edit') as (claim, record):
        claim.finish('drafted', add_step(record, {'target_path': 't.png', 'output_path': str(tmp_path / 'added')}))
    with store.edit('job', 'submit') as (claim, record):
        claim.finish('queued', submitted(record))
    work = FakeWork(fails={1: JobError('it-failed', 'it failed')}, once=(1,))
    assert drain(store, work)['job'].state == 'failed'
    failed = store.root / 'failed' / 'job.json'
    data = json.loads(failed.read_bytes())
    assert has_extra(data) and [has_extra(step) for step in data['steps']] == [True, True, False]
    plant(failed)
    with store.edit('job', 'requeue') as (claim, record):
        claim.finish('queued', requeued(record))
    assert drain(store, work)['job'].state == 'completed'
    data = check_store(store.root, quiet=True)['job']
    assert has_extra(data) and all(has_extra(step) for step in data['steps'])
    assert [has_extra(attempt) for attempt in data['attempts']] == [True, False]
    assert [attempt['result'] for attempt in data['attempts']] == ['failed', 'completed']


# Files of FaceFusion 3.8

PEER_STRINGS = (
    'face_detector_model face_detector_size face_landmarker_model face_selector_mode face_selector_order '
    'face_occluder_model face_parser_model voice_extractor_model temp_frame_format temp_pixel_format '
    'output_audio_encoder output_video_encoder output_video_preset workflow_mode workflow_strategy age_modifier_model '
    'background_remover_model deep_swapper_model expression_restorer_model face_editor_model face_enhancer_model '
    'face_swapper_model face_swapper_pixel_boost frame_colorizer_model frame_colorizer_size frame_enhancer_model '
    'lip_syncer_model'
)
PEER_INTS = (
    'reference_face_position reference_frame_number target_frame_amount output_image_quality output_audio_quality '
    'output_audio_volume output_video_quality age_modifier_direction deep_swapper_morph expression_restorer_factor '
    'face_enhancer_blend frame_colorizer_blend frame_enhancer_blend'
)
PEER_NUMBERS = (
    'face_detector_score face_landmarker_score reference_face_distance face_tracker_score face_mask_blur '
    'output_image_scale output_video_scale face_editor_eyebrow_direction face_editor_eye_gaze_horizontal '
    'face_editor_eye_gaze_vertical face_editor_eye_open_ratio face_editor_lip_open_ratio face_editor_mouth_grim '
    'face_editor_mouth_pout face_editor_mouth_purse face_editor_mouth_smile face_editor_mouth_position_horizontal '
    'face_editor_mouth_position_vertical face_editor_head_pitch face_editor_head_yaw face_editor_head_roll '
    'face_enhancer_weight face_swapper_weight lip_syncer_weight'
)
PEER_LISTS = (
    'face_detector_margin face_detector_angles face_mask_padding background_remover_fill_color '
    'background_remover_despill_color face_mask_types face_mask_areas face_mask_regions processors '
    'expression_restorer_areas face_debugger_items'
)
PEER_NULLS = (
    'face_selector_age_start face_selector_age_end face_selector_gender face_selector_race trim_frame_start '
    'trim_frame_end output_video_fps'
)


def peer_args(target: str | None, output: str | None) -> dict:
    """Return all 85 keys of a step of FaceFusion 3.8."""
    args = {'source_paths': ['face.jpg'], 'target_path': target, 'output_path': output}
    values = ((PEER_STRINGS, 'made up'), (PEER_INTS, 80), (PEER_NUMBERS, 0.5), (PEER_LISTS, []), (PEER_NULLS, None))
    args |= {key: value for keys, value in values for key in keys.split()}
    assert len(args) == 85
    # Unknown values of the options that select faces are refused, so these values are valid.
    return args | {'face_selector_mode': 'many', 'face_selector_order': 'large-small'}


def write_peer_job(store: JobStore, state: str, job_id: str, steps: list[tuple[dict, str]], **more) -> Path:
    path = store.root / state / f'{job_id}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{'args': args, 'status': status} for args, status in steps]
    data = {'version': '1', 'date_created': DATE, 'date_updated': None, 'steps': listed} | more
    path.write_text(json.dumps(data, indent=4))
    return path


def test_a_job_of_facefusion_38_runs_and_becomes_version_2(tmp_path):
    store = make_store(tmp_path)
    first, last = str(tmp_path / 'a.MP4'), str(tmp_path / 'b.mp4')
    remix = step_output_path(first, 'old', 0)
    assert remix == str(tmp_path / 'a-old-0.mp4')
    steps = [(peer_args('clip.mp4', first), 'drafted'), (peer_args(remix, last), 'drafted')]
    write_peer_job(store, 'drafted', 'old', steps, mark='kept')
    check_store(store.root)
    opened = store.open('old')
    assert [step.remix_of for step in opened.record.steps] == [None, 'step-0']
    assert [step.args_version for step in opened.record.steps] == ['1', '1']
    assert opened.record.date_created == DATE
    with store.edit('old', 'submit') as (claim, record):
        claim.finish('queued', submitted(record))
    check_store(store.root, quiet=True)
    assert drain(store, FakeWork())['old'].state == 'completed'
    data = check_store(store.root, quiet=True)['old']
    assert data['version'] == '2' and data['mark'] == 'kept' and data['date_created'] == DATE
    assert data['steps'][0]['args'] == peer_args('clip.mp4', first)
    assert [output['path'] for output in data['outputs']] == [first, last]


def test_started_and_completed_steps_of_facefusion_38_are_repeated(tmp_path):
    from facefusion.events import silent
    from facefusion.jobs.notify import Notifier
    from facefusion.jobs.runner import JobRunner
    from facefusion.jobs.worker import Worker
    from facefusion.stopping import StopFlag

    store, work = make_store(tmp_path), FakeWork()
    joined = str(tmp_path / 'joined.mp4')
    args = [(peer_args('a.mp4', joined), 'completed'), (peer_args('b.mp4', joined), 'started')]
    write_peer_job(store, 'queued', 'killed', args)
    worker = Worker(store, JobRunner(store, work, 60.0, silent), Notifier(silent), 60.0, silent, StopFlag())
    tally = worker.run_queue(watch=False, max_jobs=None, halt_on_error=False, stop_after_current=StopFlag())
    assert tally[:2] == (1, 0) and work.ran == ['step-0', 'step-1']
    assert Path(joined).read_bytes() == b'[step-0][step-1]'
    check_store(store.root, quiet=True)


def test_unknown_argument_values_of_facefusion_38_become_defaults():
    messages = []
    groups = restore(peer_args('clip.mp4', 'out.mp4') | {'output_video_preset': 'fast'}, '1', messages.append)
    kept = {info.key: getattr(group, info.key) for group in groups for info in describe(type(group))}
    assert kept['target_path'] == 'clip.mp4' and kept['output_video_preset'] == 'fast'
    assert kept['face_detector_model'] == 'auto'
    assert any('face_detector_model' in event.text for event in messages)
    with pytest.raises(UsageError, match='face_selector_mode'):
        restore(peer_args('clip.mp4', 'out.mp4') | {'face_selector_mode': 'everyone'}, '1', silent)


@pytest.mark.parametrize('version', ['1', '2'])
def test_paths_of_a_step_may_start_with_the_home_folder(version, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    args = {'source_paths': ['~/a.png', 'b'], 'target_path': '~/t.mp4', 'output_path': '~no-such-user/o.mp4', 'x': '~'}
    steps = [{'args': args, 'status': 'queued'}]
    record = record_from_json('j', {'version': version, 'date_created': '2026-11-01', 'steps': steps})
    assert record.steps[0].args == {
        'source_paths': [str(tmp_path / 'a.png'), 'b'],
        'target_path': str(tmp_path / 't.mp4'),
        'output_path': '~no-such-user/o.mp4',
        'x': '~',
    }


def test_frozen_arguments_have_the_type_of_their_option():
    args = freeze(DEFAULTS, EmbeddedModels(), silent).args
    kinds = {'int': int, 'float': int | float, 'flag': bool}
    for info in (info for group in STEP_GROUPS for info in describe(group) if not info.no_effect):
        value = args[info.key]
        for item in value if info.is_list else [value]:
            assert item is None or isinstance(item, kinds.get(info.kind, str)), info.key
    assert schema_errors(record_to_json(add_step(JobRecord('job', now_text()), args))) == []


# Invalid records

SOUND = record_to_json(
    JobRecord(
        'job',
        DATE,
        not_before=1.5,
        notify='true',
        outputs=({'path': '/a', 'size': 1, 'sha256': '0' * 64, 'steps': ['s0']},),
        attempts=(AttemptRecord('host', 1, 'ab', DATE, DATE, 'completed'),),
        steps=(
            StepRecord('s0', {'output_path': '/a', 'target_path': '/t'}, output={'path': '/a', 'size': 1}),
            StepRecord('s1', {'output_path': '/a', 'target_path': '/t'}, remix_of='s0'),
        ),
    )
)
PEER = {
    'version': '1',
    'date_created': DATE,
    'date_updated': None,
    'steps': [
        {'args': peer_args('a', 'b'), 'status': 'queued'},
        {'args': peer_args('b-job-0', 'c'), 'status': 'failed'},
    ],
}
JUNK = (None, True, 0, -1, 1e999, 10**400, 0.5, '', 'x', '/', '.', '\0', '\ud800', 'ü' * 300, [], [1], {}, {'a': 1})


@pytest.mark.parametrize(
    ('change', 'messages'),
    [
        (b'', 'empty'),
        (b' \n', 'empty'),
        (b'{"version": "2", "steps": [', 'not JSON'),
        (b'\xff\xfe\xff', 'not JSON'),
        (b'[' * 100_000, 'not JSON'),
        (b'[]', 'not a JSON object'),
        ({'version': '3'}, 'version'),
        ({'version': 2}, 'version'),
        ({'steps': {}}, 'steps'),
        ({'date_created': None}, 'date'),
        ({'priority': True}, 'priority'),
        ({'retry_delay': float('nan')}, 'retry_delay'),
        ({'not_before': 1e999}, 'not_before'),
        ({'outputs': [1]}, 'outputs'),
        ({'attempts': [{'host': 'a'}]}, 'attempt'),
        ({'steps': [SOUND['steps'][0]] * 2}, 'same id'),
        ({'steps': [{'args': {}, 'status': 'weird'}]}, 'weird'),
        ({'steps': [{'args': {'output_path': 5}, 'status': 'queued'}]}, 'output_path'),
    ],
)
def test_an_invalid_record_names_the_problem(change, messages):
    text = change if isinstance(change, bytes) else json.dumps(SOUND | change).encode()
    with pytest.raises(RecordError, match=messages):
        parse_record('job', text)


@settings(max_examples=400)
@given(st.sampled_from((SOUND, PEER)), st.integers(0, 2**32), st.integers(1, 3))
def test_junk_results_in_a_record_error_or_a_usable_record(data, seed, changes):
    data, chance = json.loads(json.dumps(data)), random.Random(seed)
    for _ in range(changes):
        mutate(data, chance)
    try:
        record = parse_record('job', json.dumps(data).encode())
    except RecordError as error:
        assert len(str(error)) > 8
        return
    use(record)


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_damaged_bytes_result_in_a_record_error_or_a_usable_record(seed):
    chance = random.Random(seed)
    text = bytearray(json.dumps(chance.choice((SOUND, PEER))).encode())
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text))
        text[at : at + chance.randint(0, 3)] = bytes(
            chance.choice(b'{}[]",:0e\\u-tn\xff') for _ in range(chance.randint(0, 3))
        )
    try:
        record = parse_record('job', bytes(text[: chance.choice((None, chance.randrange(len(text))))]))
    except RecordError as error:
        assert len(str(error)) > 8
        return
    use(record)


def mutate(data: object, chance: random.Random) -> None:
    """Replace or delete a random part of the data."""
    part = data
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            return
        key = chance.choice(keys)
        if isinstance(part[key], dict | list) and part[key] and chance.random() < 0.7:
            part = part[key]
            continue
        if chance.random() < 0.15:
            del part[key]
        else:
            part[key] = copy.deepcopy(chance.choice(JUNK))
        return


def use(record: JobRecord) -> None:
    """Process a record as commands do before a run."""
    assert parse_record('job', record_bytes(record)) == record
    try:
        requeued(submitted(record))
        groups_of(record)
        work_paths(record)
    except FaceFusionError:
        pass


def test_broken_files_are_listed_skipped_by_workers_and_can_be_deleted(tmp_path):
    from facefusion.jobs.notify import Notifier
    from facefusion.jobs.runner import JobRunner
    from facefusion.jobs.summary import summaries
    from facefusion.jobs.worker import Worker
    from facefusion.stopping import StopFlag

    store, messages = make_store(tmp_path), []
    for name, text in {
        'cut': b'{"version"',
        'waits': json.dumps(SOUND | {'not_before': 'never'}).encode(),
        'weird': json.dumps(SOUND | {'steps': [{'args': {}, 'status': 'weird'}]}).encode(),
    }.items():
        path = store.root / 'queued' / f'{name}.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    worker = Worker(
        store, JobRunner(store, FakeWork(), 60.0, silent), Notifier(silent), 60.0, messages.append, StopFlag()
    )
    assert worker.run_queue(watch=False, max_jobs=None, halt_on_error=False, stop_after_current=StopFlag())[:2] == (
        0,
        0,
    )
    assert sorted(event.text.split()[5] for event in messages) == ['cut', 'waits', 'weird']
    assert {summary['id']: summary['state'] for summary in summaries(store)}['cut'] == 'broken'
    for name in ('cut', 'waits', 'weird'):
        with pytest.raises(JobError) as caught:
            store.open(name)
        assert caught.value.reference == 'job-broken' and str(store.root) in caught.value.cause
        store.delete(name)
    assert store.job_files() == {} and all(not any((store.root / state).glob('*')) for state in STATES)


def test_a_record_without_inputs_is_read():
    data = record_to_json(make_record('j', 2))
    for step in data['steps']:
        del step['inputs']
    assert [step.inputs for step in parse_record('j', json.dumps(data).encode()).steps] == [(), ()]
