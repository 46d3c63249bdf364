"""Events for the open pages: each client has a queue of limited length."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

# A page that is this many events behind is disconnected; its browser connects again and gets the whole state.
_LONGEST_QUEUE = 500


class ServerEvent(NamedTuple):
    """An event of the stream: a name such as 'job', and plain JSON."""

    name: str
    data: dict[str, Any]


class Broadcast:
    """Passes events from any thread to all clients; events are dropped while there is no client."""

    def __init__(self) -> None:
        self._queues: dict[asyncio.Queue[ServerEvent | None], asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()

    @property
    def has_clients(self) -> bool:
        """Whether a page listens."""
        return bool(self._queues)

    def publish(self, name: str, data: dict[str, Any]) -> None:
        """Send an event to all clients."""
        with self._lock:
            for queue, loop in self._queues.items():
                loop.call_soon_threadsafe(_put, queue, ServerEvent(name, data))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[asyncio.Queue[ServerEvent | None]]:
        """Yield the queue of a new client; None in it means that the client must connect again."""
        queue: asyncio.Queue[ServerEvent | None] = asyncio.Queue(_LONGEST_QUEUE + 1)
        with self._lock:
            self._queues[queue] = asyncio.get_running_loop()
        try:
            yield queue
        finally:
            with self._lock:
                self._queues.pop(queue, None)


def _put(queue: asyncio.Queue[ServerEvent | None], event: ServerEvent) -> None:
    if queue.qsize() < _LONGEST_QUEUE:
        queue.put_nowait(event)
    elif queue.qsize() == _LONGEST_QUEUE:
        queue.put_nowait(None)
