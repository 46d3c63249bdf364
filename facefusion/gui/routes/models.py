"""``/models``: list, fetch and verify models."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.model_tasks import ModelTasks
from facefusion.gui.replies import check_body, json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.models.options import ModelOptions


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of models."""
    tasks = ModelTasks(context.workplace, context.shared.broadcast)

    async def listed(request: Request) -> Response:
        models = await in_thread(tasks.listed)
        return json_reply({'offline': context.settings[ModelOptions].offline, 'models': models})

    async def fetch(request: Request) -> Response:
        await in_thread(lambda: tasks.fetch(request.path_params['model_id']))
        return json_reply({}, 202)

    async def verify(request: Request) -> Response:
        body = await read_json(request)
        check_body(body, {'ids': list})
        ids = [str(each) for each in body.get('ids', [])]
        await in_thread(lambda: tasks.verify(ids))
        return json_reply({}, 202)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        try:
            yield
        finally:
            tasks.close()

    return RouteGroup(
        [
            route('/models', listed),
            route('/models/verify', verify, 'POST'),
            route('/models/{model_id}/fetch', fetch, 'POST'),
        ],
        lifespan,
    )
