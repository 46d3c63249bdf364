"""Code shared by all hosts: progress, stopping and disk errors."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.errors import OutputError, ResourceError
from facefusion.stopping import StopFlag

_OTHER_FOLDER = 'choose another folder with --models-path'
# Disk space that must stay free on the disk of the weights, for job records and logs.
RESERVE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Watcher:
    """The caller of a transfer: ``progress`` accepts the number of bytes so far, ``stop`` interrupts it."""

    progress: Callable[[int], None]
    stop: StopFlag


def require_space(folder: Path, needed: int, remedy: str = _OTHER_FOLDER) -> None:
    """Raise ResourceError 'disk-space' unless ``needed`` bytes plus the reserve are free in ``folder``.

    ``remedy`` ends the hint.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + RESERVE_BYTES:
        raise ResourceError(
            'disk-space',
            f'the models need {needed >> 20} MB of disk space in {folder}, but {free >> 20} MB are free',
            hint=f'free some disk space, or {remedy}',
        )


def storage_error(error: OSError, folder: Path, remedy: str = _OTHER_FOLDER) -> ResourceError | OutputError:
    """Return the error to raise for a failed write into a folder of model files; ``remedy`` ends the hint."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceError(
            'disk-full',
            f'the disk of {folder} is full',
            cause=str(error),
            hint=f'free some disk space, or {remedy}',
        )
    return OutputError(
        'models-folder',
        f'cannot write into the models folder {folder}',
        cause=str(error),
        hint=f'check its permissions, or {remedy}',
    )
