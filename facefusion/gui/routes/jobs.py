"""``/jobs``: list, create, change and move jobs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import FaceFusionError, JobError, UsageError
from facefusion.events import Event, Message
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import check_body, invalid, json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.jobs.cancel import cancel
from facefusion.jobs.inputs import note_inputs
from facefusion.jobs.job_log import read_log
from facefusion.jobs.options import QueueOptions
from facefusion.jobs.queue_order import move_before, queue_turns, set_priority
from facefusion.jobs.record import JobRecord
from facefusion.jobs.states import check_move
from facefusion.jobs.steps import add_step, remove_step
from facefusion.pipeline.options import PathOptions
from facefusion.services.job_actions import create_job, delete_job, new_record, requeue_job, submit_job, with_step
from facefusion.services.step_request import request_settings
from facefusion.steps.arguments import freeze
from facefusion.stopping import StopFlag

_MOST_STEPS = 1000

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
        return json_reply(await in_thread(lambda: actions.log(job_id)))

    async def remove(request: Request) -> Response:
        job_id = request.path_params['job_id']
        await in_thread(lambda: actions.remove(job_id))
        return Response(status_code=204)

    def on_job(path: str, act: Callable[[str, Json, Json], None], method: str = 'POST') -> Any:
        """Return a route that applies an action to a job and replies with the job."""

        async def reply(request: Request) -> Response:
            body = await read_json(request)
            parameters = dict(request.path_params)

            def work() -> Json:
                job_id = context.shared.store.resolve_id(parameters['job_id'])
                act(job_id, body, parameters)
                context.shared.board.refresh()
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
        """Create a job with steps; submit it, or let it run at once, as the request says.

        A job that cannot be submitted is deleted again.
        """
        check_body(body, {'id': str, 'steps': list, 'priority': int, 'submit': bool, 'run': bool})
        steps, settings = body.get('steps', []), self._context.settings
        if len(steps) > _MOST_STEPS:
            raise invalid(f'steps has more than {_MOST_STEPS} steps: add further ones to the job')
        if 'priority' in body:
            settings = request_settings(settings, {'priority': body['priority']}, (QueueOptions,))
        record = new_record(settings, body.get('id'))
        for step in steps:
            if not isinstance(step, dict):
                raise invalid('a step is not an object')
            record = self._with_step(record, step)
        create_job(self._store, record)
        try:
            if body.get('run') or body.get('submit'):
                self.submit(record.id, {}, {})
        except FaceFusionError:
            with suppress(JobError):
                self._store.delete(record.id)
            raise
        if body.get('run'):
            self.run(record.id, {}, {})
        return self._context.shared.board.job(record.id)

    def change(self, job_id: str, body: Json, parameters: Json) -> None:
        """Set the priority, or let the job run right before another one."""
        check_body(body, {'priority': int, 'before': (str, type(None))})
        if len(body) != 1:
            raise invalid('the request needs either priority or before')
        if 'priority' in body:
            settings = request_settings(self._context.settings, body, (QueueOptions,))
            set_priority(self._store, job_id, settings[QueueOptions].priority)
        else:
            before = body['before']
            move_before(self._store, job_id, None if before is None else self._store.resolve_id(before))

    def add_step(self, job_id: str, body: Json, parameters: Json) -> None:
        """Add a step to a drafted job."""
        # The files are described before the job is claimed, because that reads them.
        args = self._frozen(body)
        inputs = note_inputs(args)
        with self._store.edit(job_id, 'edit') as (claim, record):
            claim.finish('drafted', add_step(record, args, inputs))

    def remove_step(self, job_id: str, body: Json, parameters: Json) -> None:
        """Remove a step from a drafted job."""
        with self._store.edit(job_id, 'edit') as (claim, record):
            claim.finish('drafted', remove_step(record, int(parameters['index'])))

    def submit(self, job_id: str, body: Json, parameters: Json) -> None:
        """Put a drafted job into the queue."""
        submit_job(self._store, job_id, self._tell)

    def run(self, job_id: str, body: Json, parameters: Json) -> None:
        """Put a drafted or queued job at the head of the queue, and start a worker if there is none."""
        state = self._store.open(job_id).state
        if state == 'drafted':
            submit_job(self._store, job_id, self._tell)
        else:
            check_move('run', job_id, state)
        first = next((turn.job_id for turn in queue_turns(self._store)), job_id)
        # If a worker takes one of the two jobs right now, the order does not matter any more.
        with suppress(JobError):
            move_before(self._store, job_id, first)
        self._context.shared.workers.start()

    def cancel(self, job_id: str, body: Json, parameters: Json) -> None:
        """Cancel a queued or running job, and wait until it has stopped."""
        cancel(self._store, job_id, StopFlag())

    def retry(self, job_id: str, body: Json, parameters: Json) -> None:
        """Put a failed job back into the queue, and start a worker if there is none."""
        check_body(body, {'from_scratch': bool})
        requeue_job(self._store, job_id, self._tell, from_scratch=body.get('from_scratch', False))
        self._context.shared.workers.start()

    def remove(self, job_id: str) -> None:
        """Delete a job that no process runs."""
        delete_job(self._store, self._store.resolve_id(job_id), self._tell)
        self._context.shared.board.refresh()

    def log(self, job_id: str) -> Json:
        """Return the last messages of a job, and whether older ones are left out."""
        lines, more = read_log(self._store.root, self._store.resolve_id(job_id))
        return {'lines': lines, 'more': more}

    def _with_step(self, record: JobRecord, step: Json) -> JobRecord:
        args = self._frozen(step)
        return with_step(record, args)

    def _frozen(self, step: Json) -> Json:
        """Return the frozen arguments of a step. Raises UsageError step-incomplete and those of ``step_settings``."""
        check_body(step, {'args': dict})
        settings = self._context.step_settings(step.get('args'))
        paths = settings[PathOptions]
        if paths.target_path is None or paths.output_path is None:
            raise UsageError(
                'step-incomplete', 'a step needs a target and an output', hint='send target_path and output_path'
            )
        return freeze(settings, self._context.workplace.local_models(), self._tell).args

    def _tell(self, event: Event) -> None:
        """Show warnings on all pages."""
        if isinstance(event, Message) and event.level in ('warn', 'error'):
            record = {'level': event.level, 'origin': event.origin, 'text': event.text}
            self._context.shared.broadcast.publish('message', record)
