"""The table of the groups of routes below /api/v1, one module each."""

from __future__ import annotations

from collections.abc import Callable

from facefusion.gui.context import GuiContext
from facefusion.gui.route_group import RouteGroup
from facefusion.gui.routes import (
    benchmark,
    draft,
    events,
    files,
    jobs,
    machine,
    media,
    metrics,
    models,
    option_list,
    people,
    preview,
    sources,
    version,
    workers,
)

GROUPS: tuple[Callable[[GuiContext], RouteGroup], ...] = (
    version.routes,
    option_list.routes,
    draft.routes,
    files.routes,
    media.routes,
    sources.routes,
    preview.routes,
    people.routes,
    jobs.routes,
    workers.routes,
    events.routes,
    models.routes,
    benchmark.routes,
    machine.routes,
    metrics.routes,
)
