"""Leases on work folders."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import split_tag

# A folder is treated as abandoned when none of its files has changed for this many seconds, because it cannot be
# checked whether a process of another machine or an earlier boot is alive.
ABANDONED_SECONDS = 86400.0
# Each process that uses the folder creates a file there, named with this prefix and the tag of the process.
AT_WORK = 'at-work@'


def is_at_work(folder: Path) -> bool:
    """Whether a process that may be alive uses ``folder``; False for a folder untouched for a day."""
    with suppress(OSError):
        paths = list(folder.iterdir())
        latest = max((path.stat().st_mtime for path in paths), default=0.0)
        if time.time() - latest > ABANDONED_SECONDS:
            return False
        owners = [split_tag(path.name) for path in paths if path.name.startswith(AT_WORK)]
        return any(tagged is not None and not tagged[1].is_dead() for tagged in owners)
    return False
