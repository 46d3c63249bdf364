"""The reaper: it releases the jobs of dead processes for other processes.

The death of a process on this machine is detected at once. Of a process on another machine, only the modification time
of its claim is visible, and clocks are unreliable. Therefore a claim expires only when this process has seen no change
of the modification time for ``timeout``, by its own monotonic clock. If the clock of the file system shows that the
claim is older than ``timeout``, half of ``timeout`` is enough: this is still twice the longest pause of a live claim.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import ClaimLost, JobError
from facefusion.events import Emit, Message
from facefusion.jobs.garbage import file_clock, remove_garbage
from facefusion.jobs.job_files import JobFile
from facefusion.jobs.record import now_text
from facefusion.jobs.states import State
from facefusion.jobs.steps import requeued
from facefusion.jobs.store import EDIT_SECONDS, JobStore

# A job whose process died this many times in a row fails instead of going back to the queue.
MAX_LOST = 10
BEATS_A_TIMEOUT = 4
LONGEST_BEAT = 1.0


def beat_seconds(timeout: float) -> float:
    """Return the interval at which a claim is renewed."""
    return min(timeout / BEATS_A_TIMEOUT, LONGEST_BEAT)


class _Sighting(NamedTuple):
    """Modification and change time of a claimed file in ns, the time of its first sighting, and whether it is old."""

    changed: tuple[int, int]
    since: float
    is_suspect: bool


class Reaper:
    """Watches the claimed jobs of a store; ``on_end`` gets the id and state of each job that it ends."""

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
        self._sightings: dict[Path, _Sighting] = {}
        # The reference of the last warning about each file that cannot be settled.
        self._warnings: dict[Path, str] = {}
        self._is_new = True

    def sweep(self) -> bool:
        """Settle the files of dead processes; return whether another holder may be dead, too."""
        claimed = self._store.claimed_files()
        paths = {job_file.path for job_file in claimed}
        self._sightings = {path: sighting for path, sighting in self._sightings.items() if path in paths}
        self._warnings = {path: reference for path, reference in self._warnings.items() if path in paths}
        has_suspect, has_settled = False, self._is_new
        for job_file in claimed:
            try:
                if (job_file.owner is not None and job_file.owner.is_dead()) or self._is_expired(job_file):
                    self._settle(job_file)
                    has_settled = True
                elif job_file.kind == 'claim' and job_file.path in self._sightings:
                    has_suspect = has_suspect or self._sightings[job_file.path].is_suspect
            except ClaimLost:
                # Another reaper was faster, or the process is alive after all.
                continue
            except JobError as error:
                self._warn(job_file.path, error)
        if has_settled:
            self._is_new = False
            with suppress(JobError):
                remove_garbage(self._store)
        return has_suspect

    def _warn(self, path: Path, error: JobError) -> None:
        """Warn once about the reason why a file cannot be settled; every sweep tries again."""
        if self._warnings.get(path) != error.reference:
            self._warnings[path] = error.reference
            self._emit(Message('warn', 'jobs', f'{error.message}: {error.cause}'))

    def _settle(self, job_file: JobFile) -> None:
        if job_file.kind in ('edit', 'done'):
            state = self._store.settle(job_file)
            if state in ('completed', 'failed'):
                self._on_end(job_file.job_id, state)
            return
        claim, record = self._store.take_over(job_file)
        owner = job_file.owner
        # A running file without an owner was added by hand.
        process = f'the process {owner.pid} on {owner.host}' if owner else 'an unknown process'
        nonces = [attempt.nonce for attempt in record.attempts] + ([owner.nonce] if owner else [])
        lost_in_a_row = len(list(takewhile(lambda attempt: attempt.result == 'lost', reversed(record.attempts))))
        if record.origin == 'job' and lost_in_a_row < MAX_LOST:
            claim.finish('queued', requeued(record))
            self._store.clean_work(record.id, nonces)
            self._emit(Message('warn', 'jobs', f'{process} is dead: its job {record.id} is back in the queue'))
            return
        error = JobError(
            'worker-lost',
            f'the process of the job {record.id} has vanished',
            cause=f'{process} is dead' + (f'; {lost_in_a_row} processes died in a row' if lost_in_a_row > 1 else ''),
            hint='finished work is stored: run the same command again, or job-retry',
        )
        claim.finish('failed', replace(record, error=error.as_record(), date_finished=now_text()))
        self._store.clean_work(record.id, nonces)
        self._emit(Message('warn', 'jobs', f'{process} is dead: its job {record.id} has failed'))
        self._on_end(record.id, 'failed')

    def _is_expired(self, job_file: JobFile) -> bool:
        """Whether the holder of a file has been silent long enough to count as dead."""
        try:
            status = job_file.path.stat()
        except FileNotFoundError:
            return False
        # The change time changes whenever the modification time is set, even to the same value.
        now, changed = self._clock(), (status.st_mtime_ns, status.st_ctime_ns)
        sighting = self._sightings.get(job_file.path)
        if sighting is None or sighting.changed != changed:
            # A claim with an earlier sighting was just renewed, so it is not old.
            is_suspect = sighting is None and job_file.kind == 'claim' and self._is_old(job_file.path)
            self._sightings[job_file.path] = _Sighting(changed, now, is_suspect)
            return False
        silent = now - sighting.since
        if job_file.kind != 'claim':
            return silent >= EDIT_SECONDS
        return silent >= self._timeout or (silent >= self._timeout / 2 and self._is_old(job_file.path))

    def _is_old(self, path: Path) -> bool:
        """Whether a claim is older than the timeout by the clock of the file system."""
        try:
            return file_clock(self._store.files, self._store.root) - path.stat().st_mtime > self._timeout
        except FileNotFoundError:
            return False
