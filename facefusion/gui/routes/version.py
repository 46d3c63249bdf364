"""``GET /version``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext
from facefusion.gui.replies import json_reply
from facefusion.gui.route_group import RouteGroup, route
from facefusion.version import VERSION


def routes(context: GuiContext) -> RouteGroup:
    """Return the version of the program."""

    async def show(request: Request) -> Response:
        return json_reply({'version': VERSION})

    return RouteGroup([route('/version', show)])
