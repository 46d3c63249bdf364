"""Finds the jobs of processes that died, and gives them to others.

A process that is dead on this machine is known at once. Of others only the time of change of their claims is seen, and
clocks lie: so a claim counts as given up only when that time was not changed while this process watched, by its own
monotonic clock, for as long as ``timeout``. Where the file system's own clock says that the claim is old already, half
of that is enough: still twice as long as a living claim rests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import ClaimLost, JobError
from facefusion.events import Emit, Message
from facefusion.jobs.claim import JobFile
from facefusion.jobs.garbage import file_clock, remove_garbage
from facefusion.jobs.record import JobRecord, now_text
from facefusion.jobs.states import State
from facefusion.jobs.steps import requeued
from facefusion.jobs.store import EDIT_SECONDS, JobStore

# A job that takes its process with it so many times in a row is not given to a further one.
MOST_LOST = 10
BEATS_A_TIMEOUT = 4
LONGEST_BEAT = 1.0


def beat_seconds(timeout: float) -> float:
    """How often a claim shows that it is alive."""
    return min(timeout / BEATS_A_TIMEOUT, LONGEST_BEAT)


class _Sight(NamedTuple):
    """What was seen of a held file: its times of change in nanoseconds, since when it is those, and if it is old."""

    changed: tuple[int, int]
    since: float
    is_suspect: bool


class Reaper:
    """Watches the held jobs of a store; ``on_end`` is told of jobs that it ends: id and state."""

    def __init__(
        self,
        store: JobStore,
        timeout: float,
        emit: Emit,
        on_end: Callable[[str, State], None] = lambda job_id, state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._timeout = timeout
        self._emit = emit
        self._on_end = on_end
        self._clock = clock
        self._seen: dict[Path, _Sight] = {}
        # Of held files that cannot be settled: the reference of what was said of that.
        self._said: dict[Path, str] = {}
        self._is_new = True

    def sweep(self) -> bool:
        """Settles what dead processes have left. Says whether a holder is left that may be dead, too."""
        held = self._store.held()
        paths = {job_file.path for job_file in held}
        self._seen = {path: sight for path, sight in self._seen.items() if path in paths}
        self._said = {path: said for path, said in self._said.items() if path in paths}
        waits, has_settled = False, self._is_new
        for job_file in held:
            try:
                if (job_file.owner is not None and job_file.owner.is_dead()) or self._has_rested(job_file):
                    self._settle(job_file)
                    has_settled = True
                elif job_file.kind == 'claim' and job_file.path in self._seen:
                    waits = waits or self._seen[job_file.path].is_suspect
            except ClaimLost:
                # Another reaper was faster, or the process is alive after all.
                continue
            except JobError as error:
                self._warn(job_file.path, error)
        if has_settled:
            self._is_new = False
            with suppress(JobError):
                remove_garbage(self._store)
        return waits

    def _warn(self, path: Path, error: JobError) -> None:
        """Says once what keeps a held file from being settled; that is tried again with every sweep."""
        if self._said.get(path) != error.reference:
            self._said[path] = error.reference
            self._emit(Message('warn', 'jobs', f'{error.message}: {error.cause}'))

    def _settle(self, job_file: JobFile) -> None:
        if job_file.kind in ('edit', 'done'):
            state = self._store.settle(job_file)
            if state in ('completed', 'failed'):
                self._on_end(job_file.job_id, state)
            return
        hold, record = self._store.take_over(job_file)
        # Without an owner it is a file that somebody has put here.
        who = f'the process {job_file.owner.pid} on {job_file.owner.host}' if job_file.owner else 'an unknown process'
        nonces = [attempt.nonce for attempt in record.attempts] + ([job_file.owner.nonce] if job_file.owner else [])
        lost_in_a_row = _lost_in_a_row(record)
        if record.origin == 'job' and lost_in_a_row < MOST_LOST:
            hold.finish('queued', requeued(record))
            self._store.clean_work(record.id, nonces)
            self._emit(Message('warn', 'jobs', f'{who} is dead: its job {record.id} is back in the queue'))
            return
        cause = f'{who} is dead' + (f', the {lost_in_a_row}th in a row' if lost_in_a_row > 1 else '')
        error = JobError(
            'worker-lost',
            f'the process that worked on the job {record.id} has vanished',
            cause=cause,
            hint='what is done is kept: run the same command again, or job-retry',
        )
        hold.finish('failed', replace(record, error=error.as_record(), date_finished=now_text()))
        self._store.clean_work(record.id, nonces)
        self._emit(Message('warn', 'jobs', f'{who} is dead: its job {record.id} has failed'))
        self._on_end(record.id, 'failed')

    def _has_rested(self, job_file: JobFile) -> bool:
        try:
            status = job_file.path.stat()
        except FileNotFoundError:
            return False
        # The second one changes whenever somebody sets the first, to whatever it is set.
        now, changed = self._clock(), (status.st_mtime_ns, status.st_ctime_ns)
        known = self._seen.get(job_file.path)
        if known is None or known.changed != changed:
            # One that has just shown that it lives needs no look at the clock of the file system.
            is_suspect = known is None and job_file.kind == 'claim' and self._is_old(job_file.path)
            self._seen[job_file.path] = _Sight(changed, now, is_suspect)
            return False
        rested = now - known.since
        if job_file.kind != 'claim':
            return rested >= EDIT_SECONDS
        return rested >= self._timeout or (rested >= self._timeout / 2 and self._is_old(job_file.path))

    def _is_old(self, path: Path) -> bool:
        """Whether the clock of the file system says that a claim was not touched for the whole time."""
        try:
            return file_clock(self._store.files, self._store.root) - path.stat().st_mtime > self._timeout
        except FileNotFoundError:
            return False


def _lost_in_a_row(record: JobRecord) -> int:
    count = 0
    for attempt in reversed(record.attempts):
        if attempt.result != 'lost':
            break
        count += 1
    return count
