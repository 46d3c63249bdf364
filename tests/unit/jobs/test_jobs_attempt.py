from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import pytest
from fakes.job_schema import SCHEMA_PATH, check_store, schema_errors, validator
from fakes.job_stores import FakeWork, content, drain, make_record, make_store
from fakes.owners import dead_owner
from hypothesis import given
from hypothesis import strategies as st

from facefusion.errors import (
    InternalError,
    Interrupted,
    JobError,
    MediaError,
    ModelError,
    OutputError,
    ResourceError,
    UsageError,
)
from facefusion.events import StageProgress, silent
from facefusion.jobs.adhoc_jobs import claim_adhoc, empty_record
from facefusion.jobs.attempt import PROGRESS_SECONDS, AttemptLog, merge_attempts, read_attempts
from facefusion.jobs.cancel import cancel
from facefusion.jobs.files import StoreFiles
from facefusion.jobs.reaper import MAX_LOST, Reaper
from facefusion.jobs.record import AttemptRecord, now_text
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.steps import requeued, submitted
from facefusion.jobs.store import JobStore
from facefusion.jobs.summary import job_view
from facefusion.ownership import new_owner
from facefusion.stopping import StopFlag

FAILED = JobError('it-failed', 'it failed', cause='no reason', hint='none')


def queue(store, record):
    store.create(record)
    with store.edit(record.id, 'submit') as (claim, drafted):
        claim.finish('queued', submitted(drafted))


def run(store, work, claim, record, flag=None):
    return JobRunner(store, work, 60.0, silent).run(claim, record, flag or StopFlag(), 'queued')


def die_after(store, job_id, steps=0, name='job'):
    """Claim a job as a dead process that has completed ``steps`` steps, and return its log."""
    owned = JobStore(store.root, make_owner=dead_owner)
    claim, record = owned.claim(job_id, 'run')
    attempt = AttemptRecord(claim.owner.host, claim.owner.pid, claim.owner.nonce, now_text())
    log = AttemptLog(store.files, claim.folder, attempt)
    log.begin()
    for index, step in enumerate(record.steps[: steps + 1]):
        step = replace(step, status='started', date_started=now_text())
        log.step_started(step, index, len(record.steps))
        log.progress('render', 1, None)
        if index < steps:
            path = step.output_path
            store.files.write(claim.folder.parent.parent.parent / path, content(step.id), sync=False)
            made = {'path': path, 'size': len(content(step.id)), 'sha256': '0' * 64}
            done = replace(step, status='completed', date_finished=now_text(), seconds=0.1, output=made, report={})
            log.step_ended(done)
            log.published({**made, 'steps': [step.id]})
    return log


def results_of(record):
    return [attempt.result for attempt in record.attempts]


# The files of real runs match the schema


def test_the_schema_is_valid():
    validator().check_schema(json.loads(SCHEMA_PATH.read_text()))


def test_drafted_queued_completed(tmp_path):
    store = make_store(tmp_path)
    store.create(make_record('job', 2, tmp_path))
    assert check_store(store.root, quiet=True)['job']['date_submitted'] is None
    with store.edit('job', 'submit') as (claim, record):
        check_store(store.root)
        claim.finish('queued', submitted(record))
    check_store(store.root, quiet=True)
    drain(store, FakeWork())
    data = check_store(store.root, quiet=True)['job']
    assert [output['steps'] for output in data['outputs']] == [['s0'], ['s1']]
    assert data['date_created'] <= data['date_submitted'] <= data['date_started'] <= data['date_finished']
    assert not (store.root / '.work' / 'job').exists()


def test_notes_of_a_running_job(tmp_path):
    store, seen = make_store(tmp_path), []
    queue(store, make_record('job', 2, tmp_path))

    def look(flag):
        check_store(store.root)
        (note,) = (store.root / '.work' / 'job').glob('*.json')
        view = job_view(store, 'job')
        seen.append((json.loads(note.read_bytes()), view))
        record = {key: value for key, value in view.items() if key not in ('state', 'worker', 'progress')}
        record.pop('steps_completed')
        statuses = [step['status'] for step in record['steps']]
        assert statuses[len(seen) - 1] == 'started'
        # Except for the running step, the view is a valid record.
        assert all('started' in error or 'date' in error for error in schema_errors(record))

    drain(store, FakeWork(before=look))
    (first, view), (second, later) = seen
    assert first['attempt']['nonce'] == second['attempt']['nonce']
    assert (first['step']['id'], first['step']['index'], first['step']['count']) == ('s0', 0, 2)
    assert (second['step']['id'], second['step']['index']) == ('s1', 1)
    assert view['state'] == later['state'] == 'running' and later['steps_completed'] == 1
    assert view['worker']['dead'] is False


