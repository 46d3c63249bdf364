"""Stamps of files: whether a file was changed since it was probed, without reading it unless its inode was changed."""

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

# A file that is changed again and again while it is read is not the one that was seen.
_LOOKS = 3
LEAVE_ALONE = 'start again, and leave the file alone while it is worked on'
PUT_BACK = 'put it back as it was and run the same command again: that goes on; job-delete removes what is done'


class FileStamp:
    """Size, times and inode of a file, and its digest when that is known. Threads may share one.

    Whoever writes into a file can set its time of modification back, but not the time of change of its inode. That one
    also changes with its rights and its names: then its bytes decide.
    """

    def __init__(self, status: stat_result) -> None:
        self._bytes = (status.st_size, status.st_mtime_ns)
        self._inode = status.st_ino
        self._changed = {status.st_ctime_ns}
        self._sha256 = ''
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """The stamp goes to other processes without its lock."""
        return {name: value for name, value in vars(self).items() if name != '_lock'}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes over the stamp of another process."""
        vars(self).update(state, _lock=threading.Lock())

    def note_digest(self, sha256: str) -> None:
        """Says what the SHA-256 of the file is."""
        self._sha256 = sha256

    def difference(self, path: Path, stop: StopFlag | None = None) -> str:
        """How the file at ``path`` differs from the one that was seen, in words; empty for the same one.

        It is read when its inode was changed and nothing else tells why; while its digest is not known, that is a
        difference. Raises OSError when it cannot be looked at, Interrupted when ``stop`` is set.
        """
        for _ in range(_LOOKS):
            now = path.stat()
            if now.st_ino != self._inode:
                return 'another file stands in its place'
            if (now.st_size, now.st_mtime_ns) != self._bytes:
                return 'its size or time of change differs'
            if now.st_ctime_ns in self._changed:
                return ''
            with self._lock:
                if now.st_ctime_ns in self._changed:
                    continue
                if not self._sha256:
                    return 'it was written to, or its rights or names were changed'
                if file_sha256(path, stop) != self._sha256:
                    return 'other bytes were written into it'
                # Only where nobody has written meanwhile are those the bytes that were read.
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
    """Raises MediaError media-changed or media-missing when a file is not the one that was probed.

    Reads the file only as ``SeenFile.difference`` does; Interrupted when ``stop`` is set then.
    """
    try:
        what = target.stamp.difference(target.path, stop)
    except OSError as error:
        raise MediaError(
            'media-missing', f'{target.path.name} is gone', cause=error.strerror or str(error), hint=PUT_BACK
        ) from None
    if what:
        raise MediaError(
            'media-changed', f'{target.path.name} was changed since it was measured', cause=what, hint=LEAVE_ALONE
        )


@contextmanager
def blaming_change(target: StampedFile, stop: StopFlag) -> Iterator[None]:
    """Whatever a block fails with while it reads a file that was changed: the change is what is told.

    Raises what ``check_unchanged`` raises instead of any other error, but for those that no file causes.
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
