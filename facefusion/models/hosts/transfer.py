"""Common code of all hosts: progress, stopping, and errors of the disk."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.errors import OutputError, ResourceError
from facefusion.stopping import StopFlag

# Must stay free on the disk of the weights, for job records and logs.
RESERVE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Watcher:
    """The caller of a transfer: ``progress`` accepts the number of bytes so far, ``stop`` interrupts it."""

    progress: Callable[[int], None]
    stop: StopFlag


def require_space(folder: Path, needed: int) -> None:
    """Raise ResourceError 'disk-space' when the disk of ``folder`` has less than ``needed`` bytes to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise ResourceError(
            'disk-space',
            f'the models need {needed >> 20} MB of disk space in {folder}, {free >> 20} MB are free',
            hint='free some disk space, or name another folder with --models-path',
        )


def storage_error(error: OSError, folder: Path) -> ResourceError | OutputError:
    """Return the error to raise for a failed write into the weights folder."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            'disk-full',
            f'the disk of {folder} is full',
            cause=str(error),
            hint='free some disk space, or name another folder with --models-path',
        )
    return OutputError(
        'models-folder',
        f'cannot write into the models folder {folder}',
        cause=str(error),
        hint='check its permissions, or name another folder with --models-path',
    )
