"""``POST /sources``: the fitness of source files in words."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.errors import MediaError
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.media_library import FileKey
from facefusion.gui.replies import invalid, json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.gui.routes.files import readable_key
from facefusion.services.source_fitness import SourceFitness, SourceJudge

_MOST_PATHS = 64
_MOST_KEPT = 256


def routes(context: GuiContext) -> RouteGroup:
    """Return the route of sources."""
    known: OrderedDict[FileKey, dict[str, Any]] = OrderedDict()
    lock = threading.Lock()

    def judge_all(paths: list[str]) -> list[dict[str, Any]]:
        with lock:
            # The networks are opened for the first unknown file, and closed after the last one.
            open_judge = functools.cache(lambda: SourceJudge(context.workplace, context.settings))
            return [{**judge_file(path, open_judge), 'path': path} for path in paths]

    def judge_file(path: str, open_judge: Callable[[], SourceJudge]) -> dict[str, Any]:
        try:
            key = readable_key(context.roots, path)
        except MediaError as error:
            return SourceFitness(path, 'other', 0, [error.message], False)._asdict()
        if key not in known:
            known[key] = open_judge().judge(key.path)._asdict()
            while len(known) > _MOST_KEPT:
                known.popitem(last=False)
        return known[key]

    async def judge(request: Request) -> Response:
        paths = (await read_json(request)).get('paths')
        if not isinstance(paths, list) or len(paths) > _MOST_PATHS or not all(isinstance(path, str) for path in paths):
            raise invalid(f'paths is not a list of at most {_MOST_PATHS} paths')
        return json_reply({'sources': await in_thread(lambda: judge_all(paths))})

    return RouteGroup([route('/sources', judge, 'POST')])
