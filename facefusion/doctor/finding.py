"""The result of one check of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from facefusion.errors import FaceFusionError
from facefusion.shortage import as_shortage


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: ``state`` is 'ok', 'warn' (works with limits) or 'fail'; ``advice`` may be empty."""

    check: str
    state: Literal['ok', 'warn', 'fail']
    fact: str
    advice: str = ''


def attempt(check: str, function: Callable[[], Finding]) -> Finding:
    """Return the finding of ``function``; its FaceFusionError or ImportError becomes a finding."""
    try:
        return function()
    except (FaceFusionError, ImportError) as error:
        failure = as_shortage(error) or error
        if isinstance(failure, ImportError):
            return Finding(check, 'fail', str(failure), 'run `python install.py`')
        cause = f': {failure.cause}' if failure.cause else ''
        return Finding(check, 'fail', f'{failure.message}{cause}', failure.hint)
