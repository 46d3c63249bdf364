"""``/people``: surveys of the people of a target, and a picture of each person."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import UsageError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.routes.files import readable_file
from facefusion.pipeline.options import PathOptions

_SIDE = 192


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of surveys."""
    desk = context.shared.surveys

    async def start(request: Request) -> Response:
        settings = context.step_settings((await read_json(request)).get('args'))
        target = settings[PathOptions].target_path
        if target is None:
            raise UsageError('people-no-target', 'a survey needs a target', hint='choose an image or a video')
        survey_id = await in_thread(lambda: desk.start(settings, readable_file(context.roots, target)))
        return json_reply({'survey': survey_id}, 202)

    async def show(request: Request) -> Response:
        return json_reply(await in_thread(desk.task(request.path_params['survey_id']).as_record))

    async def stop(request: Request) -> Response:
        desk.stop(request.path_params['survey_id'])
        return Response(status_code=204)

    async def crop(request: Request) -> Response:
        survey_id, number = request.path_params['survey_id'], request.path_params['number']
        side = request.query_params.get('side', '')
        wanted = int(side) if side.isascii() and side.isdigit() else _SIDE
        data = await in_thread(lambda: desk.crop(survey_id, number, wanted))
        return Response(data, media_type='image/jpeg', headers={'cache-control': 'private, max-age=3600'})

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        yield
        await in_thread(desk.close)

    return RouteGroup(
        [
            route('/people', start, 'POST'),
            route('/people/{survey_id}', show),
            route('/people/{survey_id}', stop, 'DELETE'),
            route('/people/{survey_id}/crops/{number:int}', crop),
        ],
        lifespan,
    )
