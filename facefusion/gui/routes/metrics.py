"""``GET /metrics``: figures of the job store in the text format of Prometheus."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route
from facefusion.jobs.job_files import JobFile
from facefusion.jobs.states import STATES
from facefusion.jobs.store import JobStore

Labels = tuple[tuple[str, str], ...]
_HELP = {
    'facefusion_jobs': 'Jobs in the store by state.',
    'facefusion_failed_jobs': 'Failed jobs in the store by the reference of their error.',
    'facefusion_frames': 'Frames that completed steps of the jobs in the store have processed.',
    'facefusion_step_seconds': 'Seconds that completed steps of the jobs in the store took.',
    'facefusion_stage_seconds': 'Seconds of completed steps by stage.',
    'facefusion_running_frames': 'Frames that the present stage of a running job has done.',
    'facefusion_workers': 'Processes that run jobs of the store or wait for them.',
}


def routes(context: GuiContext) -> RouteGroup:
    """Return the route of metrics."""
    totals = StepTotals(context.shared.store)

    def text() -> str:
        jobs, workers = context.shared.board.jobs(), context.shared.workers.listed()
        return metrics_text(jobs, totals.refresh(), len(workers))

    async def metrics(request: Request) -> Response:
        return Response(await in_thread(text), media_type='text/plain; version=0.0.4')

    return RouteGroup([route('/metrics', metrics)])


class Totals(NamedTuple):
    """Frames, seconds, and seconds by stage of completed steps."""

    frames: int
    seconds: float
    stages: Mapping[str, float]


class StepTotals:
    """Sums over the completed steps of all jobs; only changed job files are read again."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Any, Totals]] = {}

    def refresh(self) -> Totals:
        """Return the sums. Raises JobError store-unreadable."""
        with self._lock:
            found = {}
            for job_id, job_file in self._store.job_files().items():
                stamp, known = _stamp(job_file), self._known.get(job_id)
                found[job_id] = known if known is not None and known[0] == stamp else (stamp, self._read(job_file))
            self._known = found
            stages: dict[str, float] = {}
            for _, totals in found.values():
                for name, seconds in totals.stages.items():
                    stages[name] = stages.get(name, 0.0) + seconds
            return Totals(
                sum(totals.frames for _, totals in found.values()),
                sum(totals.seconds for _, totals in found.values()),
                stages,
            )

    def _read(self, job_file: JobFile) -> Totals:
        job = self._store.read(job_file)
        steps = (job.data or {}).get('steps', []) if job is not None else []
        completed = [step for step in steps if isinstance(step, dict) and step.get('status') == 'completed']
        reports = [report for step in completed if isinstance(report := step.get('report'), dict)]
        stages: dict[str, float] = {}
        for report in reports:
            seconds = report.get('stage_seconds')
            for name, value in seconds.items() if isinstance(seconds, dict) else ():
                stages[str(name)] = stages.get(str(name), 0.0) + _number(value)
        frames = sum(int(_number(report.get('frames'))) for report in reports)
        return Totals(frames, sum(_number(step.get('seconds')) for step in completed), stages)


def metrics_text(jobs: list[dict[str, Any]], totals: Totals, workers: int) -> str:
    """Return the metrics for summaries of jobs. They are gauges, because jobs can be deleted."""
    states = Counter(str(job['state']) for job in jobs)
    failures = Counter(str((job.get('error') or {}).get('reference')) for job in jobs if job['state'] == 'failed')
    running = [job for job in jobs if job['state'] == 'running' and job.get('progress')]
    return ''.join(
        [
            *_lines('facefusion_jobs', {(('state', each),): states[each] for each in (*STATES, 'broken')}),
            *_lines('facefusion_failed_jobs', {(('reference', each),): failures[each] for each in sorted(failures)}),
            *_lines('facefusion_frames', {(): totals.frames}),
            *_lines('facefusion_step_seconds', {(): totals.seconds}),
            *_lines(
                'facefusion_stage_seconds', {(('stage', each),): totals.stages[each] for each in sorted(totals.stages)}
            ),
            *_lines(
                'facefusion_running_frames',
                {(('job', job['id']), ('stage', job['progress']['stage'])): job['progress']['done'] for job in running},
            ),
            *_lines('facefusion_workers', {(): workers}),
        ]
    )


def _lines(name: str, values: Mapping[Labels, float]) -> Iterator[str]:
    yield f'# HELP {name} {_HELP[name]}\n# TYPE {name} gauge\n'
    for labels, value in values.items():
        # JSON escapes quotes, backslashes and line breaks as the format requires it.
        inner = ','.join(f'{key}={json.dumps(text, ensure_ascii=False)}' for key, text in labels)
        yield f'{name}{{{inner}}} {round(value, 3)}\n' if labels else f'{name} {round(value, 3)}\n'


def _stamp(job_file: JobFile) -> Any:
    try:
        status = job_file.path.stat()
    except OSError:
        return None
    # The file of a claimed job is touched all the time, but never written.
    return job_file.path if job_file.kind == 'claim' else (job_file.path, status.st_mtime_ns, status.st_size)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
