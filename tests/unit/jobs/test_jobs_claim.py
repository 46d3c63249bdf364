"""Tests of claims: only one of several processes gets a job, and a process that lost its claim cannot change it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, content, drain, files_in, make_queued, make_record, make_store
from fakes.owners import dead_owner, foreign_owner
from fakes.waits import wait_until

from facefusion.errors import ClaimLost, Interrupted, JobError
from facefusion.events import silent
from facefusion.jobs.attempt import AttemptLog
from facefusion.jobs.cancel import cancel
from facefusion.jobs.claim import ClaimFlag, Heartbeat, cancel_path
from facefusion.jobs.files import StoreFiles
from facefusion.jobs.job_files import parse_job_file
from facefusion.jobs.reaper import Reaper
from facefusion.jobs.record import AttemptRecord, now_text
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.store import JobStore
from facefusion.jobs.summary import summaries
from facefusion.stopping import StopFlag

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


def state(store, job_id='x'):
    return store.find(job_id).state


def take_away(store, job_id='x'):
    """Requeue a claimed job, as the reaper of another machine does after the timeout."""
    now = [0.0]
    reaper = Reaper(JobStore(store.root), CLAIM_TIMEOUT, silent, clock=lambda: now[0])
    reaper.sweep()
    now[0] = CLAIM_TIMEOUT
    reaper.sweep()
    assert state(store, job_id) == 'queued'


@pytest.mark.parametrize(
    ('folder', 'name', 'kind'),
    [
        ('queued', 'x.json', 'plain'),
        ('queued', 'x.y.json', 'plain'),
        ('queued', 'x@host.1.ab.edit', 'edit'),
        ('queued', 'x@host.1.ab.done', 'done'),
        ('running', 'x.y@host.1.ab.json', 'claim'),
        ('running', 'x@host.1.ab.done', 'done'),
        ('queued', 'x@host.1.ab.json', None),
        ('queued', 'x@host.json', None),
        ('queued', 'x@@host.1.ab.json', None),
        ('queued', 'x.done', None),
        ('queued', '.x.json', None),
        ('queued', 'x', None),
        ('queued', '', None),
    ],
)
def test_job_file_names(tmp_path, folder, name, kind):
    job_file = parse_job_file(tmp_path, folder, name)
    assert (job_file.kind if job_file else None) == kind
    assert job_file is None or job_file.job_id in ('x', 'x.y')


def test_one_of_several_threads_gets_the_claim(store):
    rounds, racers = 40, 4
    make_queued(store, *(make_record(f'j{number}') for number in range(rounds)))
    barrier = threading.Barrier(racers)

    def race(number):
        own = []
        for turn in range(rounds):
            barrier.wait()
            try:
                JobStore(store.root).claim(f'j{turn}', 'run')
                own.append(turn)
            except JobError as error:
                assert error.reference in ('job-taken', 'job-wrong-state')
        return own

    with ThreadPoolExecutor(racers) as pool:
        won = sorted(turn for own in pool.map(race, range(racers)) for turn in own)
    assert won == list(range(rounds))
    assert [entry['state'] for entry in summaries(store)] == ['running'] * rounds
    assert len(store.claimed_files()) == rounds


def _race(root, begin, rounds, won):
    store = JobStore(root)
    for turn in range(rounds):
        time.sleep(max(0.0, begin + turn * 0.02 - time.time()))
        try:
            store.claim(f'j{turn}', 'run')
        except JobError:
            continue
        won.put(turn)
    won.put(None)


def test_one_of_several_processes_gets_the_claim(store):
    rounds, racers = 30, 2
    make_queued(store, *(make_record(f'j{number}') for number in range(rounds)))
    context = multiprocessing.get_context('spawn')
    won = context.Queue()
    begin = time.time() + 1.5
    processes = [context.Process(target=_race, args=(store.root, begin, rounds, won)) for _ in range(racers)]
    for process in processes:
        process.start()
    turns = []
    outcome = 0
    while outcome < racers:
        turn = won.get(timeout=30)
        outcome += turn is None
        turns += [] if turn is None else [turn]
    for process in processes:
        process.join(10)
    assert sorted(turns) == list(range(rounds))


def test_a_refused_claim_names_the_reason(store):
    store.create(make_record('x'))
    for job_id, reference in (('x', 'job-wrong-state'), ('y', 'job-unknown')):
        with pytest.raises(JobError) as caught:
            store.claim(job_id, 'run')
        assert caught.value.reference == reference
    make_queued(store, make_record('z'))
    store.claim('z', 'run')
    for call in (lambda: store.claim('z', 'run'), lambda: store.delete('z')):
        with pytest.raises(JobError) as caught:
            call()
        assert caught.value.reference == 'job-wrong-state'


def test_the_claim_of_a_broken_job_is_released(store):
    make_queued(store, make_record('x'))
    path = store.root / 'queued' / 'x.json'
    path.write_bytes(b'{')
    with pytest.raises(JobError, match='cannot be read'):
        store.claim('x', 'run')
    assert path.read_bytes() == b'{'
    assert store.claimed_files() == []


def test_a_process_without_its_claim_cannot_change_the_job(store, tmp_path):
    make_queued(store, make_record('x', 2, tmp_path / 'out'))
    claim, record = store.claim('x', 'run')
    log = AttemptLog(store.files, claim.folder, AttemptRecord('h', 1, claim.owner.nonce, now_text()))
    log.begin()
    take_away(store)
    other, again = store.claim('x', 'run')
    flag = ClaimFlag(claim, StopFlag())
    for call in (claim.check, flag.confirm, claim.release, lambda: claim.release('failed')):
        with pytest.raises(ClaimLost):
            call()
    for end in ('completed', 'failed', 'queued'):
        with pytest.raises(ClaimLost):
            claim.finish(end, record)
    with pytest.raises(FileNotFoundError):
        log.step_ended(record.steps[0])
    flag.check()
    assert state(store) == 'running'
    other.check()
    other.finish('queued', again)
    assert drain(store, FakeWork())['x'].state == 'completed'
    assert len(files_in(store.root)) == 1


def test_a_frozen_worker_publishes_nothing(store, tmp_path):
    """The worker wakes up within a step, after another worker has completed the job."""
    make_queued(store, make_record('x', 2, tmp_path / 'out'))
    other = FakeWork()

    def freeze(flag):
        if len(frozen.ran) == 2:
            take_away(store)
            assert drain(JobStore(store.root), other)['x'].state == 'completed'

    frozen = FakeWork(before=freeze)
    events = []
    outcome = JobRunner(store, frozen, CLAIM_TIMEOUT, events.append).run(*store.claim('x', 'run'), StopFlag())
    assert outcome.is_lost
    # The first step was not repeated, and the frozen worker did not finish the second one.
    assert (frozen.made, other.made) == (['s0'], ['s1'])
    record = store.open('x').record
    assert [attempt.result for attempt in record.attempts] == ['lost', 'completed']
    assert len(files_in(store.root)) == 1


@pytest.mark.parametrize('woken', ['before the fence', 'after the fence'])
def test_a_worker_that_freezes_near_the_fence(store, tmp_path, monkeypatch, woken):
    """Before the fence, its result does not count; after the fence, another process completes the change."""
    make_queued(store, make_record('x', 1, tmp_path / 'out'))
    real, others = store.files.rename, []

    def rename(old, new):
        if new.suffix == '.done' and woken == 'before the fence':
            take_away(store)
            others.append(drain(JobStore(store.root), FakeWork())['x'].state)
        if new == store.root / 'completed' / 'x.json':
            now = [0.0]
            reaper = Reaper(
                JobStore(store.root), CLAIM_TIMEOUT, silent, lambda job_id, end: others.append(end), lambda: now[0]
            )
            reaper.sweep()
            assert others == []
            now[0] = 11.0
            reaper.sweep()
        real(old, new)

    monkeypatch.setattr(store.files, 'rename', rename)
    outcome = JobRunner(store, FakeWork(), CLAIM_TIMEOUT, silent).run(*store.claim('x', 'run'), StopFlag())
    assert outcome.is_lost == (woken == 'before the fence')
    assert others == ['completed']
    assert state(store) == 'completed'
    assert len(files_in(store.root)) == 1


def test_a_heartbeat_renews_the_claim_and_detects_loss_and_cancel_requests(store):
    make_queued(store, make_record('x'), make_record('y'))
    claim, _ = store.claim('x', 'run')
    flag = StopFlag()
    before = claim.path.stat().st_mtime_ns
    with Heartbeat(claim, 0.02, flag) as heart:
        wait_until(lambda: claim.path.stat().st_mtime_ns > before)
        assert not flag.is_set()
        store.files.write_in_folder(cancel_path(claim.folder, claim.owner), b'', sync=False)
        wait_until(flag.is_set)
        assert heart.cancelled
    claim, _ = store.claim('y', 'run')
    flag = StopFlag()
    with Heartbeat(claim, 0.02, flag) as heart:
        claim.path.rename(store.root / 'queued' / 'y.json')
        wait_until(flag.is_set)
        assert not heart.cancelled


def test_a_heartbeat_continues_after_the_store_was_unreachable(store, monkeypatch):
    make_queued(store, make_record('x'))
    claim, _ = store.claim('x', 'run')
    flag, tried, fails = StopFlag(), [], [True]
    real = StoreFiles.touch

    def touch(self, path):
        tried.append(path)
        if fails[0]:
            raise JobError('store-unwritable', 'away')
        real(self, path)

    monkeypatch.setattr(StoreFiles, 'touch', touch)
    before = claim.path.stat().st_mtime_ns
    with Heartbeat(claim, 0.02, flag):
        wait_until(lambda: len(tried) > 2)
        assert claim.path.stat().st_mtime_ns == before
        fails[0] = False
        wait_until(lambda: claim.path.stat().st_mtime_ns > before)
    assert not flag.is_set()


def test_a_failed_note_does_not_block_later_ones(store, monkeypatch, tmp_path):
    log = AttemptLog(store.files, tmp_path / 'work', AttemptRecord('h', 1, 'ab', now_text()))
    log.begin()
    with monkeypatch.context() as patch:
        patch.setattr(store.files, 'rename', lambda old, new: (_ for _ in ()).throw(JobError('store-full', 'full')))
        with pytest.raises(JobError):
            log.step_started(make_record('x').steps[0], 0, 1)
    log.step_started(make_record('x').steps[0], 0, 1)


def test_the_claim_is_released_when_the_store_is_full(store, tmp_path, monkeypatch):
    """The process is still alive, so no reaper would release its claim."""
    make_queued(store, make_record('x', 2, tmp_path / 'out'))
    work = FakeWork()
    with monkeypatch.context() as patch:
        patch.setattr(store.files, 'sync_folder', lambda path: (_ for _ in ()).throw(JobError('store-full', 'full')))
        claim, record = store.claim('x', 'run')
        with pytest.raises(JobError, match='full'):
            JobRunner(store, work, CLAIM_TIMEOUT, silent).run(claim, record, StopFlag())
    assert state(store) == 'queued'
    Reaper(store, CLAIM_TIMEOUT, silent).sweep()
    assert drain(store, work)['x'].state == 'completed'
    assert work.ran == ['s0', 's1']
    assert len(files_in(store.root)) == 1


# Cancelling


def test_cancelling_a_running_job(store, tmp_path):
    make_queued(store, make_record('x', 1, tmp_path / 'out'))
    taken = store.claim('x', 'run')
    runner = JobRunner(store, FakeWork(seconds=30), 0.2, silent)
    with ThreadPoolExecutor(1) as pool:
        # The request arrives before the attempt has a folder.
        asked = pool.submit(cancel, JobStore(store.root), 'x', StopFlag())
        time.sleep(0.15)
        outcome = runner.run(*taken, StopFlag())
        asked.result()
    assert (outcome.state, outcome.error.reference) == ('failed', 'cancelled')
    assert store.open('x').record.error['reference'] == 'cancelled'
    assert len(files_in(store.root)) == 1


@pytest.mark.parametrize('owner', ['dead', 'foreign'])
def test_cancelling_the_job_of_a_dead_or_silent_process(store, owner, monkeypatch):
    make_owner = dead_owner if owner == 'dead' else foreign_owner
    make_queued(store, make_record('x'))
    JobStore(store.root, make_owner=make_owner).claim('x', 'run')
    monkeypatch.setattr('facefusion.jobs.cancel.PATIENCE_SECONDS', 0.3)
    if owner == 'dead':
        cancel(store, 'x', StopFlag())
        assert state(store) == 'failed'
    else:
        with pytest.raises(JobError, match='has not stopped'):
            cancel(store, 'x', StopFlag())
        assert state(store) == 'running'
        flag = StopFlag()
        flag.set('enough')
        with pytest.raises(Interrupted):
            cancel(store, 'x', flag)


def test_a_cancel_slower_than_a_reaper_cancels_the_requeued_job(store, monkeypatch):
    make_queued(store, make_record('x'))
    JobStore(store.root, make_owner=dead_owner).claim('x', 'run')
    real = store.take_over

    def late(job_file):
        Reaper(JobStore(store.root), CLAIM_TIMEOUT, silent).sweep()
        return real(job_file)

    monkeypatch.setattr(store, 'take_over', late)
    cancel(store, 'x', StopFlag())
    assert store.open('x').record.error['reference'] == 'cancelled'
    assert state(store) == 'failed'


def test_each_finished_step_writes_its_own_content(store, tmp_path):
    make_queued(store, make_record('x', 2, tmp_path / 'out'))
    outcome = drain(store, FakeWork())['x']
    assert [(tmp_path / 'out' / f'x-{index}.bin').read_bytes() for index in range(2)] == [content('s0'), content('s1')]
    assert [output['steps'] for output in outcome.record.outputs] == [['s0'], ['s1']]
