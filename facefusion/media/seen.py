"""A file as it was looked at, to be told from one that was changed since, without reading it where that will do."""

from __future__ import annotations

import threading
from os import stat_result
from pathlib import Path
from typing import Any

from facefusion.models.digests import file_sha256
from facefusion.stopping import StopFlag

# A file that is changed again and again while it is read is not the one that was seen.
_LOOKS = 3


class SeenFile:
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