def test_failed_retried_and_completed(tmp_path):
    store, work = make_store(tmp_path), FakeWork(fails={1: FAILED}, once=(1,))
    queue(store, make_record('job', 3, tmp_path))
    assert drain(store, work)['job'].state == 'failed'
    data = check_store(store.root, quiet=True)['job']
    assert [step['status'] for step in data['steps']] == ['completed', 'failed', 'queued']
    assert data['error'] == data['steps'][1]['error'] == data['attempts'][0]['error'] == FAILED.as_record()
    claim, record = store.claim('job', 'retry')
    check_store(store.root)
    assert run(store, work, claim, requeued(record)).state == 'completed'
    assert results_of(store.open('job').record) == ['failed', 'completed']
    assert work.ran == ['s0', 's1', 's1', 's2']
    check_store(store.root, quiet=True)


def test_automatic_retries(tmp_path):
    store, work = make_store(tmp_path), FakeWork(fails={0: FAILED})
    queue(store, make_record('job', 1, tmp_path, retries=2, retry_delay=0.0))
    assert drain(store, work)['job'].state == 'failed'
    data = check_store(store.root, quiet=True)['job']
    assert [attempt['result'] for attempt in data['attempts']] == ['failed'] * 3
    assert data['retries_used'] == 2 and data['not_before'] is None


def test_a_waiting_retry_has_its_time(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 1, tmp_path, retries=1, retry_delay=50.0))
    run(store, FakeWork(fails={0: FAILED}), *store.claim('job', 'run'))
    data = check_store(store.root, quiet=True)['job']
    assert store.find('job').state == 'queued' and 40 < data['not_before'] - time.time() <= 50


def test_a_batch_with_failed_and_dependent_steps(tmp_path):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / name)} for name in 'abc']
    template = replace(empty_record(), on_step_error='continue')
    claim, record, _ = claim_adhoc(store, 'batch-run', steps, steps, template)
    record = replace(record, steps=(*record.steps[:2], replace(record.steps[2], remix_of=record.steps[0].id)))
    check_store(store.root)
    assert run(store, FakeWork(fails={record.steps[0].id: FAILED}), claim, record).state == 'failed'
    data = check_store(store.root, quiet=True)[record.id]
    assert [step['status'] for step in data['steps']] == ['failed', 'completed', 'skipped']
    assert data['error']['reference'] == 'steps-failed' and data['origin'] == 'batch-run'


def test_stopped_and_requeued(tmp_path):
    store, flag = make_store(tmp_path), StopFlag()
    queue(store, make_record('job', 2, tmp_path))
    stop = iter((lambda: None, lambda: flag.set('SIGTERM was received')))
    run(store, FakeWork(before=lambda _: next(stop)()), *store.claim('job', 'run'), flag)
    data = check_store(store.root, quiet=True)['job']
    assert store.find('job').state == 'queued'
    assert [step['status'] for step in data['steps']] == ['completed', 'queued']
    assert data['attempts'][0]['result'] == 'requeued'
    assert drain(store, FakeWork())['job'].state == 'completed'
    check_store(store.root, quiet=True)


@pytest.mark.parametrize('state', ['queued', 'running', 'dead'])
def test_cancelled(tmp_path, state):
    store, flag = make_store(tmp_path), StopFlag()
    queue(store, make_record('job', 1, tmp_path))
    thread = threading.Thread(target=lambda: drain(store, FakeWork(seconds=20.0)))
    if state == 'running':
        thread.start()
        while store.find('job').kind != 'claim':
            time.sleep(0.005)
    if state == 'dead':
        die_after(store, 'job')
    cancel(store, 'job', flag)
    if state == 'running':
        thread.join()
    data = check_store(store.root, quiet=True)['job']
    assert store.find('job').state == 'failed' and data['error']['reference'] == 'cancelled'
    assert [attempt['result'] for attempt in data['attempts']] == {'running': ['failed'], 'dead': ['lost']}.get(
        state, []
    )
    assert not (store.root / '.work' / 'job').exists()


# Lost attempts


