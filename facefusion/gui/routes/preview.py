"""``POST /preview``: one frame as a run would change it; ``POST /media/faces``: the faces of a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import UsageError
from facefusion.gui.context import GuiContext
from facefusion.gui.preview_desk import PreviewDesk, server_timing
from facefusion.gui.replies import json_reply, read_json, whole_number
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.routes.files import readable_key
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

    def file_of(path: str, number: int) -> StillFile:
        from facefusion.steps.still_run import StillFile

        return StillFile(*readable_key(context.roots, path), number)

    async def preview(request: Request) -> Response:
        body = await read_json(request)
        number, width = whole_number(body, 'frame'), whole_number(body, 'width')

        def make(flag: StopFlag) -> PreviewResult:
            settings = context.step_settings(body.get('args'))
            target = settings[PathOptions].target_path
            if target is None:
                raise UsageError('preview-no-target', 'a preview needs a target', hint='choose an image or a video')
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
        number, path = whole_number(body, 'number'), body.get('path')
        if not isinstance(path, str):
            raise UsageError('request-argument', 'path is not a text', hint='send the path of an image or a video')

        def find() -> dict[str, Any]:
            return desk.previewer.faces(context.step_settings(body.get('args')), file_of(path, number))

        return json_reply(await desk.run(find))

    return RouteGroup([route('/preview', preview, 'POST'), route('/media/faces', faces, 'POST')], desk.open)
