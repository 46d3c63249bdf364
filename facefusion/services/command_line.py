"""The command line of a step: the words that give the same settings again."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from facefusion.options import OptionInfo, describe
from facefusion.settings import Settings
from facefusion.steps.arguments import STEP_GROUPS


def command_words(settings: Settings, base: Settings, given: Collection[str] = ()) -> list[str]:
    """Return ``facefusion headless-run`` with the step options of ``settings`` that differ from ``base``.

    ``base`` are the settings in force; ``given`` are the keys of those that came from flags, which are always written.
    """
    words = ['facefusion', 'headless-run']
    for group in STEP_GROUPS:
        for info in describe(group):
            value = getattr(settings[group], info.key)
            if (
                not info.is_policy
                and not info.no_effect
                and (info.key in given or value != getattr(base[group], info.key))
            ):
                words += option_words(info, value)
    return words


def command_line(words: Sequence[str]) -> str:
    """Return the words quoted for the shell of this system."""
    return subprocess.list2cmdline(words) if os.name == 'nt' else shlex.join(words)


def option_words(info: OptionInfo, value: Any) -> Iterator[str]:
    """Yield the words that set an option; none for a value that no flag can set."""
    if info.kind == 'flag':
        yield info.flag if value else '--no-' + info.flag.removeprefix('--')
        return
    items = [_text(item) for item in value] if isinstance(value, tuple) else [_text(value)]
    if value is None or not items:
        # No flag removes a value of the ini file, so nothing can be written here.
        return
    if any(item.startswith('-') for item in items) and len(items) == 1:
        yield f'{info.flag}={items[0]}'
        return
    yield info.flag
    yield from items


def _text(value: Any) -> str:
    return format(value, 'g') if isinstance(value, float) and float(format(value, 'g')) == value else str(value)
