"""The worker: it claims jobs of a store one after the other and runs them."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from dataclasses import replace
from typing import NamedTuple

from facefusion.errors import ClaimLost, JobError, error_from_record
from facefusion.events import Emit, Message
from facefusion.jobs.claim import Claim
from facefusion.jobs.job_files import JobFile, names_in, parse_job_file
from facefusion.jobs.naming import LONGEST_NAME
from facefusion.jobs.notify import Notifier
from facefusion.jobs.queue_order import Turn, turn_of
from facefusion.jobs.reaper import Reaper
from facefusion.jobs.record import JobRecord, RecordError, record_from_json, record_to_json
from facefusion.jobs.runner import LONGEST_DELAY, JobRunner, Outcome
from facefusion.jobs.states import Action, State
from facefusion.jobs.steps import requeued
from facefusion.jobs.store import JobStore
from facefusion.jobs.worker_registry import registered_worker
from facefusion.ownership import new_owner
from facefusion.stopping import StopFlag

IDLE_SECONDS = 0.5


class _Entry(NamedTuple):
    """A file of the queue: ``turn`` is its place in the queue, None for a broken file."""

    stamp: tuple[int, int]
    turn: Turn | None
    not_before: float


class Queue:
    """The queued jobs in their order; unchanged files are not read again."""

    def __init__(self, store: JobStore, emit: Emit) -> None:
        self._store = store
        self._emit = emit
        self._entries: dict[str, _Entry] = {}

    def ready(self) -> tuple[list[str], set[str]]:
        """Return the ids of the jobs that may run now, in their order, and the ids of those whose delay is not over."""
        entries: dict[str, _Entry] = {}
        folder = self._store.root / 'queued'
        for name in names_in(folder):
            job_file = parse_job_file(folder, 'queued', name)
            if job_file is None or not job_file.is_unclaimed:
                continue
            try:
                status = job_file.path.stat()
                stamp = (status.st_mtime_ns, status.st_ino)
            except FileNotFoundError:
                continue
            except OSError:
                # The file may be a link to itself, which cannot be read either.
                stamp = (0, 0)
            entry: _Entry | None = self._entries.get(job_file.job_id)
            if entry is None or entry.stamp != stamp:
                entry = self._read(job_file, stamp)
            if entry is not None:
                entries[job_file.job_id] = entry
        self._entries = entries
        now = time.time()
        # A delay beyond the limit is impossible: it means that the clock was set back after the time was noted.
        is_early = {job_id: now < entry.not_before <= now + LONGEST_DELAY for job_id, entry in entries.items()}
        turns = sorted(entry.turn for entry in entries.values() if entry.turn is not None)
        ready = [job_id for _, _, job_id in turns if not is_early[job_id]]
        return ready, {job_id for _, _, job_id in turns if is_early[job_id]}

    def _read(self, job_file: JobFile, stamp: tuple[int, int]) -> _Entry | None:
        """Return the entry of a file; None for a job that has left the queue.

        No entry is stored for such a job, because its unchanged file may return to the queue.
        """
        job = self._store.read(job_file)
        if job is None or job.job_file.state != 'queued':
            return None
        problem = ''
        try:
            if job.data is None:
                raise RecordError(job.broken)
            # File systems limit the length of a name. The name of the claim is short enough for every valid id.
            if len(os.fsencode(f'{job_file.job_id}@{new_owner().tag}.json')) <= LONGEST_NAME:
                record = record_from_json(job_file.job_id, job.data)
                return _Entry(stamp, turn_of(job_file.job_id, job.data), record.not_before or 0.0)
            problem = 'has too long a name'
        except RecordError as error:
            problem = f'cannot be read: {error}'
        # The entry without a turn is stored, so that the warning is not repeated.
        self._emit(Message('warn', 'jobs', f'the file of the job {job_file.job_id} {problem}'))
        return _Entry(stamp, None, 0.0)


class Tally(NamedTuple):
    """The number of jobs that a worker ended, how many of them failed, and how many still wait for a retry."""

    ended: int
    failed: int
    waiting: int = 0


class Worker:
    """Runs jobs of a store until ``flag`` is set. ``claim_timeout`` is in seconds, see ``Reaper``."""

    def __init__(
        self, store: JobStore, runner: JobRunner, notifier: Notifier, claim_timeout: float, emit: Emit, flag: StopFlag
    ) -> None:
        self._store = store
        self._runner = runner
        self._notifier = notifier
        self._emit = emit
        self._flag = flag
        self._reaper = Reaper(store, claim_timeout, emit, on_end=self._notify_of)

    def run_claimed(self, claim: Claim, record: JobRecord, stopped_state: State = 'failed') -> Outcome:
        """Run a claimed job until it has completed or failed for good, even if another process takes it over.

        Raises JobError job-gone when the job was deleted.
        """
        outcome = self._runner.run(claim, record, self._flag, stopped_state)
        self._notify(outcome.record, outcome.state)
        if outcome.is_lost or (outcome.state == 'queued' and not self._flag.is_set()):
            try:
                return self.follow(record.id)
            except JobError as error:
                if error.reference != 'job-unknown':
                    raise
                raise JobError(
                    'job-gone',
                    f'the job {record.id} was deleted while it was running',
                    cause=f'its file no longer exists in {self._store.root}',
                    hint='run the same command again, and do not change that folder',
                ) from None
        return outcome

    def sweep(self) -> None:
        """Settle the files of dead processes in the store."""
        self._reaper.sweep()

    def run_next(self) -> Outcome:
        """Run the next queued job. Raises JobError jobs-none."""
        self._reaper.sweep()
        ready, waiting = Queue(self._store, self._emit).ready()
        for job_id in ready:
            claimed = self._claim(job_id, 'run')
            if claimed is not None:
                return self.run_claimed(*claimed)
        raise none_queued(len(waiting))

    def run_one(self, job_id: str, action: Action = 'run', from_scratch: bool = False) -> Outcome:
        """Run one job now, or follow it to its end when another process runs it.

        Raises JobError job-unknown, job-wrong-state, job-broken, job-busy.
        """
        self._reaper.sweep()
        if from_scratch:
            with self._store.edit(job_id, 'requeue') as (claim, record):
                claim.finish('failed', requeued(record, from_scratch=True))
            self._store.remove_work_files(job_id)
        claimed = self._claim(job_id, action)
        return self.follow(job_id) if claimed is None else self.run_claimed(*claimed)

    def follow(self, job_id: str) -> Outcome:
        """Wait until a job has completed or failed; run it here when it returns to the queue."""
        queue = Queue(self._store, self._emit)
        is_announced = False
        while True:
            self._flag.check()
            opened = self._store.open(job_id)
            if opened.state in ('completed', 'failed'):
                # The error has the same exit code as in the process that raised it.
                error = None if opened.record.error is None else error_from_record(opened.record.error)
                return Outcome(opened.state, opened.record, error)
            if opened.state == 'running' and not is_announced:
                is_announced = True
                self._emit(Message('info', 'jobs', f'another process is running the job {job_id}: waiting for its end'))
            self._reaper.sweep()
            if job_id in queue.ready()[0]:
                claimed = self._claim(job_id, 'run')
                if claimed is not None:
                    return self.run_claimed(*claimed)
            _nap(self._flag, IDLE_SECONDS)

    def run_queue(
        self, *, watch: bool, max_jobs: int | None, halt_on_error: bool, stop_after_current: StopFlag
    ) -> Tally:
        """Run queued jobs in their order until none remains, or with ``watch`` until the worker is stopped.

        Returns after ``max_jobs`` jobs, after the first failure with ``halt_on_error``, and after the current job when
        ``stop_after_current`` is set. When the flag itself is set the current job goes back to the queue.
        """
        tally, waiting = Tally(0, 0), set[str]()
        tried = set[str]()
        queue = Queue(self._store, self._emit)
        with registered_worker(self._store, stop_after_current) if watch else nullcontext():
            while not (self._flag.is_set() or stop_after_current.is_set() or (max_jobs and tally.ended >= max_jobs)):
                may_return = self._reaper.sweep()
                ready, waiting = queue.ready()
                outcome = self._run_first(ready)
                if outcome is not None:
                    if outcome.state in ('completed', 'failed'):
                        tally = Tally(tally.ended + 1, tally.failed + (outcome.state == 'failed'))
                        if halt_on_error and outcome.state == 'failed':
                            break
                    tried.add(outcome.job_id)
                    continue
                # The worker does not wait for jobs that another worker will retry: otherwise commands started by cron
                # would pile up.
                if not ready and not (watch or waiting & tried or may_return):
                    break
                _nap(self._flag, IDLE_SECONDS, stop_after_current)
        return tally._replace(waiting=len(waiting))

    def _run_first(self, ready: list[str]) -> Outcome | None:
        """Run the first of the jobs that can be claimed."""
        for job_id in ready:
            try:
                claimed = self._claim(job_id, 'run')
            except JobError as error:
                if error.reference not in ('job-unknown', 'job-wrong-state', 'job-busy', 'job-broken'):
                    raise
                continue
            if claimed is not None:
                outcome = self._runner.run(*claimed, self._flag, 'queued')
                self._report(outcome)
                self._notify(outcome.record, outcome.state)
                return outcome
        return None

    def _claim(self, job_id: str, action: Action) -> tuple[Claim, JobRecord] | None:
        """Claim a job; return None when another process has claimed it."""
        try:
            claim, record = self._store.claim(job_id, action)
        except ClaimLost:
            return None
        except JobError as error:
            job_file = self._store.find(job_id)
            state = None if job_file is None or error.reference == 'job-broken' else job_file.state
            if state == 'running' or (state == 'queued' and action == 'retry'):
                return None
            raise
        # A queued job, too, may have completed steps whose file is unknown (from FaceFusion 3.8) or missing.
        record = requeued(record)
        return claim, replace(record, retries_used=0) if action == 'retry' else record

    def _report(self, outcome: Outcome) -> None:
        job_id, error = outcome.job_id, outcome.error
        if outcome.state == 'completed':
            self._emit(Message('info', 'jobs', f'job {job_id} completed'))
        elif outcome.state == 'failed' and error is not None:
            self._emit(Message('error', 'jobs', f'job {job_id} failed: {error.message} [{error.reference}]'))
        elif outcome.state == 'queued' and self._flag.is_set():
            self._emit(Message('info', 'jobs', f'job {job_id} is back in the queue'))

    def _notify_of(self, job_id: str, state: State) -> None:
        try:
            opened = self._store.open(job_id)
        except JobError:
            return
        self._notify(opened.record, state)

    def _notify(self, record: JobRecord, state: State) -> None:
        if record.notify and state in ('completed', 'failed'):
            self._notifier.send(record.notify, {**record_to_json(record), 'state': state})


def none_queued(waiting: int) -> JobError:
    """Return the error for an empty queue; ``waiting`` is the number of jobs that are retried later."""
    if waiting:
        return JobError(
            'jobs-none',
            'there is no queued job that may run now',
            cause=f'failed jobs that wait for their next retry: {waiting}',
            hint='run the command again later, or use a worker: job-run-all --watch',
        )
    return JobError('jobs-none', 'there is no queued job', hint='add one to the queue with job-submit')


def _nap(flag: StopFlag, seconds: float, other: StopFlag | None = None) -> None:
    """Wait until the time is over or a flag is set."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not flag.is_set() and not (other is not None and other.is_set()):
        time.sleep(min(0.1, seconds))
