"""File stamps: detect whether a file changed after it was probed, reading it only if its inode changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import stat_result
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ContentRefused, Interrupted, JobError, MediaError, OutputError, ResourceError
from facefusion.models.digests import file_sha256
from facefusion.stopping import StopFlag

# A file that changes this often while it is read cannot be compared.
_ATTEMPTS = 3
LEAVE_ALONE = 'start again, and do not change the file during the run'
PUT_BACK = 'restore it and run the same command again to resume; job-delete removes the work done so far'


class FileStamp:
    """Size, times and inode of a file, and its digest when that is known. Threads may share one.

    A program can restore a file's modification time, but not the change time of its inode. The change time also changes
    with permissions and names, so a file with only a new change time is compared by its bytes.
    """

    def __init__(self, status: stat_result) -> None:
        self._bytes = (status.st_size, status.st_mtime_ns)
        self._inode = status.st_ino
        self._changed = {status.st_ctime_ns}
        self._sha256 = ''
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for another process, without the lock."""
        return {name: value for name, value in vars(self).items() if name != '_lock'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the stamp from another process."""
        vars(self).update(state, _lock=threading.Lock())

    def note_digest(self, sha256: str) -> None:
        """Store the SHA-256 of the file."""
        self._sha256 = sha256

    def difference(self, path: Path, stop: StopFlag | None = None) -> str:
        """Return how the file at ``path`` differs from the stamped one, in words; '' if it is the same.

        If only the change time of the inode differs, the file is read and its digest compared; without a known digest
        this counts as a difference. Raises OSError when the file cannot be inspected, Interrupted when ``stop`` is set.
        """
        for _ in range(_ATTEMPTS):
            now = path.stat()
            if now.st_ino != self._inode:
                return 'another file is in its place'
            if (now.st_size, now.st_mtime_ns) != self._bytes:
                return 'its size or modification time differs'
            if now.st_ctime_ns in self._changed:
                return ''
            with self._lock:
                if now.st_ctime_ns in self._changed:
                    continue
                if not self._sha256:
                    return 'its content, permissions or names changed'
                if file_sha256(path, stop) != self._sha256:
                    return 'its content changed'
                # The digest belongs to this change time only if the file did not change while it was read.
                if path.stat().st_ctime_ns == now.st_ctime_ns:
                    self._changed.add(now.st_ctime_ns)
        return 'it is being written to'


class StampedFile(Protocol):
    """A probed media file."""

    @property
    def path(self) -> Path: ...

    @property
    def stamp(self) -> FileStamp: ...


def check_unchanged(target: StampedFile, stop: StopFlag | None = None) -> None:
    """Raise MediaError media-changed or media-missing when a file is not the probed one.

    Reads the file only where ``FileStamp.difference`` does; raises Interrupted when ``stop`` is set meanwhile.
    """
    try:
        difference = target.stamp.difference(target.path, stop)
    except OSError as error:
        raise MediaError(
            'media-missing', f'{target.path.name} is missing', cause=error.strerror or str(error), hint=PUT_BACK
        ) from None
    if difference:
        raise MediaError(
            'media-changed', f'{target.path.name} changed after it was read', cause=difference, hint=LEAVE_ALONE
        )


@contextmanager
def blaming_change(target: StampedFile, stop: StopFlag) -> Iterator[None]:
    """Replace an error of a block that reads ``target`` by the error of ``check_unchanged`` if the file changed.

    Errors that a changed file cannot cause are raised unchanged.
    """
    try:
        yield
    except (Interrupted, ContentRefused, JobError, OutputError, ResourceError):
        raise
    except Exception as error:
        try:
            check_unchanged(target, stop)
        except MediaError as changed:
            raise changed from error
        raise
