"""``/jobs``: list, create, change and move jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import UsageError
from facefusion.events import silent
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.worker_log import lines_of_job
from facefusion.jobs.adhoc_jobs import empty_record
from facefusion.jobs.identifier import check_job_id, new_job_id
from facefusion.jobs.inputs import note_inputs
from facefusion.jobs.options import NotifyOptions, QueueOptions
from facefusion.jobs.queue_order import QueuedJob, priorities_for
from facefusion.jobs.record import JobRecord, seconds_of
from facefusion.jobs.steps import add_step, remove_step
from facefusion.options import describe, parse_item
from facefusion.services.job_actions import delete_job, requeue_job, set_priority, submit_job
from facefusion.steps.arguments import freeze
from facefusion.stopping import StopFlag

_MOST_STEPS = 100
_PRIORITY = next(info for info in describe(QueueOptions) if info.key == 'priority')

Json = dict[str, Any]


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of jobs."""
    actions = JobRequests(context)

    async def listed(request: Request) -> Response:
        return json_reply({'jobs': await in_thread(context.shared.board.jobs)})

    async def create(request: Request) -> Response:
        body = await read_json(request)
        return json_reply(await in_thread(lambda: actions.create(body)), 201)

    async def log(request: Request) -> Response:
        job_id = request.path_params['job_id']
        return json_reply(await in_thread(lambda: lines_of_job(context.shared.workers.log, job_id)))

    async def remove(request: Request) -> Response:
        job_id = request.path_params['job_id']
        await in_thread(lambda: delete_job(context.shared.store, context.shared.store.resolve_id(job_id), silent))
        return Response(status_code=204)

    def on_job(path: str, act: Callable[[str, Json, Json], None], method: str = 'POST') -> Any:
        """Return a route that applies an action to a job and replies with the job."""

        async def reply(request: Request) -> Response:
            body = await read_json(request)
            parameters = dict(request.path_params)

            def work() -> Json:
                job_id = context.shared.store.resolve_id(parameters['job_id'])
                act(job_id, body, parameters)
                return context.shared.board.job(job_id)

            return json_reply(await in_thread(work))

        return route(path, reply, method)

    return RouteGroup(
        [
            route('/jobs', listed),
            route('/jobs', create, 'POST'),
            on_job('/jobs/{job_id}', lambda job_id, body, parameters: None, 'GET'),
            on_job('/jobs/{job_id}', actions.change, 'PATCH'),
            route('/jobs/{job_id}', remove, 'DELETE'),
            on_job('/jobs/{job_id}/steps', actions.add_step),
            on_job('/jobs/{job_id}/steps/{index:int}', actions.remove_step, 'DELETE'),
            on_job('/jobs/{job_id}/submit', actions.submit),
            on_job('/jobs/{job_id}/run', actions.run),
            on_job('/jobs/{job_id}/cancel', actions.cancel),
            on_job('/jobs/{job_id}/retry', actions.retry),
            route('/jobs/{job_id}/log', log),
        ]
    )


class JobRequests:
    """The changes of jobs that a page requests; each raises the errors of the store."""

    def __init__(self, context: GuiContext) -> None:
        self._context = context
        self._store = context.shared.store

    def create(self, body: Json) -> Json:
        """Create a job with steps; submit it, and start a worker, as the request says."""
        steps = body.get('steps', [])
        if not isinstance(steps, list) or len(steps) > _MOST_STEPS or not all(isinstance(step, dict) for step in steps):
            raise UsageError('request-argument', f'steps is not a list of at most {_MOST_STEPS} steps')
        named, settings = body.get('id'), self._context.settings
        job_id = check_job_id(str(named)) if named else new_job_id('page')
        queue = settings[QueueOptions]
        record = replace(
            empty_record(),
            id=job_id,
            priority=_priority(body['priority']) if body.get('priority') is not None else queue.priority,
            retries=queue.retries,
            retry_delay=queue.retry_delay,
            notify=settings[NotifyOptions].notify,
        )
        for step in steps:
            record = self._with_step(record, step.get('args'))
        self._store.create(record)
        if body.get('submit') or body.get('run'):
            self.submit(job_id)
        if body.get('run'):
            self._context.shared.workers.start()
        return self._context.shared.board.job(job_id)

    def change(self, job_id: str, body: Json, parameters: Json) -> None:
        """Set the priority, or move the job before another one in the queue."""
        if 'priority' in body:
            set_priority(self._store, job_id, _priority(body['priority']), silent)
        elif 'before' in body:
            before = body['before']
            other = self._store.resolve_id(str(before)) if before is not None else None
            for name, priority in priorities_for(self._queue(), job_id, other).items():
                set_priority(self._store, name, priority, silent)
        else:
            raise UsageError('request-argument', 'the request has neither priority nor before')

    def add_step(self, job_id: str, body: Json, parameters: Json) -> None:
        """Add a step to a drafted job."""
        with self._store.edit(job_id, 'edit') as (claim, record):
            claim.finish('drafted', self._with_step(record, body.get('args')))

    def remove_step(self, job_id: str, body: Json, parameters: Json) -> None:
        """Remove a step from a drafted job."""
        with self._store.edit(job_id, 'edit') as (claim, record):
            claim.finish('drafted', remove_step(record, int(parameters['index'])))

    def submit(self, job_id: str, body: Json | None = None, parameters: Json | None = None) -> None:
        """Put a drafted job into the queue."""
        submit_job(self._store, job_id, {}, silent)

    def run(self, job_id: str, body: Json, parameters: Json) -> None:
        """Submit a drafted job, and start a worker where none lives."""
        if self._store.open(job_id).state == 'drafted':
            self.submit(job_id)
        self._context.shared.workers.start()

    def cancel(self, job_id: str, body: Json, parameters: Json) -> None:
        """Cancel a queued or running job."""
        from facefusion.jobs.cancel import cancel

        cancel(self._store, job_id, StopFlag())

    def retry(self, job_id: str, body: Json, parameters: Json) -> None:
        """Put a failed job back into the queue, and start a worker where none lives."""
        requeue_job(self._store, job_id, bool(body.get('from_scratch')), silent)
        self._context.shared.workers.start()

    def _with_step(self, record: JobRecord, args: Any) -> JobRecord:
        settings = self._context.step_settings(args)
        frozen = freeze(settings, self._context.workplace.local_models(), silent).args
        return add_step(record, frozen, note_inputs(frozen))

    def _queue(self) -> list[QueuedJob]:
        jobs = self._context.shared.board.jobs()
        queued = [job for job in jobs if job['state'] == 'queued']
        return [QueuedJob(job['id'], job['priority'] or 0, seconds_of(job['date_submitted'] or '')) for job in queued]


def _priority(value: Any) -> int:
    try:
        return int(parse_item(_PRIORITY, str(value)))
    except ValueError as error:
        raise UsageError('request-argument', 'the priority is invalid', cause=str(error)) from None
