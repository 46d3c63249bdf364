"""What every host has in common: how it reports bytes, is asked to stop, and says that the disk is full."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.errors import OutputError, ResourceError
from facefusion.failures import is_disk_full

# What must stay free beside the weights, for the job records and logs of everyone else.
RESERVE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Watcher:
    """The caller's side of a transfer: ``progress`` takes the bytes that are there, ``check`` raises Interrupted."""

    progress: Callable[[int], None]
    check: Callable[[], None]


def require_space(folder: Path, needed: int) -> None:
    """Raises ResourceError 'disk-space' when the disk of ``folder`` has less than ``needed`` bytes to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise ResourceError(
            'disk-space',
            f'the models need {needed >> 20} MB of disk in {folder}, {free >> 20} MB are free',
            hint='make room, or name another folder with --models-path',
        )


def storage_error(error: OSError, folder: Path) -> ResourceError | OutputError:
    """What a failed write into the weights folder means for the user."""
    if is_disk_full(error):
        return ResourceError(
            'disk-full',
            f'the disk of {folder} is full',
            cause=str(error),
            hint='make room, or name another folder with --models-path',
        )
    return OutputError(
        'models-folder',
        f'cannot write into the models folder {folder}',
        cause=str(error),
        hint='check its rights, or name another folder with --models-path',
    )
