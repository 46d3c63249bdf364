"""A lock between processes: only one process at a time is in the block that holds it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file ``path``; wait for it. The file is created if missing, stays empty and is not deleted.

    Some network file systems support no locks: the block then runs without one. Raises OSError if the file cannot be
    opened.
    """
    with path.open('ab') as stream:
        _acquire(stream.fileno())
        yield


if sys.platform == 'win32':
    import msvcrt

    def _acquire(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
