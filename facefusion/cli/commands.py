"""The commands, each with the module that holds it. A module is imported when its command is called, not before.

A command module has ``GROUPS`` (the option groups it takes), ``configure(parser)`` for arguments of its own, and
``run(invocation) -> int``, the exit code of success; failures are raised.
"""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """Where a command lives, and what it does in a few words.

    ``reports`` says that its failures end stdout as an event wherever JSON lines were asked for.
    """

    module: str
    summary: str
    reports: bool = False


COMMANDS = {
    'headless-run': Command('facefusion.cli.headless_run', 'work on one image or video now', reports=True),
    'force-download': Command('facefusion.cli.force_download', 'fetch the whole catalogue of models, needed or not'),
    'models': Command('facefusion.cli.models', 'list, fetch and verify model files'),
    'doctor': Command('facefusion.cli.doctor', 'check this machine and say what to mend'),
}

# Every module that declares options: an ini file may name the options of any command.
OPTION_MODULES = ('facefusion.cli.headless_run', 'facefusion.cli.models', 'facefusion.cli.doctor')
