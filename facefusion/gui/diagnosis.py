"""The findings of ``facefusion doctor``, made in a process of its own: the checks load onnxruntime and run networks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from facefusion.errors import ResourceError
from facefusion.settings import program_command

_LONGEST_SECONDS = 180.0


def diagnose(words: Sequence[str], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the findings as plain JSON, for the flags ``words``.

    Raises ResourceError doctor-failed if the checks end without findings, or take longer than three minutes.
    """
    try:
        done = subprocess.run(
            program_command('doctor', '--format', 'json', *words),
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding='utf-8',
            errors='replace',
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failure(f'they took longer than {_LONGEST_SECONDS:.0f} seconds') from None
    with suppress(ValueError, KeyError, TypeError):
        return list(json.loads(done.stdout)['findings'])
    raise _failure(' '.join(done.stderr.split())[-500:] or f'the process ended with code {done.returncode}')


def _failure(cause: str) -> ResourceError:
    return ResourceError(
        'doctor-failed', 'the checks of this machine have failed', cause=cause, hint='run `facefusion doctor`'
    )
