"""``models list|fetch|verify``."""

from __future__ import annotations

import argparse

from facefusion.cli.invocation import Invocation
from facefusion.cli.models_command import add_models_arguments, run_models
from facefusion.cli.options import ConsoleOptions
from facefusion.models.options import ModelOptions

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the sub-commands."""
    add_models_arguments(parser)


def run(invocation: Invocation) -> int:
    """Runs the chosen sub-command."""
    store = invocation.model_store(invocation.emit())
    return run_models(invocation.arguments, store, store.catalog)
