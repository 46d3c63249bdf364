"""Files beside outputs that are not whole yet: their names tell whose they are, so that those of the dead can go."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import new_owner, parse_tag
from facefusion.work_lease import ABANDONED_SECONDS

_SIGN = '.part'


def part_beside(output: Path) -> Path:
    """A new name beside an output, so that the rename stays on one file system."""
    # Not the output's own name: with anything added it may be too long for the file system.
    return output.with_name(f'.{new_owner().tag}{_SIGN}{output.suffix}')


def remove_abandoned(folder: Path) -> None:
    """Removes the parts in ``folder`` whose processes are dead, and those that were left alone for a day."""
    with suppress(OSError), os.scandir(folder) as found:
        for item in found:
            if not item.name.startswith('.') or _SIGN not in item.name:
                continue
            owner = parse_tag(item.name[1:].partition(_SIGN)[0])
            with suppress(OSError):
                if owner is not None and (owner.is_dead() or _is_old(item)):
                    Path(item.path).unlink(missing_ok=True)


def _is_old(item: os.DirEntry[str]) -> bool:
    status = item.stat(follow_symlinks=False)
    # A part may be a second name of an older file: making that changes the inode only.
    return time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED_SECONDS
