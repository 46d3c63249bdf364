"""``force-download``: every model of the catalogue."""

from __future__ import annotations

import argparse

from facefusion.cli.invocation import Invocation
from facefusion.cli.models import all_models
from facefusion.cli.options import ConsoleOptions
from facefusion.cli.signals import stop_on_signals
from facefusion.models.options import ModelOptions
from facefusion.stopping import StopFlag

GROUPS: tuple[type, ...] = (ModelOptions, ConsoleOptions)


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds nothing of its own."""


def run(invocation: Invocation) -> int:
    """Fetches what is missing or damaged."""
    flag = StopFlag()
    store = invocation.model_store(invocation.emit(), flag)
    with stop_on_signals(flag):
        store.fetch(all_models(store.catalog))
    return 0
