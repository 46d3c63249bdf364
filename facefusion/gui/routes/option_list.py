"""``GET /options`` and ``GET /settings``: the options of steps and of the process, with their values."""

from __future__ import annotations

import platform
from importlib import metadata

from starlette.requests import Request
from starlette.responses import Response

from facefusion.gui.context import GuiContext
from facefusion.gui.option_records import option_records, processor_records, sections_of
from facefusion.gui.replies import json_reply
from facefusion.gui.route_group import RouteGroup, route
from facefusion.options import describe
from facefusion.pipeline.options import WorkOptions
from facefusion.steps.arguments import STEP_GROUPS
from facefusion.version import VERSION

_LIBRARIES = ('av', 'c2pa-python', 'numpy', 'onnxruntime', 'onnxruntime-gpu', 'opencv-python-headless', 'starlette')
# The token is a secret.
_SECRETS = frozenset({'token'})


def routes(context: GuiContext) -> RouteGroup:
    """Return the routes of options and settings."""
    process_groups = tuple(group for group in context.groups if group not in STEP_GROUPS)

    async def list_options(request: Request) -> Response:
        records = option_records(STEP_GROUPS, context.settings, context.layers)
        processors = processor_records(context.settings)
        return json_reply({'version': VERSION, 'sections': sections_of(records), 'processors': processors})

    async def show_settings(request: Request) -> Response:
        records = option_records(process_groups, context.settings, context.layers)
        place = context.workplace
        return json_reply(
            {
                'options': [record for record in records if record['key'] not in _SECRETS],
                'paths': {
                    'home': str(place.home),
                    'jobs': str(place.jobs_path().absolute()),
                    'models': str(place.weights_path().absolute()),
                    'temp': place.settings[WorkOptions].temp_path or str(place.jobs_path().absolute()),
                    'media_roots': [str(folder) for folder in context.roots.folders],
                },
                'versions': {'facefusion': VERSION, 'python': platform.python_version(), **_library_versions()},
                'policies': [
                    {'key': info.key, 'value': getattr(context.settings[group], info.key), 'help': info.help}
                    for group in context.groups
                    for info in describe(group)
                    if info.is_policy
                ],
            }
        )

    return RouteGroup([route('/options', list_options), route('/settings', show_settings)])


def _library_versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