def test_completed_steps_of_a_lost_attempt_are_not_repeated(tmp_path):
    store, work = make_store(tmp_path), FakeWork()
    queue(store, make_record('job', 3, tmp_path))
    die_after(store, 'job', steps=2)
    check_store(store.root)
    Reaper(store, 60.0, silent).sweep()
    data = check_store(store.root, quiet=True)['job']
    assert [step['status'] for step in data['steps']] == ['completed', 'completed', 'queued']
    assert [attempt['result'] for attempt in data['attempts']] == ['lost']
    assert len(data['outputs']) == 2
    assert drain(store, work)['job'].state == 'completed' and work.ran == ['s2']
    data = check_store(store.root, quiet=True)['job']
    assert [attempt['result'] for attempt in data['attempts']] == ['lost', 'completed']


def test_a_job_whose_processes_die_fails_and_can_be_retried(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 1, tmp_path))
    for _ in range(MAX_LOST):
        die_after(store, 'job')
        Reaper(store, 60.0, silent).sweep()
        check_store(store.root, quiet=True)
    opened = store.open('job')
    assert opened.state == 'failed' and opened.record.error['reference'] == 'worker-lost'
    assert results_of(opened.record) == ['lost'] * MAX_LOST
    claim, record = store.claim('job', 'retry')
    assert run(store, FakeWork(), claim, requeued(record)).state == 'completed'
    check_store(store.root, quiet=True)


@pytest.mark.parametrize(
    ('error', 'is_found'),
    [
        (ResourceError('disk-short', 'the disk is still full'), True),
        (ModelError('model-unreachable', 'the host is away'), True),
        (OutputError('output-unwritable', 'the share is away'), True),
        (MediaError('media-damaged', 'it cannot be read'), False),
        (JobError('cancelled', 'it was cancelled'), False),
        (UsageError('audio-encoder-unusable', 'there is none'), False),
    ],
    ids=lambda value: getattr(value, 'reference', None),
)
def test_a_headless_run_is_resumed_after_external_failures(tmp_path, error, is_found):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / 'a')}]
    claim, record, _ = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    assert run(store, FakeWork(fails={record.steps[0].id: error}), claim, record).state == 'failed'
    other_claim, other, left = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    assert left == (f'which failed [{error.reference}]' if is_found else '')
    assert (other.id == record.id) == is_found
    assert run(store, FakeWork(), other_claim, other).state == 'completed'
    check_store(store.root, quiet=True)


def test_a_lost_headless_run_is_resumed(tmp_path):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / 'a')}]
    claim_adhoc(JobStore(store.root, make_owner=dead_owner), 'headless-run', steps, steps, empty_record())
    check_store(store.root)
    Reaper(store, 60.0, silent).sweep()
    ((job_id, data),) = check_store(store.root, quiet=True).items()
    assert data['error']['reference'] == 'worker-lost' and data['fingerprint'] in job_id
    claim, record, left = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    assert record.id == job_id and left == 'whose process died or stopped responding'
    assert run(store, FakeWork(), claim, record).state == 'completed'
    check_store(store.root, quiet=True)


@pytest.mark.parametrize(
    ('error', 'is_found'),
    [
        (ResourceError('work-unreadable', 'it failed'), True),
        (MediaError('media-missing', 'it failed'), True),
        (InternalError('unexpected', 'it failed'), True),
        (MediaError('media-changed', 'it failed'), False),
    ],
)
def test_a_headless_run_is_resumed_unless_the_command_was_wrong(tmp_path, error, is_found):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / 'a')}]
    claim, record, _ = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    claim.finish('failed', replace(record, error=error.as_record()))
    _, again, left = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    assert (bool(left), again.id == record.id) == (is_found, is_found)


def test_only_an_interrupted_job_is_described_as_interrupted(tmp_path):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / 'a')}]
    claim, record, _ = claim_adhoc(store, 'headless-run', steps, steps, empty_record())
    claim.finish('failed', replace(record, error=Interrupted().as_record()))
    assert claim_adhoc(store, 'headless-run', steps, steps, empty_record()).previous_end == 'which was interrupted'


def test_an_equal_command_resumes_the_job_with_its_original_models(tmp_path):
    store = make_store(tmp_path)
    asked = [{'target_path': '/t', 'output_path': '/o', 'face_swapper_model': 'auto'}]
    first = [{**asked[0], 'face_swapper_model': 'embedded'}]
    claim, record, _ = claim_adhoc(store, 'headless-run', first, asked, empty_record())
    claim.finish('failed', replace(record, error=Interrupted().as_record()))
    # Meanwhile a better model was downloaded.
    second = [{**asked[0], 'face_swapper_model': 'better'}]
    _, again, left = claim_adhoc(store, 'headless-run', second, asked, empty_record())
    assert (again.id, left) == (record.id, 'which was interrupted')
    assert [step.args['face_swapper_model'] for step in again.steps] == ['embedded']


