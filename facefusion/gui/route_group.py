"""The type of a group of routes, and the time during which a group works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

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
    close: Callable[[], None] = nothing, start: Callable[[], None] = nothing
) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return a lifespan that calls ``start`` when the server starts and ``close`` when it ends."""

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        start()
        try:
            yield
        finally:
            close()

    return lifespan


def route(path: str, handler: Handler, method: str = 'GET') -> Route:
    """Return a route whose errors are replied as records; ``path`` is relative to /api/v1."""
    return Route(path, answered(handler), methods=[method])
