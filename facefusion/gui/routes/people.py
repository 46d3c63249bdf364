"""``/people``: find the people of a target in the background."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from facefusion.errors import InputError, UsageError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route, while_serving
from facefusion.gui.routes.files import readable_file
from facefusion.pipeline.options import PathOptions


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of people."""
    surveys = context.shared.surveys

    async def start(request: Request) -> Response:
        args = (await read_json(request)).get('args')

        def begin() -> str:
            settings = context.step_settings(args)
            target = settings[PathOptions].target_path
            if target is None:
                raise UsageError('survey-no-target', 'there is no target', hint='choose an image or a video')
            return surveys.start(settings, readable_file(context.roots, target))

        return json_reply({'survey': await in_thread(begin)}, 202)

    async def show(request: Request) -> Response:
        return json_reply(surveys.task(request.path_params['key']).as_record())

    async def crop(request: Request) -> Response:
        task = surveys.task(request.path_params['key'])
        path: Path = task.folder / _crop_name(request.path_params['number'])
        if task.record is None or not path.is_file():
            raise InputError('not-found', 'there is no picture of this person', hint='search for the people again')
        return FileResponse(path, headers={'cache-control': 'private, max-age=3600'})

    async def stop(request: Request) -> Response:
        surveys.stop(surveys.task(request.path_params['key']).key)
        return Response(status_code=204)

    return RouteGroup(
        [
            route('/people', start, 'POST'),
            route('/people/{key}', show),
            route('/people/{key}', stop, 'DELETE'),
            route('/people/{key}/crops/{number:int}', crop),
        ],
        while_serving(surveys.stop),
    )


def _crop_name(number: int) -> str:
    from facefusion.pipeline.people_files import crop_name

    return crop_name(number)
