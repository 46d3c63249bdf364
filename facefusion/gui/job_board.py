"""The jobs of the store as the page shows them; only changed and running jobs are read again."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from facefusion.jobs.job_files import JobFile, folder_stamps
from facefusion.jobs.store import JobData, JobStore
from facefusion.jobs.summary import job_view, summary_of

# Some file systems do not note each change of a folder at once.
_RESCAN_SECONDS = 5.0
# The rate of a stage is measured over this time.
_RATE_SECONDS = 10.0
_LEAST_RATE_SECONDS = 1.5


class BoardChange(NamedTuple):
    """The summaries of new and changed jobs, and the ids of jobs that are gone."""

    changed: list[dict[str, Any]]
    gone: list[str]


class JobBoard:
    """Summaries of all jobs; callable from any thread."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._stamps: Any = None
        self._scanned = float('-inf')
        self._files: dict[str, JobFile] = {}
        self._known: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._rates = _Rates()

    def jobs(self) -> list[dict[str, Any]]:
        """Return the summaries of all jobs, up to date."""
        with self._lock:
            self._update()
            return [summary for _, summary in self._known.values()]

    def update(self) -> BoardChange:
        """Return the changes since the last call of this method or of ``jobs``."""
        with self._lock:
            return self._update()

    def job(self, job_id: str) -> dict[str, Any]:
        """Return all facts of one job. Raises the errors of ``JobStore.open``."""
        view = job_view(self._store, job_id)
        with self._lock:
            return {**view, 'progress': self._rates.of(job_id, view.get('progress'))}

    def _update(self) -> BoardChange:
        stamps = folder_stamps(self._store.root)
        if stamps != self._stamps or time.monotonic() - self._scanned > _RESCAN_SECONDS:
            self._files, self._scanned, self._stamps = self._store.job_files(), time.monotonic(), stamps
        changed = []
        for job_id, job_file in self._files.items():
            key = _key_of(job_file)
            known = self._known.get(job_id)
            if known is not None and known[0] == key and job_file.kind == 'plain':
                continue
            job = self._store.read(job_file)
            if job is None:
                continue
            summary = self._summary(job)
            if known is None or known[1] != summary:
                changed.append(summary)
            self._known[job_id] = key, summary
        gone = [job_id for job_id in self._known if job_id not in self._files]
        for job_id in gone:
            del self._known[job_id]
            self._rates.forget(job_id)
        return BoardChange(changed, gone)

    def _summary(self, job: JobData) -> dict[str, Any]:
        summary = summary_of(self._store, job)
        steps = [step for step in (job.data or {}).get('steps', []) if isinstance(step, dict)]
        arguments = [args for step in steps if isinstance(args := step.get('args'), dict)]
        progress = summary.get('progress')
        return {
            **summary,
            'progress': self._rates.of(summary['id'], progress),
            'step_index': progress.get('index') if isinstance(progress, dict) else None,
            'worker': summary.get('worker'),
            'target_path': next((args.get('target_path') for args in arguments), None),
            'output_paths': list(dict.fromkeys(str(args.get('output_path')) for args in arguments))[:20],
        }


class _Rates:
    """The rates of running stages, from the times at which their progress was seen."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, list[tuple[float, int]]]] = {}

    def of(self, job_id: str, progress: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the progress with ``rate`` (units per second) and ``seconds_left``, None while they are unknown."""
        if not progress or not isinstance(progress.get('done'), int):
            self._seen.pop(job_id, None)
            return None
        stage, now, done = (progress.get('index'), progress.get('stage')), time.monotonic(), progress['done']
        known, points = self._seen.get(job_id, (None, []))
        points = points if known == stage else []
        if not points or points[-1][1] != done:
            points = [*(point for point in points if now - point[0] < _RATE_SECONDS), (now, done)]
        self._seen[job_id] = stage, points
        seconds, units = points[-1][0] - points[0][0], points[-1][1] - points[0][1]
        rate = units / seconds if seconds > _LEAST_RATE_SECONDS and units > 0 else None
        total = progress.get('total')
        left = (total - done) / rate if rate and isinstance(total, int) else None
        named = {key: progress.get(key) for key in ('stage', 'done', 'total')}
        return {**named, 'rate': rate and round(rate, 2), 'seconds_left': left and round(left, 1), 'detail': ''}

    def forget(self, job_id: str) -> None:
        self._seen.pop(job_id, None)


def _key_of(job_file: JobFile) -> Any:
    try:
        status = job_file.path.stat()
    except OSError:
        return None
    return job_file.path.name, job_file.state, status.st_mtime_ns, status.st_size
