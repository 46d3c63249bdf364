"""The table of the commands. The module of a command is imported only when the command runs.

A command module has ``GROUPS`` (its option groups) and ``run(invocation)``, which returns the exit code; failures are
raised as errors. It may have ``configure(parser)`` for arguments that are not options, and ``UNREAD`` with the keys of
options that the command accepts for existing scripts but does not read; its help does not list them. A module of
several commands has a ``Spec`` with these four parts for each, and its ``GROUPS`` contains all groups of these
commands.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import argparse

    from facefusion.cli.invocation import Invocation


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments: the command has only options."""


class Spec(NamedTuple):
    """The parts of a command: its option groups, other arguments, its function, and the keys of unread options."""

    groups: tuple[type, ...]
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Invocation], int]
    unread: frozenset[str] = frozenset()


class Command(NamedTuple):
    """The module of a command and its summary for the help.

    ``reports``: whether the command writes a failure as the last event to stdout when JSON lines were requested.
    ``spec`` is the name of the Spec in a module of several commands, such as 'ADD', and empty in a module of one
    command.
    """

    module: str
    summary: str
    reports: bool = False
    spec: str = ''

    def load(self) -> Spec:
        """Import the module and return the parts of the command."""
        module: Any = import_module(self.module)
        if not self.spec:
            configure = getattr(module, 'configure', no_arguments)
            return Spec(module.GROUPS, configure, module.run, getattr(module, 'UNREAD', frozenset()))
        spec: Spec = getattr(module, self.spec)
        return spec


# ``--mode`` precedes the command. A mode with a value here always runs this command.
MODE_FLAG = '--mode'
MODES = {'headless': '', 'gui': 'gui', 'benchmark': 'benchmark'}
# Other names of these commands.
ALIASES = {'gui': ('run',)}

_DRAFTING, _STEPS = 'facefusion.cli.job_drafting', 'facefusion.cli.job_steps'
_LISTING, _RUNNING = 'facefusion.cli.job_listing', 'facefusion.cli.job_running'
COMMANDS = {
    'headless-run': Command('facefusion.cli.headless_run', 'process one image or video now', reports=True),
    'batch-run': Command('facefusion.cli.batch_run', 'process many images or videos now', reports=True),
    'job-list': Command(_LISTING, 'list the jobs of the store', spec='LIST'),
    'job-show': Command(_LISTING, 'show all details of a job', spec='SHOW'),
    'job-create': Command(_DRAFTING, 'create a drafted job and print its id', spec='CREATE'),
    'job-submit': Command(_DRAFTING, 'put a drafted job into the queue', spec='SUBMIT'),
    'job-submit-all': Command(_DRAFTING, 'put all drafted jobs into the queue', spec='SUBMIT_ALL'),
    'job-priority': Command(_DRAFTING, 'change the priority of a drafted or queued job', spec='PRIORITY'),
    'job-delete': Command(_DRAFTING, 'delete a job', spec='DELETE'),
    'job-delete-all': Command(_DRAFTING, 'delete all jobs', spec='DELETE_ALL'),
    'job-add-step': Command(_STEPS, 'add a step to a drafted job', spec='ADD'),
    'job-remix-step': Command(_STEPS, 'add a step that processes the output of another step', spec='REMIX'),
    'job-insert-step': Command(_STEPS, 'insert a step before another', spec='INSERT'),
    'job-remove-step': Command(_STEPS, 'remove a step', spec='REMOVE'),
    'job-run': Command(_RUNNING, 'process a queued job, by default the next one', reports=True, spec='RUN'),
    'job-run-all': Command(_RUNNING, 'process all queued jobs; --watch waits for more', reports=True, spec='RUN_ALL'),
    'job-retry': Command(_RUNNING, 'run the remaining steps of a failed job', reports=True, spec='RETRY'),
    'job-retry-all': Command(_RUNNING, 'run the remaining steps of all failed jobs', reports=True, spec='RETRY_ALL'),
    'job-cancel': Command(_RUNNING, 'cancel a queued or running job', spec='CANCEL'),
    'force-download': Command('facefusion.cli.force_download', 'fetch all models of the catalogue'),
    'models': Command('facefusion.cli.models', 'list, fetch, import, export and verify model files'),
    'benchmark': Command('facefusion.cli.benchmark', 'measure the speed of processors on this machine', reports=True),
    'gui': Command('facefusion.cli.gui', 'serve the web page on this machine'),
    'run': Command('facefusion.cli.gui', 'serve the web page, as in FaceFusion 3.8'),
    'check': Command('facefusion.cli.check', 'check whether images and videos pass the content gate', reports=True),
    'faces': Command('facefusion.cli.faces', 'find the people of an image or video', reports=True),
    'verify': Command('facefusion.cli.verify', 'check the Content Credentials and the invisible mark of a file'),
    'doctor': Command('facefusion.cli.doctor', 'check this machine and suggest fixes'),
}

# Together these modules declare all options. A command imports them when there is an ini file, because the file may set
# options of any command.
OPTION_MODULES = (
    'facefusion.cli.headless_run',
    'facefusion.cli.batch_run',
    'facefusion.cli.job_drafting',
    'facefusion.cli.benchmark',
    'facefusion.cli.gui',
)
