"""Events for the open pages: each client has a queue of limited length."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

# A page that is this many events behind is disconnected; its browser connects again and gets the whole state.
LONGEST_QUEUE = 2000
# Proxies close connections on which nothing is sent.
_COMMENT_SECONDS = 15.0
_COMMENT = b': still here\n\n'
_Queue: TypeAlias = 'asyncio.Queue[bytes | None]'


class Broadcast:
    """Passes events from any thread to all clients; events are dropped while there is no client."""

    def __init__(self) -> None:
        self._queues: dict[_Queue, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def has_clients(self) -> bool:
        """Whether a page listens."""
        return bool(self._queues)

    def publish(self, name: str, data: Mapping[str, Any]) -> None:
        """Send an event to all clients: a name such as 'job', and plain JSON."""
        if self._queues:
            self._send(event_text(name, data))

    def close(self) -> None:
        """End the streams of all clients, so that the server can end at once."""
        self._is_closed = True
        self._send(None)

    @contextmanager
    def client(self) -> Any:
        """Yield the events of a new client as an iterator of text, see ``_events``."""
        queue: _Queue = asyncio.Queue(LONGEST_QUEUE + 1)
        with self._lock:
            self._queues[queue] = asyncio.get_running_loop()
        try:
            yield self._events(queue)
        finally:
            with self._lock:
                self._queues.pop(queue, None)

    async def _events(self, queue: _Queue) -> AsyncIterator[bytes]:
        """Yield events, and comments between them, until the client is too slow or the server ends."""
        while not self._is_closed:
            try:
                text = await asyncio.wait_for(queue.get(), _COMMENT_SECONDS)
            except TimeoutError:
                yield _COMMENT
                continue
            if text is None:
                return
            yield text

    def _send(self, text: bytes | None) -> None:
        with self._lock:
            for queue, loop in self._queues.items():
                # The loop is closed when the server has just ended.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_put, queue, text)


def _put(queue: _Queue, text: bytes | None) -> None:
    if queue.qsize() < LONGEST_QUEUE:
        queue.put_nowait(text)
    elif queue.qsize() == LONGEST_QUEUE:
        queue.put_nowait(None)


def event_text(name: str, data: Mapping[str, Any]) -> bytes:
    """Return an event in the format of server-sent events."""
    return f'event: {name}\ndata: {json.dumps(data, ensure_ascii=True, separators=(",", ":"))}\n\n'.encode('ascii')
