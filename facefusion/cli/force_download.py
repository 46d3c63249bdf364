"""``force-download``: every model of the catalogue."""

from __future__ import annotations

import argparse

from facefusion.cli.invocation import Invocation
from facefusion.cli.models_command import add_force_download_arguments, run_force_download
from facefusion.cli.options import ConsoleOptions
from facefusion.cli.signals import stop_on_signals
from facefusion.models.options import ModelOptions
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds nothing of its own."""
    add_force_download_arguments(parser)


def run(invocation: Invocation) -> int:
    """Fetches what is missing."""
    flag = StopFlag()
    store = invocation.model_store(invocation.emit(), flag)
    with stop_on_signals(flag):
        return run_force_download(invocation.arguments, store, store.catalog)