@pytest.mark.parametrize('second', [MediaError('media-missing', 'gone'), MediaError('media-damaged', 'it is damaged')])
def test_a_batch_is_resumed_if_every_failure_may_be_temporary(tmp_path, second):
    store = make_store(tmp_path)
    steps = [{'target_path': '/t', 'output_path': str(tmp_path / name)} for name in 'abc']
    template = replace(empty_record(), on_step_error='continue')
    claim, record, _ = claim_adhoc(store, 'batch-run', steps, steps, template)
    fails = {record.steps[0].id: ResourceError('disk-full', 'no space'), record.steps[1].id: second}
    assert run(store, FakeWork(fails=fails), claim, record).error.reference == 'steps-failed'
    _, again, left = claim_adhoc(store, 'batch-run', steps, steps, template)
    is_found = second.reference == 'media-missing'
    assert left == ('which failed [steps-failed]' if is_found else '')
    if is_found:
        assert [step.status for step in again.steps] == ['queued', 'queued', 'completed']


# Damaged notes, and merging


def test_an_incomplete_line_is_ignored(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 3, tmp_path))
    die_after(store, 'job', steps=2)
    (path,) = (store.root / '.work' / 'job').glob('*.results')
    lines = path.read_bytes().splitlines(keepends=True)
    for length in range(len(lines[2])):
        path.write_bytes(b''.join(lines[:2]) + lines[2][:length])
        statuses = [step.status for step in store.open('job').record.steps]
        # The note of the dead process lists the third step as started.
        assert statuses == ['completed', 'queued', 'started'], length


@pytest.mark.parametrize('text', [b'', b'{', b'[]', b'null', b'{"attempt": 1}', b'{"attempt": {"pid": 1}}', b'\xff'])
def test_a_damaged_note_is_ignored(tmp_path, text):
    store, work = make_store(tmp_path), FakeWork()
    queue(store, make_record('job', 2, tmp_path))
    die_after(store, 'job', steps=1)
    (note,) = (path for path in (store.root / '.work' / 'job').iterdir() if path.suffix == '.json')
    note.write_bytes(text)
    assert read_attempts(note.parent) == []
    Reaper(store, 60.0, silent).sweep()
    assert drain(store, work)['job'].state == 'completed' and work.ran == ['s0', 's1']
    check_store(store.root, quiet=True)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(('id', 'status', 'path', 'step', 'output', 'seconds', 'steps')), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(st.lists(junk, max_size=3), st.sampled_from(('s0', 's1', 'other')), junk)
def test_damaged_results_never_produce_an_unreadable_record(tmp_path_factory, lines, step_id, output):
    from facefusion.jobs.record import parse_record, record_bytes

    folder = tmp_path_factory.mktemp('work')
    attempt = AttemptRecord('host', 1, 'ab', now_text())
    AttemptLog(StoreFiles(), folder, attempt).begin()
    lines = [*lines, {'step': {'id': step_id, 'status': 'completed', 'output': output}}, {'output': output}]
    (folder / 'ab.results').write_text(''.join(json.dumps(line) + '\n' for line in lines))
    record = merge_attempts(make_record('job', 2), read_attempts(folder), None)
    assert parse_record('job', record_bytes(record)) == record


def test_merging_twice_changes_nothing(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 3, tmp_path))
    die_after(store, 'job', steps=2)
    record = store.open('job').record
    notes = read_attempts(store.root / '.work' / 'job')
    once = merge_attempts(record, notes, None)
    assert results_of(once) == ['lost'] and merge_attempts(once, notes, None) == once


def test_attempts_are_merged_in_order_and_the_last_result_counts(tmp_path):
    folder = tmp_path / 'work'
    record = submitted(make_record('job', 1, tmp_path))
    for number, nonce in enumerate(('bb', 'aa')):
        log = AttemptLog(StoreFiles(), folder, AttemptRecord('host', 1, nonce, f'2026-01-0{number + 1}T00:00:00+00:00'))
        log.begin()
        log.step_ended(replace(record.steps[0], status='completed', seconds=float(number), report={}))
    merged = merge_attempts(record, read_attempts(folder), None)
    assert [attempt.nonce for attempt in merged.attempts] == ['bb', 'aa'] and merged.steps[0].seconds == 1.0


