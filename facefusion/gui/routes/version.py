"""``GET /version`` and ``GET /openapi.json``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext
from facefusion.gui.openapi import openapi_document
from facefusion.gui.replies import json_reply
from facefusion.gui.route_group import RouteGroup, route
from facefusion.version import VERSION


def routes(context: GuiContext) -> RouteGroup:
    """Return the version of the program, and the description of the interface."""

    async def show(request: Request) -> Response:
        return json_reply({'version': VERSION})

    async def describe(request: Request) -> Response:
        return json_reply(openapi_document())

    return RouteGroup([route('/version', show), route('/openapi.json', describe)])
