"""``/draft``, ``/command``, ``/plan``: the step that the page edits."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from facefusion.events import Message
from facefusion.gui.context import GuiContext, in_thread
from facefusion.gui.draft import DraftStore
from facefusion.gui.replies import json_reply, read_json
from facefusion.gui.route_group import RouteGroup, route
from facefusion.services.command_line import command_line, command_words
from facefusion.services.step_plan import plan_of


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of the draft."""
    drafts = DraftStore(context.state_path / 'draft.json')

    async def show(request: Request) -> Response:
        return json_reply(await in_thread(drafts.read))

    async def save(request: Request) -> Response:
        body = await read_json(request)
        args = body.get('args')
        version, name = body.get('version'), str(body.get('name') or '')
        kept = args if isinstance(args, dict) else {}
        number = version if isinstance(version, int) else -1
        return json_reply({'version': await in_thread(lambda: drafts.write(number, kept, name))})

    async def command(request: Request) -> Response:
        settings = context.step_settings((await read_json(request)).get('args'))
        given = {key for key, layer in context.layers.items() if layer == 'flag'}
        words = command_words(settings, context.settings, given)
        return json_reply({'words': words, 'line': command_line(words)})

    async def plan(request: Request) -> Response:
        settings = context.step_settings((await read_json(request)).get('args'))
        return json_reply(await in_thread(lambda: _planned(settings)))

    def _planned(settings: Any) -> dict[str, Any]:
        remarks: list[Message] = []

        def emit(event: Any) -> None:
            if isinstance(event, Message):
                remarks.append(event)

        planned = plan_of(context.workplace, settings, emit)
        return {
            'plan': planned.record,
            'remarks': [{'level': each.level, 'origin': each.origin, 'text': each.text} for each in remarks],
            'seconds': None,
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
