"""Who works in a work folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from facefusion.ownership import split_tag

# Before the tag of each process that works in the folder.
AT_WORK = 'at-work@'


def is_at_work(folder: Path) -> bool:
    """Whether a process that is not known to be dead works in ``folder``."""
    with suppress(OSError):
        for path in list(folder.glob(f'{AT_WORK}*')):
            tagged = split_tag(path.name)
            if tagged is not None and not tagged[1].is_dead():
                return True
    return False
