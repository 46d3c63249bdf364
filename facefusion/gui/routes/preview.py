"""``POST /preview``: one frame as a run would change it; ``POST /media/faces``: the faces of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import UsageError
from facefusion.gui.context import GuiContext
from facefusion.gui.media_library import key_of
from facefusion.gui.preview_desk import PreviewDesk, server_timing
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.routes.files import readable_file
from facefusion.pipeline.options import PathOptions
from facefusion.services.preview import Previewer, PreviewResult
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.steps.still_run import StillFile

_LONGEST_REMARKS = 2000


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes that process or inspect a single frame, all in one thread."""
    shared = context.shared

    def is_busy() -> bool:
        return any(worker['job_id'] is not None for worker in shared.workers.listed())

    desk = PreviewDesk(Previewer(context.workplace, shared.library, shared.surveys.people_of, is_busy))

    def file_of(path: Any, number: int) -> StillFile:
        from facefusion.steps.still_run import StillFile

        return StillFile(*key_of(readable_file(context.roots, path)), number)

    async def preview(request: Request) -> Response:
        body = await read_json(request)
        settings = context.step_settings(body.get('args'))
        number, width = _whole(body, 'frame'), _whole(body, 'width')
        target = settings[PathOptions].target_path
        if target is None:
            raise UsageError('preview-no-target', 'a preview needs a target', hint='choose an image or a video')

        def make(flag: StopFlag) -> PreviewResult:
            return desk.previewer.preview(settings, file_of(target, number), width, flag)

        result = await desk.preview(make, request.is_disconnected)
        if result is None:
            return Response(status_code=204, headers={'cache-control': 'no-store'})
        headers = {
            'cache-control': 'no-store',
            'server-timing': server_timing(result.seconds),
            'x-changed': 'yes' if result.is_changed else 'no',
            # Header values are Latin-1.
            'x-remarks': quote('\n'.join(result.remarks)[:_LONGEST_REMARKS]),
        }
        return Response(result.data, media_type='image/jpeg', headers=headers)

    async def faces(request: Request) -> Response:
        body = await read_json(request)
        settings, number = context.step_settings(body.get('args')), _whole(body, 'number')
        path = body.get('path')
        if not isinstance(path, str):
            raise UsageError('request-argument', 'path is not a text', hint='send the path of an image or a video')
        return json_reply(await desk.run(lambda: desk.previewer.faces(settings, file_of(path, number))))

    return RouteGroup([route('/preview', preview, 'POST'), route('/media/faces', faces, 'POST')], desk.open)


def _whole(body: dict[str, Any], name: str) -> int:
    value = body.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError('request-argument', f'{name} is not a whole number from 0 on', cause=f'it is {value!r}')
    return value
