"""Tests that the reaper requeues the jobs of dead processes and never those of live ones, whatever the clocks show."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, drain, make_queued, make_record, make_store
from fakes.owners import dead_owner, foreign_owner

from facefusion.errors import JobError
from facefusion.events import silent
from facefusion.jobs.reaper import MAX_LOST, Reaper, beat_seconds
from facefusion.jobs.steps import submitted
from facefusion.jobs.store import JobStore
from facefusion.jobs.worker import Queue
from facefusion.ownership import new_owner

YEAR_1970, FAR = (0, 0), (4_000_000_000, 4_000_000_000)


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path)


class Watch:
    """A reaper in another process, with its own clock."""

    def __init__(self, store, timeout=CLAIM_TIMEOUT):
        self.now = 0.0
        self.messages, self.ends = [], []
        self.store = JobStore(store.root)
        self.reaper = Reaper(
            self.store, timeout, self.messages.append, lambda *end: self.ends.append(end), clock=lambda: self.now
        )

    def sweep_at(self, now):
        self.now = now
        return self.reaper.sweep()


def claimed_by(store, owner, job_id='x'):
    make_queued(store, make_record(job_id))
    return JobStore(store.root, make_owner=lambda: owner).claim(job_id, 'run')[0]


def state(store, job_id='x'):
    return store.find(job_id).state


def age(claim, seconds):
    then = time.time() - seconds
    os.utime(claim.path, (then, then))


def test_a_dead_process_is_detected_at_once(store):
    claim = claimed_by(store, dead_owner())
    os.utime(claim.path, FAR)
    watch = Watch(store)
    watch.sweep_at(0)
    assert state(store) == 'queued'
    assert 'is back in the queue' in watch.messages[0].text
    watch.sweep_at(0)
    assert len(watch.messages) == 1


@pytest.mark.parametrize('times', [YEAR_1970, FAR, None], ids=['1970', 'future', 'as it is'])
def test_a_silent_process_elsewhere_loses_its_claim_after_the_timeout(store, times):
    claim = claimed_by(store, foreign_owner())
    if times is not None:
        os.utime(claim.path, times)
    watch = Watch(store)
    # A claim dated 1970 is old at the first sweep and expires after half of the timeout.
    limit = CLAIM_TIMEOUT / 2 if times == YEAR_1970 else CLAIM_TIMEOUT
    assert watch.sweep_at(1000.0) == (times == YEAR_1970)
    watch.sweep_at(1000.0 + limit - 1)
    assert state(store) == 'running'
    watch.sweep_at(1000.0 + limit)
    assert state(store) == 'queued'


@pytest.mark.parametrize('lie', [None, 'same 1970', 'future', 'backwards', 'same now'])
def test_a_live_process_elsewhere_keeps_its_claim_with_any_file_times(store, lie):
    """The process renews its claim regularly, and the test then sets a wrong modification time."""
    claim = claimed_by(store, foreign_owner())
    watch = Watch(store)
    now = time.time()
    for beat in range(0, 300, 15):
        # The timestamps of the file system have a resolution of a few milliseconds.
        time.sleep(0.005)
        claim.check()
        if lie is not None:
            lies = {'same 1970': 0, 'future': now + 1e8 + beat, 'backwards': now - 1000 * beat, 'same now': now}
            os.utime(claim.path, (lies[lie], lies[lie]))
        watch.sweep_at(float(beat))
    assert state(store) == 'running'
    claim.check()


def test_a_clock_jump_takes_no_claim_from_a_live_process(store):
    """The clock jumps, for example because the machine of the reaper was suspended."""
    claim = claimed_by(store, foreign_owner())
    watch = Watch(store)
    watch.sweep_at(0.0)
    for now in (1e6, 2e6, 2e6 - 5e5, 3e6):
        time.sleep(0.01)
        claim.check()
        watch.sweep_at(now)
        assert state(store) == 'running'
    claim.check()


def test_the_wall_clock_of_the_reaper_does_not_count(store, monkeypatch):
    claimed_by(store, foreign_owner())
    watch = Watch(store)
    for jump in (0.0, 1e9, -1e9):
        real = time.time()
        monkeypatch.setattr(time, 'time', lambda jump=jump, real=real: real + jump)
        assert watch.sweep_at(1.0) is False
        monkeypatch.undo()
    assert state(store) == 'running'


def test_one_renewal_within_the_timeout_is_enough(store):
    claim = claimed_by(store, foreign_owner())
    watch = Watch(store)
    for now in range(0, 1000, int(CLAIM_TIMEOUT) - 1):
        watch.sweep_at(float(now))
        assert state(store) == 'running'
        time.sleep(0.005)
        claim.check()


def test_a_process_of_another_realm_does_not_count_as_dead(store):
    """A container with the same host name has other process ids."""
    outcome = dead_owner()
    other = outcome._replace(nonce='000000' + outcome.nonce[6:])
    assert outcome.is_dead()
    assert not other.is_dead()
    claimed_by(store, other)
    watch = Watch(store)
    watch.sweep_at(0.0)
    assert state(store) == 'running'
    watch.sweep_at(CLAIM_TIMEOUT)
    assert state(store) == 'queued'


@pytest.mark.skipif(os.name == 'nt', reason='Windows has no zombie processes')
def test_a_zombie_counts_as_dead_and_a_process_of_another_user_as_alive(monkeypatch):
    child = subprocess.Popen([sys.executable, '-c', ''])
    owner = new_owner()._replace(pid=child.pid)
    while not owner.is_dead():
        time.sleep(0.01)
    assert child.wait() == 0 and owner.is_dead()
    assert not new_owner().is_dead() and new_owner()._replace(pid=10**30).is_dead()
    monkeypatch.setattr(os, 'kill', lambda pid, number: (_ for _ in ()).throw(PermissionError))
    assert not owner.is_dead()


def test_a_hung_process_of_this_machine_loses_its_claim_after_the_timeout(store):
    claim = claimed_by(store, new_owner())
    watch = Watch(store)
    watch.sweep_at(0.0)
    watch.sweep_at(CLAIM_TIMEOUT - 1)
    assert state(store) == 'running'
    watch.sweep_at(CLAIM_TIMEOUT)
    assert state(store) == 'queued'
    with pytest.raises(JobError):
        claim.check()


def test_changes_of_dead_and_hung_processes_are_settled(store):
    dead, hung = dead_owner(), foreign_owner()
    for job_id in ('a', 'b', 'c', 'd'):
        store.create(make_record(job_id))
    folder = store.root / 'drafted'
    (folder / 'a.json').rename(folder / f'a@{dead.tag}.edit')
    (folder / 'b.json').rename(folder / f'b@{hung.tag}.edit')
    for job_id, owner in (('c', dead), ('d', hung)):
        (folder / f'{job_id}.json').rename(folder / f'{job_id}@{owner.tag}.done')
        prepared = store.root / '.work' / job_id / f'{owner.nonce}.queued.json'
        prepared.parent.mkdir(parents=True)
        prepared.write_bytes((folder / f'{job_id}@{owner.tag}.done').read_bytes())
    watch = Watch(store)
    watch.sweep_at(0.0)
    assert {job_file.job_id for job_file in store.claimed_files()} == {'b', 'd'}
    watch.sweep_at(9.0)
    assert len(store.claimed_files()) == 2
    watch.sweep_at(10.0)
    assert store.claimed_files() == []
    assert [state(store, job_id) for job_id in 'abcd'] == ['drafted', 'drafted', 'queued', 'queued']
    assert not list((store.root / '.work').glob('?'))


def test_a_job_whose_processes_die_repeatedly_fails(store, tmp_path):
    class Killed(BaseException):
        pass

    make_queued(store, make_record('x', 1, tmp_path / 'out'))
    dead = dead_owner()
    dying = JobStore(store.root, make_owner=lambda: new_owner()._replace(pid=dead.pid))
    watch = Watch(store)
    for number in range(MAX_LOST):
        assert state(store) == 'queued'
        with pytest.raises(Killed):
            drain(dying, FakeWork({0: Killed()}))
        watch.sweep_at(float(number))
    record = store.open('x').record
    assert (state(store), record.error['reference']) == ('failed', 'worker-lost')
    assert [attempt.result for attempt in record.attempts] == ['lost'] * MAX_LOST
    assert watch.ends == [('x', 'failed')]


def test_a_dead_headless_run_is_a_failed_job(store):
    owner = dead_owner()
    JobStore(store.root, make_owner=lambda: owner).create_running(submitted(make_record('x', origin='headless-run')))
    watch = Watch(store)
    watch.sweep_at(0.0)
    assert (state(store), watch.ends) == ('failed', [('x', 'failed')])


def test_an_unwritable_store_is_reported_once(store, monkeypatch):
    claimed_by(store, dead_owner())
    watch = Watch(store)
    with monkeypatch.context() as patch:
        full = JobError('store-full', 'the job store has no space left', cause='no space')
        patch.setattr(watch.store.files, 'rename', lambda old, new: (_ for _ in ()).throw(full))
        for now in range(5):
            watch.sweep_at(float(now))
    assert [event.text for event in watch.messages] == ['the job store has no space left: no space']
    watch.sweep_at(9.0)
    assert state(store) == 'queued'


def test_a_broken_claimed_job_fails_as_broken(store):
    claim = claimed_by(store, dead_owner())
    claim.path.write_bytes(b'{')
    watch = Watch(store)
    for now in range(3):
        watch.sweep_at(float(now))
    assert len(watch.messages) == 1
    assert store.find('x').path == store.root / 'failed' / 'x.json'


def test_a_temporarily_unreadable_claim_is_not_a_failed_job(store, monkeypatch):
    claimed_by(store, dead_owner())
    watch = Watch(store)

    def read_file(path):
        raise OSError(errno.EIO, 'Input/output error')

    with monkeypatch.context() as patch:
        patch.setattr('facefusion.jobs.store.read_file', read_file)
        watch.sweep_at(0.0)
    assert state(store) == 'running'
    assert [event.text.partition(':')[0] for event in watch.messages] == ['the job store cannot be read']
    for now in (0.0, CLAIM_TIMEOUT + 1):
        watch.sweep_at(now)
    assert state(store) == 'queued'


def test_the_interval_of_renewals():
    assert beat_seconds(60.0) == 1.0
    assert beat_seconds(2.0) == 0.5


def test_a_retry_does_not_wait_for_a_clock_that_was_set_back(store):
    for job_id, seconds in (('soon', -1.0), ('later', 600.0), ('never', 86_400.0)):
        make_queued(store, make_record(job_id, not_before=time.time() + seconds))
    ready, waits = Queue(store, silent).ready()
    assert set(ready) == {'soon', 'never'}
    assert waits
