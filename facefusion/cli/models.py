"""``models list|fetch|verify``."""

from __future__ import annotations

import argparse

from facefusion.cli.invocation import Invocation
from facefusion.cli.models_command import add_models_arguments, run_models
from facefusion.cli.options import ConsoleOptions
from facefusion.cli.parser import add_options
from facefusion.cli.signals import stop_on_signals
from facefusion.models.options import ModelOptions
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands, which take the options of the command too."""

    def add_common(command: argparse.ArgumentParser) -> None:
        command.add_argument('--config-path', metavar='PATH', default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        add_options(command, GROUPS)

    add_models_arguments(parser, add_common)


def run(invocation: Invocation) -> int:
    """Runs the chosen sub-command."""
    flag = StopFlag()
    store = invocation.model_store(invocation.emit(), flag)
    if invocation.arguments.models_command != 'fetch':
        return run_models(invocation.arguments, store, store.catalog)
    with stop_on_signals(flag):
        return run_models(invocation.arguments, store, store.catalog)
