"""Leases on work folders."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import split_tag

# A folder whose owner belongs to another machine or an earlier boot is treated as abandoned when no file in it has
# changed for so long.
ABANDONED_SECONDS = 86400.0
# Before the tag of each process that uses the folder.
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
