"""``GET /events``: the stream of server-sent events."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from facefusion.errors import FaceFusionError
from facefusion.failures import as_failure
from facefusion.gui.broadcast import event_text
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.route_group import RouteGroup, route, while_serving

POLL_SECONDS = 0.25
# After a job was created, moved or deleted, the store is looked at more often, because changes seldom come alone.
_LIVELY_POLL_SECONDS = 0.08
_CLOSE_SECONDS = 2.0
# A worker that starts or ends without a job changes no folder of the board.
_WORKER_SECONDS = 2.0
# Failures of workers that wait for a page.
_MOST_FAILURES = 5
_HEADERS = {'cache-control': 'no-store', 'x-accel-buffering': 'no'}


def routes(context: GuiContext) -> RouteGroup:
    """Return the stream, and the thread that looks at the store while a page listens."""
    broadcast, watcher = context.shared.broadcast, _Watcher(context)

    async def stream() -> AsyncIterator[bytes]:
        # The client joins before the jobs are read, so that it misses no change.
        with broadcast.client() as events:
            yield event_text('jobs', {'jobs': await in_thread(context.shared.board.jobs)})
            yield event_text('workers', {'workers': await in_thread(context.shared.workers.listed)})
            async for text in events:
                yield text

    async def listen(request: Request) -> Response:
        if request.method == 'HEAD':
            return Response(media_type='text/event-stream', headers=_HEADERS)
        return StreamingResponse(stream(), media_type='text/event-stream', headers=_HEADERS)

    return RouteGroup([route('/events', listen)], while_serving(watcher.close, watcher.start))


class _Watcher:
    """Publishes changes of jobs and workers while a page listens.

    It has a thread of its own: to hand each look to a thread of the pool would take twice the time of the look.
    """

    def __init__(self, context: GuiContext) -> None:
        self._shared = context.shared
        self._workers: list[dict[str, Any]] | None = None
        self._looked = float('-inf')
        self._problem = ''
        self._failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name='watch', daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; it is not waited for while the store does not answer."""
        self._stop.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(_LIVELY_POLL_SECONDS if self._shared.board.has_moved else POLL_SECONDS):
            if self._shared.broadcast.has_clients:
                self._look()
            elif time.monotonic() - self._looked >= _WORKER_SECONDS:
                self._look_at_workers()

    def _look_at_workers(self) -> None:
        """Collect the failures of workers, and limit their log, even if no page is open."""
        self._looked = time.monotonic()
        self._failures = [*self._failures, *self._shared.workers.failures()][-_MOST_FAILURES:]

    def _look(self) -> None:
        """Publish the changes since the last look."""
        publish = self._shared.broadcast.publish
        try:
            is_changed = self._shared.board.refresh()
            if is_changed or time.monotonic() - self._looked >= _WORKER_SECONDS:
                self._look_at_workers()
                for text in self._failures:
                    publish('message', {'level': 'error', 'origin': 'worker', 'text': text})
                self._failures = []
                workers = self._shared.workers.listed()
                if workers != self._workers:
                    self._workers = workers
                    publish('workers', {'workers': workers})
            self._problem = ''
        except (FaceFusionError, OSError) as error:
            # The store may be unreachable for a while; the page shows the message once.
            failure = as_failure(error)
            if failure.message != self._problem:
                self._problem = failure.message
                publish('message', {'level': 'error', 'origin': 'jobs', 'text': f'{failure.message}: {failure.cause}'})
