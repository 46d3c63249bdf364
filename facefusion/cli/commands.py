"""The commands, each with the module that holds it. A module is imported when its command is called, not before.

A command module has ``GROUPS`` (the option groups it takes), ``configure(parser)`` for arguments of its own, and
``run(invocation) -> int``, the exit code of success; failures are raised. A module of several commands has a ``Spec``
with the same three for each of them, and its own ``GROUPS`` is all that any of them takes.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse

    from facefusion.cli.invocation import Invocation


class Spec(NamedTuple):
    """What a command is made of: its option groups, arguments of its own, and what it does (gives the exit code)."""

    groups: tuple[type, ...]
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Invocation], int]


class Command(NamedTuple):
    """Where a command lives, and what it does in a few words.

    ``reports`` says that its failures end stdout as an event wherever JSON lines were asked for. ``spec`` names the
    Spec in a module of several commands, such as 'ADD_STEP'; empty when the module itself is the command.
    """

    module: str
    summary: str
    reports: bool = False
    spec: str = ''

    def load(self) -> Spec:
        """Imports the module and gives the command."""
        module: Any = import_module(self.module)
        if not self.spec:
            return Spec(module.GROUPS, module.configure, module.run)
        spec: Spec = getattr(module, self.spec)
        return spec


# Before the command; a mode that is one command, and that is its name.
MODE_FLAG = '--mode'
MODES = {'headless': '', 'gui': 'run', 'benchmark': 'benchmark'}

COMMANDS = {
    'headless-run': Command('facefusion.cli.headless_run', 'work on one image or video now', reports=True),
    'batch-run': Command('facefusion.cli.batch_run', 'work on many images or videos now', reports=True),
    'job-list': Command('facefusion.cli.job_listing', 'list the jobs of the store', spec='LIST'),
    'job-show': Command('facefusion.cli.job_listing', 'tell everything of one job', spec='SHOW'),
    'job-create': Command('facefusion.cli.job_drafting', 'make a drafted job and print its id', spec='CREATE'),
    'job-submit': Command('facefusion.cli.job_drafting', 'put a drafted job into the queue', spec='SUBMIT'),
    'job-submit-all': Command('facefusion.cli.job_drafting', 'put all drafted jobs into the queue', spec='SUBMIT_ALL'),
    'job-delete': Command('facefusion.cli.job_drafting', 'remove a job', spec='DELETE'),
    'job-delete-all': Command('facefusion.cli.job_drafting', 'remove all jobs', spec='DELETE_ALL'),
    'job-add-step': Command('facefusion.cli.job_steps', 'add a step to a drafted job', spec='ADD'),
    'job-remix-step': Command('facefusion.cli.job_steps', 'add a step that works on the output of one', spec='REMIX'),
    'job-insert-step': Command('facefusion.cli.job_steps', 'add a step before another', spec='INSERT'),
    'job-remove-step': Command('facefusion.cli.job_steps', 'remove a step', spec='REMOVE'),
    'job-run': Command(
        'facefusion.cli.job_running', 'work on a queued job, or on the next one', reports=True, spec='RUN'
    ),
    'job-run-all': Command(
        'facefusion.cli.job_running', 'work on all queued jobs; with --watch as a worker', reports=True, spec='RUN_ALL'
    ),
    'job-retry': Command('facefusion.cli.job_running', 'run the rest of a failed job', reports=True, spec='RETRY'),
    'job-retry-all': Command(
        'facefusion.cli.job_running', 'run the rest of all failed jobs', reports=True, spec='RETRY_ALL'
    ),
    'job-cancel': Command('facefusion.cli.job_running', 'end a queued or running job', spec='CANCEL'),
    'force-download': Command('facefusion.cli.force_download', 'fetch the whole catalogue of models, needed or not'),
    'models': Command('facefusion.cli.models', 'list, fetch and verify model files'),
    'check': Command('facefusion.cli.check', 'say whether pictures and clips pass the content gate', reports=True),
    'verify': Command('facefusion.cli.verify', 'check the Content Credentials and the invisible mark of a file'),
    'doctor': Command('facefusion.cli.doctor', 'check this machine and say what to mend'),
}

# Modules that take all options together: an ini file may name those of any command. They are imported by every command
# when there is such a file, so none of them that has only options of another one.
OPTION_MODULES = (
    'facefusion.cli.headless_run',
    'facefusion.cli.batch_run',
    'facefusion.cli.job_drafting',
)
