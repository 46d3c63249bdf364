"""``/draft``, ``/command``, ``/plan``: the step that the page edits."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.events import Message
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.draft import DraftStore
from facefusion.gui.replies import check_body, invalid, json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.services.command_line import command_line, command_words
from facefusion.services.step_plan import plan_of
from facefusion.services.time_estimate import estimate_seconds


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of the draft."""
    drafts = DraftStore(context.state_path / 'draft.json')

    async def show(request: Request) -> Response:
        return json_reply(await in_thread(drafts.read))

    async def save(request: Request) -> Response:
        body = await read_json(request)
        check_body(body, {'args': dict, 'version': int})
        args, version = body.get('args'), body.get('version')
        if args is None or version is None:
            raise invalid('a draft has a version, which is a number, and args, an object')
        return json_reply({'version': await in_thread(lambda: drafts.write(version, args))})

    async def command(request: Request) -> Response:
        args = (await read_json(request)).get('args')
        settings = await in_thread(lambda: context.step_settings(args))
        given = {key for key, layer in context.layers.items() if layer == 'flag'}
        words = [*command_words(settings, context.settings, given), *context.flags.copied]
        return json_reply({'words': words, 'line': command_line(words)})

    async def plan(request: Request) -> Response:
        args = (await read_json(request)).get('args')
        return json_reply(await in_thread(lambda: _planned(args)))

    def _planned(args: Any) -> dict[str, Any]:
        settings = context.step_settings(args)
        remarks: list[Message] = []

        def emit(event: Any) -> None:
            if isinstance(event, Message):
                remarks.append(event)

        planned = plan_of(context.workplace, settings, emit)
        return {
            'plan': planned.record,
            'remarks': [{'level': each.level, 'origin': each.origin, 'text': each.text} for each in remarks],
            'seconds': estimate_seconds(context.shared.store, planned.record),
            'limit_exceeded': planned.is_over_limit,
        }

    return RouteGroup(
        [
            route('/draft', show),
            route('/draft', save, 'PUT'),
            route('/command', command, 'POST'),
            route('/plan', plan, 'POST'),
        ]
    )
