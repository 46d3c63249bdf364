"""``GET /metrics``: figures of the job store in the text format of Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route
from facefusion.jobs.states import STATES


def routes(context: GuiContext) -> RouteGroup:
    """Return the route of metrics."""

    def text() -> str:
        jobs, workers = context.shared.board.jobs(), context.shared.workers.listed()
        return '\n'.join(metric_lines(jobs, len(workers))) + '\n'

    async def metrics(request: Request) -> Response:
        return Response(await in_thread(text), media_type='text/plain; version=0.0.4')

    return RouteGroup([route('/metrics', metrics)])


def metric_lines(jobs: list[dict[str, Any]], workers: int) -> Iterator[str]:
    """Yield the lines for summaries of jobs; the figures are gauges, because jobs can be deleted."""
    states = Counter(job['state'] for job in jobs)
    yield '# HELP facefusion_jobs Jobs in the store by state.'
    yield '# TYPE facefusion_jobs gauge'
    for state in (*STATES, 'broken'):
        yield f'facefusion_jobs{{state="{state}"}} {states[state]}'
    yield '# HELP facefusion_failed_jobs Failed jobs in the store by the reference of their error.'
    yield '# TYPE facefusion_failed_jobs gauge'
    failures = Counter(str((job.get('error') or {}).get('reference')) for job in jobs if job['state'] == 'failed')
    for reference, count in sorted(failures.items()):
        yield f'facefusion_failed_jobs{{reference="{reference}"}} {count}'
    yield '# HELP facefusion_stage_done Units that the present stage of a running job has done.'
    yield '# TYPE facefusion_stage_done gauge'
    for job in jobs:
        progress = job.get('progress')
        if job['state'] == 'running' and progress:
            yield f'facefusion_stage_done{{job="{job["id"]}",stage="{progress["stage"]}"}} {progress["done"]}'
    yield '# HELP facefusion_workers Processes that run jobs of the store.'
    yield '# TYPE facefusion_workers gauge'
    yield f'facefusion_workers {workers}'
