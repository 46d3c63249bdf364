"""The groups of routes of the HTTP interface, one module each."""

from __future__ import annotations

from collections.abc import Callable

from facefusion.gui.context import GuiContext
from facefusion.gui.route_group import RouteGroup
from facefusion.gui.routes import version

GROUPS: tuple[Callable[[GuiContext], RouteGroup], ...] = (version.routes,)
