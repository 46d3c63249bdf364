"""``POST /preview``: one frame as a run would change it."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.replies import read_json, whole_number
from facefusion.gui.route_group import RouteGroup, route, while_serving
from facefusion.gui.routes.files import readable_key
from facefusion.services.preview import FrameOfFile, Previewer, PreviewResult, preview_target

# Models are freed after this time without a preview.
_IDLE_SECONDS = 300.0
_CHECK_SECONDS = 30.0
_LONGEST_REMARKS = 2000


def routes(context: GuiContext) -> RouteGroup:
    """Return the route of previews, and the task that frees the models of an idle page."""
    previewer = Previewer(context.workplace)
    used = [time.monotonic()]

    async def preview(request: Request) -> Response:
        body = await read_json(request)
        number = whole_number(body, 'frame')

        def work() -> PreviewResult | None:
            settings, library = context.step_settings(body.get('args')), context.shared.library
            key = readable_key(context.roots, preview_target(settings))
            return previewer.preview(settings, FrameOfFile(*key, number), lambda: library.frame(key.path, number))

        started = used[0] = time.monotonic()
        result = await in_thread(work)
        if result is None:
            return Response(status_code=204)
        headers = {
            'cache-control': 'no-store',
            'server-timing': f'preview;dur={(time.monotonic() - started) * 1e3:.0f}',
            'x-changed': 'yes' if result.is_changed else 'no',
            # Header values are Latin-1.
            'x-remarks': quote('\n'.join(result.remarks)[:_LONGEST_REMARKS]),
        }
        return Response(result.data, media_type=result.content_type, headers=headers)

    async def free_when_idle() -> None:
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            if time.monotonic() - used[0] > _IDLE_SECONDS:
                await in_thread(previewer.release)

    return RouteGroup([route('/preview', preview, 'POST')], while_serving(previewer.close, free_when_idle))
