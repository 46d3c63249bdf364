"""The invocation of a command: its arguments, settings and folders."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from facefusion.services.workplace import Workplace
from facefusion.settings import IniFile


@dataclass(frozen=True, slots=True)
class Invocation(Workplace):
    """The input of a command; ``mode`` is the value of ``--mode``, or ''; ``ini`` is the ini file of the command."""

    arguments: argparse.Namespace
    mode: str = ''
    ini: IniFile | None = None
