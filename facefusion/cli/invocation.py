"""One call of a command: its parsed arguments, its settings, and where things lie."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from facefusion.services.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Invocation(Workplace):
    """What a command gets; ``mode`` is what ``--mode`` named, or ''."""

    arguments: argparse.Namespace
    mode: str = ''
