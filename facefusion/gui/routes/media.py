"""``/media``: facts of a file, and its exact frames and crops as JPEG."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import FaceFusionError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.media_library import MediaLibrary
from facefusion.gui.replies import invalid, json_reply
from facefusion.gui.route_group import RouteGroup, route, while_serving
from facefusion.gui.routes.files import readable_file, readable_key


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of media files."""
    library = context.shared.library

    def path_of(request: Request) -> Path:
        return readable_file(context.roots, request.query_params.get('path', ''))

    async def describe(request: Request) -> Response:
        return json_reply(await in_thread(lambda: _facts(library, path_of(request))))

    async def frame(request: Request) -> Response:
        number, width = int(_number(request, 'number', 0)), int(_number(request, 'width', 0))
        try:
            return await picture(request, lambda path: library.picture(path, number, width))
        except FaceFusionError:
            # A thumbnail of a file that has vanished is no failure of the page.
            if 'optional' not in request.query_params:
                raise
            return Response(status_code=204)

    async def crop(request: Request) -> Response:
        x, y, width, height = (_number(request, name, 0) for name in ('x', 'y', 'width', 'height'))
        number, side = int(_number(request, 'number', 0)), int(_number(request, 'side', 96))
        return await picture(request, lambda path: library.crop(path, number, (x, y, width, height), side))

    async def picture(request: Request, draw: Callable[[Path], bytes]) -> Response:
        key = await in_thread(lambda: readable_key(context.roots, request.query_params.get('path', '')))
        # The query names the picture, and the tag the state of the file.
        headers = {'etag': f'"{key.modified:x}-{key.size:x}"', 'cache-control': 'private, no-cache'}
        if request.headers.get('if-none-match') == headers['etag']:
            return Response(status_code=304, headers=headers)
        return Response(await in_thread(lambda: draw(key.path)), media_type='image/jpeg', headers=headers)

    return RouteGroup(
        [
            route('/media', describe),
            route('/media/frame', frame),
            route('/media/crop', crop),
        ],
        while_serving(library.close),
    )


def _facts(library: MediaLibrary, path: Path) -> dict[str, Any]:
    from facefusion.gui.file_listing import kind_of
    from facefusion.media.info import VideoInfo
    from facefusion.media.kinds import find_kind

    if kind_of(path.name) == 'audio':
        return {'path': str(path), 'kind': 'audio', **dict.fromkeys(_EMPTY), 'has_audio': True, 'remarks': []}
    info = library.info(path)
    facts: dict[str, Any] = {
        'path': str(path),
        'kind': 'video' if isinstance(info, VideoInfo) else 'image',
        'width': info.width,
        'height': info.height,
        'frames': None,
        'fps': None,
        'seconds': None,
        'has_audio': False,
        'has_alpha': info.has_alpha,
        'remarks': [remark] if (remark := find_kind(path).remark) else [],
    }
    if isinstance(info, VideoInfo):
        last = info.pts[-1] - info.pts[0] + info.last_duration
        facts |= {
            'frames': info.frame_count,
            'fps': round(float(info.average_rate), 3),
            'seconds': round(float(last * info.time_base), 3),
            'has_audio': bool(info.audio),
            'remarks': [*facts['remarks'], *info.remarks],
        }
    return facts


_EMPTY = ('width', 'height', 'frames', 'fps', 'seconds', 'has_alpha')


def _number(request: Request, name: str, default: float) -> float:
    text = request.query_params.get(name, '')
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise invalid(f'{name} is not a number, but {text!r}')
    return value
