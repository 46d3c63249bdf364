"""Partial files next to outputs; a tag in the name identifies the process, so that abandoned files can be removed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from facefusion.ownership import new_owner, parse_tag
from facefusion.work_lease import ABANDONED_SECONDS

_SIGN = '.part'


def partial_path(output: Path) -> Path:
    """Return a new name in the folder of an output, so that the rename stays on one file system."""
    # The output's own name plus a suffix might be too long for the file system.
    return output.with_name(f'.{new_owner().tag}{_SIGN}{output.suffix}')


def remove_abandoned(folder: Path) -> None:
    """Remove from ``folder`` the partial files of dead processes and those unchanged for a day."""
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
    # A partial file may be a hard link to an older file. Creating the link updates only the change time of the inode.
    return time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED_SECONDS
