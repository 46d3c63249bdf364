"""``/workers``: the processes that run jobs."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import json_reply
from facefusion.gui.route_group import RouteGroup, route, while_serving


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of workers; the worker of this server ends after its current job when the server ends."""
    workers = context.shared.workers

    def listed(started: bool | None = None) -> dict[str, Any]:
        return {'workers': workers.listed()} | ({} if started is None else {'started': started})

    async def show(request: Request) -> Response:
        return json_reply(await in_thread(listed))

    async def start(request: Request) -> Response:
        return json_reply(await in_thread(lambda: listed(workers.start())), 202)

    async def stop(request: Request) -> Response:
        await in_thread(workers.stop_after_current)
        return json_reply(await in_thread(listed), 202)

    return RouteGroup(
        [route('/workers', show), route('/workers', start, 'POST'), route('/workers', stop, 'DELETE')],
        while_serving(workers.close),
    )
