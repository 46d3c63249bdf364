"""Who works in a work folder."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import split_tag

# Of a process of another machine, or from before this one was started anew, nothing is known. Nothing is written to a
# file for so long that will be whole one day.
ABANDONED_SECONDS = 86400.0
# Before the tag of each process that works in the folder.
AT_WORK = 'at-work@'


def is_at_work(folder: Path) -> bool:
    """Whether a process that is not known to be dead works in ``folder``.

    Of one of another machine, or from before this one was started anew, nothing is known: a folder in which nothing
    was written for a day is nobody's.
    """
    with suppress(OSError):
        paths = list(folder.iterdir())
        latest = max((path.stat().st_mtime for path in paths), default=0.0)
        if time.time() - latest > ABANDONED_SECONDS:
            return False
        owners = [split_tag(path.name) for path in paths if path.name.startswith(AT_WORK)]
        return any(tagged is not None and not tagged[1].is_dead() for tagged in owners)
    return False
