"""``GET /events``: the stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facefusion.errors import FaceFusionError
from facefusion.gui.broadcast import event_text
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route, while_serving

POLL_SECONDS = 0.25
# Changes seldom come alone: for some seconds after one, the store is looked at more often.
_LIVELY_POLL_SECONDS = 0.08
_LIVELY_SECONDS = 3.0
# A worker that starts or ends without a job changes no folder of the board.
_WORKER_SECONDS = 2.0
_HEADERS = {'cache-control': 'no-store', 'x-accel-buffering': 'no'}


def routes(context: GuiContext) -> RouteGroup:
    """Return the stream, and the task that looks at the store while a page listens."""
    broadcast, watcher = context.shared.broadcast, _Watcher(context)

    async def stream() -> AsyncIterator[bytes]:
        # The client joins before the jobs are read, so that it misses no change.
        with broadcast.client() as events:
            yield event_text('jobs', {'jobs': await in_thread(context.shared.board.jobs)})
            yield event_text('workers', {'workers': await in_thread(context.shared.workers.listed)})
            async for text in events:
                yield text

    async def listen(request: Request) -> Response:
        return StreamingResponse(stream(), media_type='text/event-stream', headers=_HEADERS)

    return RouteGroup([route('/events', listen)], while_serving(work=watcher.run))


class _Watcher:
    """Publishes changes of jobs and workers while a page listens."""

    def __init__(self, context: GuiContext) -> None:
        self._shared = context.shared
        self._workers: list[dict[str, Any]] | None = None
        self._looked = float('-inf')
        self._problem = ''

    async def run(self) -> None:
        """Look at the store, more often after a change, until the task is cancelled."""
        lively_until = float('-inf')
        while True:
            await asyncio.sleep(_LIVELY_POLL_SECONDS if time.monotonic() < lively_until else POLL_SECONDS)
            if self._shared.broadcast.has_clients and await in_thread(self._look):
                lively_until = time.monotonic() + _LIVELY_SECONDS

    def _look(self) -> bool:
        """Publish the changes since the last look; return whether a job changed."""
        publish = self._shared.broadcast.publish
        try:
            is_changed = self._shared.board.refresh()
            if is_changed or time.monotonic() - self._looked >= _WORKER_SECONDS:
                self._looked = time.monotonic()
                for text in self._shared.workers.failures():
                    publish('message', {'level': 'error', 'origin': 'worker', 'text': text})
                workers = self._shared.workers.listed()
                if workers != self._workers:
                    self._workers = workers
                    publish('workers', {'workers': workers})
            self._problem = ''
            return is_changed
        except FaceFusionError as error:
            # The store may be unreachable for a while; the page shows the message once.
            if error.message != self._problem:
                self._problem = error.message
                publish('message', {'level': 'error', 'origin': 'jobs', 'text': f'{error.message}: {error.cause}'})
            return False
