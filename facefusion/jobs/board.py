"""The board of a store: a summary of every job, kept up to date at little cost for programs that show all jobs.

A change of a job always renames a file, which changes the modification time of a folder. Therefore an unchanged store
costs a few calls of ``stat``, and a changed one a list of its names and the content of the changed files.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.jobs.claim import WORK_FOLDER
from facefusion.jobs.job_files import JobFile, folder_stamps
from facefusion.jobs.queue_order import turn_of
from facefusion.jobs.record import seconds_of
from facefusion.jobs.states import STATES
from facefusion.jobs.store import JobStore, unknown
from facefusion.jobs.summary import live_facts, summary_of

# Modification times of some file systems have steps of 2 seconds, so a folder may change again without another time.
_UNSURE_SECONDS = 3.0
# A process that dies changes no file, so running jobs are looked at again after this time.
_RUNNING_SECONDS = 2.0
_NO_STAMP = (0, 0, 0)
Summary = dict[str, Any]
_Stamp = tuple[int, int, int]


class Changes(NamedTuple):
    """Summaries of new and changed jobs, and the ids of deleted ones."""

    changed: list[Summary]
    gone: list[str]


class _Entry(NamedTuple):
    """A job: its file, the stamps of that file and of its notes, and its summary."""

    job_file: JobFile
    stamp: _Stamp
    notes: _Stamp
    looked: float
    summary: Summary


class Board:
    """Summaries of all jobs of a store. The methods may be called from several threads."""

    def __init__(self, store: JobStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}
        self._folders: tuple[int, ...] = ()
        self._unsure_until = float('-inf')

    def refresh(self) -> Changes:
        """Read the jobs that have changed since the last call. Raises JobError store-unreadable."""
        with self._lock:
            return self._refresh()

    def summaries(self) -> list[Summary]:
        """Return the summaries of the last refresh: by state, queued jobs in the order of the queue, others by age."""
        with self._lock:
            return sorted((entry.summary for entry in self._entries.values()), key=_place)

    @property
    def has_moved(self) -> bool:
        """Whether a refresh found a file created, moved or deleted in the last seconds."""
        return self._clock() < self._unsure_until

    def _refresh(self) -> Changes:
        now, stamps = self._clock(), folder_stamps(self._store.root)
        if stamps != self._folders:
            self._folders, self._unsure_until = stamps, now + _UNSURE_SECONDS
        if now < self._unsure_until:
            return self._scan(now)
        # Nothing was renamed, so only the notes of claimed jobs may have changed.
        changed = []
        for job_id, old in self._entries.items():
            entry = self._entry(old.job_file, old, now) if old.job_file.kind == 'claim' else old
            if entry is not None and entry is not old:
                self._entries[job_id] = entry
                changed += [entry.summary] if entry.summary != old.summary else []
        return Changes(changed, [])

    def _scan(self, now: float) -> Changes:
        """List all files, and read the new and changed ones."""
        entries: dict[str, _Entry] = {}
        changed = []
        for job_id, job_file in self._store.job_files().items():
            old = self._entries.get(job_id)
            entry = self._entry(job_file, old, now)
            if entry is not None:
                entries[job_id] = entry
                changed += [entry.summary] if old is None or old.summary != entry.summary else []
        gone = [job_id for job_id in self._entries if job_id not in entries]
        self._entries = entries
        return Changes(changed, gone)

    def _entry(self, job_file: JobFile, old: _Entry | None, now: float) -> _Entry | None:
        """Return the entry of a job; None for one that was deleted meanwhile."""
        stamp, notes = _stamp_of(job_file.path), self._notes_stamp(job_file)
        is_same = old is not None and old.job_file.path == job_file.path
        if is_same and old is not None and job_file.kind == 'claim':
            # The file of a claimed job is only touched, never written.
            if old.notes == notes and now - old.looked < _RUNNING_SECONDS:
                return old
            live = board_live(live_facts(self._store, job_file, old.summary.get('date_started')))
            return _Entry(job_file, stamp, notes, now, {**old.summary, **live})
        if is_same and old is not None and old.stamp == stamp:
            return old
        job = self._store.read(job_file)
        if job is None:
            return None
        summary = board_summary(summary_of(self._store, job), job.data)
        return _Entry(job.job_file, stamp, notes, now, summary)

    def _notes_stamp(self, job_file: JobFile) -> _Stamp:
        if job_file.kind != 'claim' or job_file.owner is None:
            return _NO_STAMP
        return _stamp_of(self._store.root / WORK_FOLDER / job_file.job_id / f'{job_file.owner.nonce}.json')


def summary_now(store: JobStore, job_id: str) -> Summary:
    """Return the summary of one job. Raises JobError job-unknown."""
    job_file = store.find(job_id)
    job = store.read(job_file) if job_file is not None else None
    if job is None:
        raise unknown(job_id)
    return board_summary(summary_of(store, job), job.data)


def board_summary(summary: Mapping[str, Any], data: Mapping[str, Any] | None) -> Summary:
    """Return a summary of job-list with the keys that a board shows in addition; ``data`` is the record of the job."""
    steps = [step for step in (data or {}).get('steps', ()) if isinstance(step, dict)]
    args = [step['args'] for step in steps if isinstance(step.get('args'), dict)]
    outputs = [each.get('output_path') for each in args]
    more = {
        'output_paths': [path for path in dict.fromkeys(outputs) if isinstance(path, str)],
        'target_path': args[0].get('target_path') if args else None,
    }
    return {'steps': 0, 'error': None, **board_live(summary), **more}


def board_live(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts of job-list with the worker, the index of the running step and its progress, or None for each."""
    progress = facts.get('progress')
    shown = None
    if progress is not None:
        keys = ('stage', 'done', 'total', 'rate', 'seconds_left', 'detail')
        shown = {key: progress.get(key) for key in keys} if progress.get('stage') else None
    index = None if progress is None else progress.get('index')
    return {**facts, 'worker': facts.get('worker'), 'step_index': index, 'progress': shown}


def _stamp_of(path: Path) -> _Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116 - a thousand files are looked at several times a second
    except OSError:
        return _NO_STAMP
    return status.st_mtime_ns, status.st_ino, status.st_size


def _place(summary: Summary) -> tuple[Any, ...]:
    state = summary['state']
    rank = STATES.index(state) if state in STATES else len(STATES)
    if state == 'queued':
        return rank, *turn_of(summary['id'], summary)
    return rank, 0, seconds_of(str(summary.get('date_created'))), summary['id']
