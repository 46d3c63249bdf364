"""Takes jobs from the store, one after the other, and works on them."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import ClaimLost, FaceFusionError, JobError, error_from_record
from facefusion.events import Emit, Message
from facefusion.jobs.claim import Hold, JobFile, is_claimable
from facefusion.jobs.job_files import unreadable
from facefusion.jobs.notify import Notifier
from facefusion.jobs.reaper import Reaper
from facefusion.jobs.record import JobRecord, RecordError, record_from_json, record_to_json, seconds_of
from facefusion.jobs.runner import LONGEST_DELAY, Ended, JobRunner
from facefusion.jobs.states import Action, State
from facefusion.jobs.steps import requeued
from facefusion.jobs.store import JobStore
from facefusion.jobs.worker_registry import WorkerRegistration
from facefusion.stopping import StopFlag

IDLE_SECONDS = 0.5


class Turn(NamedTuple):
    """By what queued jobs are ordered: the smallest is next."""

    priority: int
    submitted: float
    job_id: str


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: tuple[int, int]
    turn: Turn | None
    not_before: float


class Queue:
    """The queued jobs in their order; files that have not changed are not read again."""

    def __init__(self, store: JobStore, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self._entries: dict[str, _Entry] = {}

    def ready(self) -> tuple[list[str], set[str]]:
        """The ids of jobs that may run now, the next one first; and those of others, which wait for their time."""
        folder = self._store.root / 'queued'
        entries: dict[str, _Entry] = {}
        for job_file, stamp in _free_files(folder):
            known: _Entry | None = self._entries.get(job_file.job_id)
            if known is None or known.stamp != stamp:
                known = self._read(job_file, stamp)
            if known is not None:
                entries[job_file.job_id] = known
        self._entries = entries
        now = time.time()
        # Nothing waits longer: the clock was set back since that time was noted.
        is_early = {entry: now < entry.not_before <= now + LONGEST_DELAY for entry in entries.values()}
        ready = [entry.turn for entry in entries.values() if entry.turn is not None and not is_early[entry]]
        waits = {entry.turn.job_id for entry in entries.values() if entry.turn is not None and is_early[entry]}
        return [turn.job_id for turn in sorted(ready)], waits

    def _read(self, job_file: JobFile, stamp: tuple[int, int]) -> _Entry | None:
        """What counts of a file; None when the job has just gone elsewhere: it may come back as it was."""
        found = self._store.look(job_file)
        if found is None or found.job_file.state != 'queued':
            return None
        # What cannot be claimed must not be offered again and again.
        if found.data is None:
            return self._left_out(job_file, stamp, f'cannot be read: {found.broken}')
        if not is_claimable(job_file.job_id):
            return self._left_out(job_file, stamp, 'has too long a name')
        try:
            record = record_from_json(job_file.job_id, found.data)
        except RecordError as error:
            return self._left_out(job_file, stamp, f'cannot be read: {error}')
        turn = Turn(-record.priority, seconds_of(record.date_submitted or record.date_created), job_file.job_id)
        return _Entry(stamp, turn, record.not_before or 0.0)

    def _left_out(self, job_file: JobFile, stamp: tuple[int, int], why: str) -> _Entry:
        self._emit(Message('warn', 'jobs', f'the file of the job {job_file.job_id} {why}'))
        return _Entry(stamp, None, 0.0)


def _free_files(folder: Path) -> list[tuple[JobFile, tuple[int, int]]]:
    files = []
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if entry.name.endswith('.json') and '@' not in entry.name and not entry.name.startswith('.'):
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue
                    except OSError:
                        # A link that leads nowhere but to itself, or a file that this process may not look at.
                        status = entry.stat(follow_symlinks=False)
                    job_file = JobFile(entry.name[:-5], 'queued', Path(entry.path), 'plain', None)
                    files.append((job_file, (status.st_mtime_ns, status.st_ino)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(error, folder) from None
    return files


class Outcome(NamedTuple):
    """How a job ended that this process has worked on, or has followed."""

    job_id: str
    state: State
    error: FaceFusionError | None


class Tally(NamedTuple):
    """How many jobs a worker has seen to their end, how many of these failed; and how many it left waiting."""

    ended: int
    failed: int
    waiting: int = 0


class Worker:
    """Works on jobs of a store until it is told to stop. ``claim_timeout`` in seconds, see ``Reaper``."""

    def __init__(
        self, store: JobStore, runner: JobRunner, notifier: Notifier, claim_timeout: float, emit: Emit, flag: StopFlag
    ) -> None:
        self._store = store
        self._runner = runner
        self._notifier = notifier
        self._emit = emit
        self._flag = flag
        self._reaper = Reaper(store, claim_timeout, emit, on_end=self._notify_of)

    def run_hold(self, hold: Hold, record: JobRecord, stopped_state: State = 'failed') -> Outcome:
        """Works on a job that was claimed, until it has completed or failed for good, or another process has it.

        Raises JobError job-gone when there is no such job any more.
        """
        ended = self._runner.run(hold, record, self._flag, stopped_state)
        self._tell(ended)
        if ended.is_lost or (ended.state == 'queued' and not self._flag.is_set()):
            try:
                return self.follow(record.id)
            except JobError as error:
                if error.reference != 'job-unknown':
                    raise
                raise JobError(
                    'job-gone',
                    f'the job {record.id} was removed while it was worked on',
                    cause=f'there is no file of it any more in {self._store.root}',
                    hint='run the same command again, and leave that folder alone',
                ) from None
        return Outcome(record.id, ended.state, ended.error)

    def sweep(self) -> None:
        """Settles what dead processes have left in the store."""
        self._reaper.sweep()

    def run_next(self) -> Outcome:
        """Works on the next queued job. Raises JobError jobs-none."""
        self._reaper.sweep()
        ready, waits = Queue(self._store, self._emit).ready()
        for job_id in ready:
            taken = self._claim(job_id, 'run')
            if taken is not None:
                return self.run_hold(*taken)
        raise none_queued(len(waits))

    def run_one(self, job_id: str, action: Action = 'run', from_scratch: bool = False) -> Outcome:
        """Works on one job now; one that another process works on is followed to its end.

        Raises JobError job-unknown, job-wrong-state, job-broken, job-busy.
        """
        self._reaper.sweep()
        if from_scratch:
            with self._store.edit(job_id, 'requeue') as (hold, record):
                hold.finish('failed', requeued(record, from_scratch=True))
            self._store.remove_work_files(job_id)
        taken = self._claim(job_id, action)
        return self.follow(job_id) if taken is None else self.run_hold(*taken)

    def follow(self, job_id: str) -> Outcome:
        """Waits until a job has completed or failed; works on it itself when it comes back to the queue."""
        queue = Queue(self._store, self._emit)
        is_said = False
        while True:
            self._flag.check()
            opened = self._store.open(job_id)
            if opened.state in ('completed', 'failed'):
                return Outcome(job_id, opened.state, _error_of(opened.record))
            if opened.state == 'running' and not is_said:
                is_said = True
                self._emit(Message('info', 'jobs', f'another process works on the job {job_id}: waiting for its end'))
            self._reaper.sweep()
            if job_id in queue.ready()[0]:
                taken = self._claim(job_id, 'run')
                if taken is not None:
                    return self.run_hold(*taken)
            _nap(self._flag, IDLE_SECONDS)

    def run_queue(self, *, watch: bool, most: int | None, halt_on_error: bool, stop_after_current: StopFlag) -> Tally:
        """Works on queued jobs in their order: until none is left, or with ``watch`` until it is stopped.

        Ends after ``most`` jobs, after the first failure with ``halt_on_error``, and after the current job when
        ``stop_after_current`` is set. When the flag itself is set the current job goes back to the queue.
        """
        tally, waits = Tally(0, 0), set[str]()
        tried = set[str]()
        queue = Queue(self._store, self._emit)
        with WorkerRegistration(self._store) if watch else nullcontext():
            while not (self._flag.is_set() or stop_after_current.is_set() or (most and tally.ended >= most)):
                may_come = self._reaper.sweep()
                ready, waits = queue.ready()
                ended = self._run_first(ready)
                if ended is not None:
                    if ended.state in ('completed', 'failed'):
                        tally = Tally(tally.ended + 1, tally.failed + (ended.state == 'failed'))
                        if halt_on_error and ended.state == 'failed':
                            break
                    tried.add(ended.record.id)
                    continue
                # What others try again later is theirs: calls from cron would pile up that wait for it.
                if not ready and not (watch or waits & tried or may_come):
                    break
                _nap(self._flag, IDLE_SECONDS, stop_after_current)
        return tally._replace(waiting=len(waits))

    def _run_first(self, ready: list[str]) -> Ended | None:
        """Works on the first of the jobs that can be had."""
        for job_id in ready:
            try:
                taken = self._claim(job_id, 'run')
            except JobError as error:
                if error.reference not in ('job-unknown', 'job-wrong-state', 'job-busy', 'job-broken'):
                    raise
                continue
            if taken is not None:
                ended = self._runner.run(*taken, self._flag, 'queued')
                self._say(ended)
                self._tell(ended)
                return ended
        return None

    def _claim(self, job_id: str, action: Action) -> tuple[Hold, JobRecord] | None:
        """The job, held by this process; None when another one has it."""
        try:
            hold, record = self._store.claim(job_id, action)
        except ClaimLost:
            return None
        except JobError as error:
            job_file = self._store.find(job_id)
            is_elsewhere = (
                job_file is not None and job_file.state in ('queued', 'running') and error.reference != 'job-broken'
            )
            if is_elsewhere and job_file is not None and (action == 'retry' or job_file.state == 'running'):
                return None
            raise
        # In the queue, too, a step may be called done whose file is not known (by FaceFusion 3.8) or gone.
        record = requeued(record)
        return hold, replace(record, retries_used=0) if action == 'retry' else record

    def _say(self, ended: Ended) -> None:
        job_id, error = ended.record.id, ended.error
        if ended.state == 'completed':
            self._emit(Message('info', 'jobs', f'job {job_id} completed'))
        elif ended.state == 'failed' and error is not None:
            self._emit(Message('error', 'jobs', f'job {job_id} failed: {error.message} [{error.reference}]'))
        elif ended.state == 'queued' and self._flag.is_set():
            self._emit(Message('info', 'jobs', f'job {job_id} is back in the queue'))

    def _tell(self, ended: Ended) -> None:
        if ended.state in ('completed', 'failed'):
            self._notify(ended.record, ended.state)

    def _notify_of(self, job_id: str, state: State) -> None:
        try:
            opened = self._store.open(job_id)
        except JobError:
            return
        self._notify(opened.record, state)

    def _notify(self, record: JobRecord, state: State) -> None:
        if record.notify:
            self._notifier.send(record.notify, {**record_to_json(record), 'state': state})


def none_queued(waiting: int) -> JobError:
    """The error where a job of the queue is wanted, and there is none; ``waiting`` are tried again later."""
    if waiting:
        return JobError(
            'jobs-none',
            'there is no queued job that may run now',
            cause=f'{waiting} of the queue failed and wait until they are tried again',
            hint='call again later, or leave them to a worker: job-run-all --watch',
        )
    return JobError('jobs-none', 'there is no queued job', hint='put one into the queue, with job-submit')


def _error_of(record: JobRecord) -> FaceFusionError | None:
    """The error in a record, with the exit code that it had where it was raised."""
    return None if record.error is None else error_from_record(record.error)


def _nap(flag: StopFlag, seconds: float, other: StopFlag | None = None) -> None:
    """Waits, but not on when a flag is set."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not flag.is_set() and not (other is not None and other.is_set()):
        time.sleep(min(0.1, seconds))
