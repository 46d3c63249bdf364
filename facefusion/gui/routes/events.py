"""``GET /events``: the stream of server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facefusion.errors import FaceFusionError
from facefusion.gui.broadcast import event_text
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route

POLL_SECONDS = 0.25
# Workers register themselves every 5 seconds.
_WORKER_SECONDS = 1.0
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

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        task = asyncio.create_task(watcher.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return RouteGroup([route('/events', listen)], lifespan)


class _Watcher:
    """Publishes changes of jobs and workers while a page listens."""

    def __init__(self, context: GuiContext) -> None:
        self._shared = context.shared
        self._workers: list[dict[str, Any]] | None = None
        self._looked = float('-inf')
        self._problem = ''

    async def run(self) -> None:
        """Look four times a second, until the task is cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._shared.broadcast.has_clients:
                await in_thread(self._look)

    def _look(self) -> None:
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
        except FaceFusionError as error:
            # The store may be unreachable for a while; the page shows the message once.
            if error.message != self._problem:
                self._problem = error.message
                publish('message', {'level': 'error', 'origin': 'jobs', 'text': f'{error.message}: {error.cause}'})
