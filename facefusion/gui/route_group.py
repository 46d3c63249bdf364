"""The type of a group of routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from starlette.routing import BaseRoute, Route

from facefusion.gui.replies import Handler, answered


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """The routes of a module, and an optional context manager that is open while the server runs."""

    routes: Sequence[BaseRoute]
    lifespan: Callable[[], AbstractAsyncContextManager[None]] | None = None


def route(path: str, handler: Handler, method: str = 'GET') -> Route:
    """Return a route whose errors are replied as records; ``path`` is relative to /api/v1."""
    return Route(path, answered(handler), methods=[method])
