"""The type of a group of routes, and the time during which a group works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, Route

from facefusion.gui.replies import Handler, answered


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """The routes of a module, and an optional context manager that is open while the server runs."""

    routes: Sequence[BaseRoute]
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None


def nothing() -> None:
    """Do nothing."""


def while_serving(
    close: Callable[[], None] = nothing, work: Callable[[], Coroutine[Any, Any, None]] | None = None
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return a lifespan: ``work`` runs while the server does, and is cancelled before ``close`` is called."""

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        task = asyncio.create_task(work()) if work is not None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            close()

    return lifespan


def route(path: str, handler: Handler, method: str = 'GET') -> Route:
    """Return a route whose errors are replied as records; ``path`` is relative to /api/v1."""
    return Route(path, answered(handler), methods=[method])
