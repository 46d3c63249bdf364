"""``GET /events``: the stream of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facefusion.errors import FaceFusionError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route, while_serving

POLL_SECONDS = 0.25
# Proxies close connections on which nothing is sent.
_COMMENT_SECONDS = 15.0


def routes(context: GuiContext) -> RouteGroup:
    """Return the stream, and the task that polls the store while a page listens."""
    broadcast, board = context.shared.broadcast, context.shared.board

    async def watch() -> None:
        shown: Any = None
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not broadcast.has_clients:
                continue
            # An unreadable store is reported by the requests of the page.
            with suppress(FaceFusionError, OSError):
                change = await in_thread(board.update)
                for summary in change.changed:
                    broadcast.publish('job', summary)
                for job_id in change.gone:
                    broadcast.publish('gone', {'id': job_id})
                workers = await in_thread(context.shared.workers.listed)
                if workers != shown:
                    shown = workers
                    broadcast.publish('workers', {'workers': workers})

    async def stream() -> AsyncIterator[str]:
        async with broadcast.client() as queue:
            yield _text('jobs', {'jobs': await in_thread(board.jobs)})
            yield _text('workers', {'workers': await in_thread(context.shared.workers.listed)})
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), _COMMENT_SECONDS)
                except TimeoutError:
                    yield ': still here\n\n'
                    continue
                if event is None:
                    return
                yield _text(event.name, event.data)

    async def listen(request: Request) -> Response:
        return StreamingResponse(stream(), media_type='text/event-stream', headers={'cache-control': 'no-store'})

    return RouteGroup([route('/events', listen)], while_serving(work=watch))


def _text(name: str, data: dict[str, Any]) -> str:
    return f'event: {name}\ndata: {json.dumps(data, separators=(",", ":"))}\n\n'
