"""``/benchmark``: run benchmarks, and read and compare their reports."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.benchmark.options import DEFAULT_THRESHOLD, BenchmarkOptions
from facefusion.gui.benchmark_runs import BenchmarkRuns
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.option_records import option_records
from facefusion.gui.replies import check_body, json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route, while_serving
from facefusion.options import describe
from facefusion.processors.registry import REGISTRATIONS, ProcessorsOptions
from facefusion.services.command_line import option_words
from facefusion.services.step_request import request_settings

_GROUPS = (BenchmarkOptions, ProcessorsOptions, *(registration.options for registration in REGISTRATIONS))


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of benchmarks; a running one ends with the server."""
    folder = context.state_path / 'benchmarks'
    runs = BenchmarkRuns(folder, context.flags.worker, dict(context.workplace.environ), context.shared.broadcast)

    async def listed(request: Request) -> Response:
        return json_reply(await in_thread(lambda: {**runs.state, 'reports': runs.listed()}))

    async def list_options(request: Request) -> Response:
        return json_reply(option_records((BenchmarkOptions,), context.settings, context.layers))

    async def start(request: Request) -> Response:
        body = await read_json(request)
        check_body(body, {'args': dict})
        args = body.get('args', {})
        settings = request_settings(context.settings, args, _GROUPS)
        words = [
            word
            for group in _GROUPS
            for info in describe(group)
            if info.key in args
            for word in option_words(info, getattr(settings[group], info.key))
        ]
        return json_reply(await in_thread(lambda: runs.start(words)), 202)

    async def stop(request: Request) -> Response:
        await in_thread(runs.stop)
        return Response(status_code=204)

    async def report(request: Request) -> Response:
        return json_reply(await in_thread(lambda: json.loads(runs.path(request.path_params['name']).read_bytes())))

    async def compared(request: Request) -> Response:
        query = request.query_params
        return json_reply(await in_thread(lambda: _compared(runs, query.get('old', ''), query.get('new', ''))))

    return RouteGroup(
        [
            route('/benchmark', listed),
            route('/benchmark', start, 'POST'),
            route('/benchmark', stop, 'DELETE'),
            route('/benchmark/options', list_options),
            route('/benchmark/reports/{name}', report),
            route('/benchmark/compare', compared),
        ],
        while_serving(runs.stop),
    )


def _compared(runs: BenchmarkRuns, old: str, new: str) -> dict[str, Any]:
    from facefusion.benchmark.compare import compare, read_report

    return compare(read_report(runs.path(old)), read_report(runs.path(new)), DEFAULT_THRESHOLD)