# Progress


def test_progress_is_written_completely_and_at_most_once_a_second(tmp_path):
    class Counting(StoreFiles):
        written = 0

        def rename(self, old, new):
            Counting.written += 1
            super().rename(old, new)

    log = AttemptLog(Counting(), tmp_path / 'work', AttemptRecord('host', 1, 'ab', now_text()))
    log.begin()
    path, start = tmp_path / 'work' / 'ab.json', time.monotonic()

    def work():
        for done in range(3000):
            log.progress('render', done, 3000)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert schema_errors(json.loads(path.read_bytes()), 'attempt_note') == []
    assert Counting.written <= 2 + (time.monotonic() - start) / PROGRESS_SECONDS
    assert list(path.parent.glob('*.part')) == []


def test_job_view_shows_progress(tmp_path, monkeypatch):
    monkeypatch.setattr('facefusion.jobs.attempt.PROGRESS_SECONDS', 0.0)
    store, seen = make_store(tmp_path), []
    queue(store, make_record('job', 1, tmp_path))

    class Work(FakeWork):
        def run(self, job_id, step, target, output, emit, flag):
            emit(StageProgress('analyse', 7, None))
            seen.append(job_view(store, 'job')['progress'])
            emit(StageProgress('render', 3, 9))
            seen.append(job_view(store, 'job')['progress'])
            emit(StageProgress('fetch', 1, 2, unit='B'))
            seen.append(job_view(store, 'job')['progress'])
            check_store(store.root)
            return super().run(job_id, step, target, output, emit, flag)

    drain(store, Work())
    shown = [(found['id'], found['stage'], found['done'], found['total']) for found in seen]
    assert shown == [('s0', 'analyse', 7, None), ('s0', 'render', 3, 9), ('s0', 'render', 3, 9)]


def test_an_attempt_starts_while_another_process_removes_its_folder(tmp_path):
    class Slow(StoreFiles):
        taken = 0

        def make_folder(self, path):
            super().make_folder(path)
            if Slow.taken < 3 and path.name == 'work':
                Slow.taken += 1
                path.rmdir()

    log = AttemptLog(Slow(), tmp_path / 'work', AttemptRecord('host', 1, 'ab', now_text()))
    log.begin()
    assert sorted(path.name for path in (tmp_path / 'work').iterdir()) == ['ab.json', 'ab.results']


def test_a_process_with_deleted_notes_does_not_finish(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 2, tmp_path))

    def take(flag):
        store.take_over(store.find('job'))
        store.clean_work('job')

    work = FakeWork(before=take)
    outcome = run(store, work, *store.claim('job', 'run'))
    assert outcome.is_lost and work.made == []
    assert store.find('job').kind == 'claim' and list(tmp_path.glob('*.bin')) == []
    assert new_owner().pid == store.find('job').owner.pid


def test_a_reaper_frozen_before_the_fence_loses_its_claim(tmp_path):
    class Frozen(StoreFiles):
        def sync_folder(self, path):
            if path.name == 'job':
                Reaper(other, 60.0, silent, clock=iter((0.0, 61.0)).__next__)._settle(other.find('job'))
            super().sync_folder(path)

    other, store = make_store(tmp_path), make_store(tmp_path, files=Frozen())
    queue(other, make_record('job', 1, tmp_path))
    die_after(other, 'job')
    messages = []
    Reaper(store, 60.0, messages.append).sweep()
    assert messages == []
    assert other.find('job').state == 'queued' and results_of(other.open('job').record) == ['lost']
    check_store(store.root, quiet=True)


def test_a_worker_frozen_before_its_start_leaves_no_notes(tmp_path):
    store = make_store(tmp_path)
    queue(store, make_record('job', 1, tmp_path))
    claim, record = store.claim('job', 'run')
    taken, whole = store.take_over(store.find('job'))
    taken.finish('queued', requeued(whole))
    assert drain(store, FakeWork())['job'].state == 'completed'
    before = sorted(store.root.rglob('*'))
    outcome = run(store, FakeWork(), claim, record)
    assert outcome.is_lost and sorted(store.root.rglob('*')) == before
    assert results_of(store.open('job').record) == ['completed']
    check_store(store.root, quiet=True)
