"""The time that the program needs to start, which every command pays once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from facefusion.settings import program_command

_LONGEST_SECONDS = 60.0


def program_start_seconds(clip: Path, environ: Mapping[str, str]) -> float:
    """Return the wall seconds of a plan of a clip in a new process, which imports almost all modules of a run.

    Returns 0 if the process fails.
    """
    words = ['headless-run', '--dry-run', '--processors', 'face_debugger', '--log-level', 'error']
    words += ['-t', str(clip), '-o', str(clip.with_name(f'planned{clip.suffix}'))]
    began = time.monotonic()
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            program_command(*words),
            env=dict(environ),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return time.monotonic() - began
    return 0.0
