"""The thread of the page that processes single frames: of several waiting previews only the latest is made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from facefusion.services.preview import Previewer, PreviewResult
from facefusion.stopping import StopFlag

T = TypeVar('T')
# Models are freed after this time without a preview.
IDLE_SECONDS = 300.0
_CHECK_SECONDS = 15.0


class PreviewDesk:
    """One thread for a previewer; its methods are called in the event loop."""

    def __init__(self, previewer: Previewer, idle_seconds: float = IDLE_SECONDS) -> None:
        self.previewer = previewer
        self._idle_seconds = idle_seconds
        self._thread = ThreadPoolExecutor(1, 'preview')
        self._latest = 0
        self._used = time.monotonic()
        self._is_free = True
        self._flag = StopFlag()
        self._turn = asyncio.Lock()

    async def preview(
        self, make: Callable[[StopFlag], PreviewResult], is_gone: Callable[[], Awaitable[bool]]
    ) -> PreviewResult | None:
        """Return the preview of ``make``, or None if a newer one was requested before the thread began.

        It is also None if the client ``is_gone`` by then.
        """
        self._latest += 1
        number = self._latest
        async with self._turn:
            if number != self._latest or await is_gone():
                return None
            return await self._run(lambda: make(self._flag))

    async def run(self, work: Callable[[], T]) -> T:
        """Return the result of ``work`` in the thread."""
        async with self._turn:
            return await self._run(work)

    async def _run(self, work: Callable[[], T]) -> T:
        self._used, self._is_free = time.monotonic(), False
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._used = time.monotonic()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Free the models while the page is idle, and stop the thread at the end."""
        task = asyncio.create_task(self._free_when_idle())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._flag.set('the end of the server')
            self._thread.shutdown(cancel_futures=True)

    async def _free_when_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_CHECK_SECONDS, self._idle_seconds))
            if not self._is_free and time.monotonic() - self._used >= self._idle_seconds:
                self._is_free = True
                await asyncio.get_running_loop().run_in_executor(self._thread, self.previewer.free)


def server_timing(seconds: dict[str, float]) -> str:
    """Return the value of a Server-Timing header: milliseconds by stage."""
    parts: list[Any] = [f'{name};dur={each * 1e3:.0f}' for name, each in seconds.items()]
    return ', '.join(parts)
