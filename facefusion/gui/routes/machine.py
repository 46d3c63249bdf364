"""``GET /doctor`` and ``POST /verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.diagnosis import diagnose
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.routes.files import readable_file
from facefusion.services.verification import verified


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of checks."""

    async def doctor(request: Request) -> Response:
        words, environ = context.flags.doctor, context.workplace.environ
        return json_reply({'findings': await in_thread(lambda: diagnose(words, environ))})

    async def verify(request: Request) -> Response:
        path = str((await read_json(request)).get('path') or '')

        def check() -> dict[str, Any]:
            file: Path = readable_file(context.roots, path)
            return verified(context.workplace, file).as_record()

        return json_reply(await in_thread(check))

    return RouteGroup([route('/doctor', doctor), route('/verify', verify, 'POST')])
