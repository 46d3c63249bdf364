"""Every operation by which the job store changes files: a few, each of them atomic where the file system can.

Tests put a class in place of ``StoreFiles`` that ends the process before or after any one of them.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facefusion.errors import JobError
from facefusion.failures import is_disk_full

# What file systems without hard links answer (FAT, some network shares; the last one Windows of FAT).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL)
# What file systems answer that flush files but no folders (some network shares, FUSE).
_NO_FOLDER_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
_MOST_TRIES = 10
# Windows neither renames nor removes a file while another process reads it, which takes a moment.
_WAITS_FOR_READERS = os.name == 'nt'
_READER_SECONDS = 0.05


class StoreFiles:
    """File operations that raise JobError store-full or store-unwritable.

    FileNotFoundError and FileExistsError pass: by them the store learns that another process was faster.
    """

    def write(self, path: Path, data: bytes, *, sync: bool) -> None:
        """Makes a new file; with ``sync`` its bytes are on the disk when this returns."""
        with _explained(path):
            self._write(path, data, os.O_WRONLY | os.O_CREAT | os.O_EXCL, sync)

    def write_in_folder(self, path: Path, data: bytes, *, sync: bool) -> None:
        """``write`` in a folder that is made where it is missing, or is just being taken away as an empty one."""
        for attempt in range(1, _MOST_TRIES + 1):
            self.make_folder(path.parent)
            try:
                self.write(path, data, sync=sync)
            except FileNotFoundError:
                if attempt == _MOST_TRIES:
                    raise
            else:
                return

    def append(self, path: Path, data: bytes) -> None:
        """Adds to a file that exists, and flushes it to the disk."""
        with _explained(path):
            self._write(path, data, os.O_WRONLY | os.O_APPEND, True)

    def rename(self, old: Path, new: Path) -> None:
        """Gives a file another name, in one step; what had that name is gone."""
        with _explained(new):
            _when_unread(lambda: old.replace(new))

    def name_new(self, old: Path, new: Path) -> None:
        """Gives a file another name, in one step; raises FileExistsError when something has it."""
        with _explained(new):
            try:
                os.link(old, new)
            except FileExistsError:
                raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # Not in one step, but never over another file.
                self._write(new, old.read_bytes(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, True)
            old.unlink(missing_ok=True)

    def unlink(self, path: Path) -> None:
        """Removes a file."""
        with _explained(path):
            _when_unread(path.unlink)

    def touch(self, path: Path) -> None:
        """Sets the time of change of a file to now."""
        with _explained(path):
            os.utime(path)

    def make_folder(self, path: Path) -> None:
        """Makes a folder and those above it where they are missing."""
        for attempt in range(1, _MOST_TRIES + 1):
            with _explained(path):
                try:
                    path.mkdir(parents=True, exist_ok=True)
                except (FileNotFoundError, FileExistsError) as error:
                    # Another process takes an empty folder above it away at this moment, or this one between the
                    # call that finds it there and the look whether it is a folder.
                    if attempt == _MOST_TRIES:
                        raise store_failure(error, path) from None
                else:
                    return

    def remove_folder(self, path: Path) -> None:
        """Removes a folder that is empty; one that is not, or is gone, is left as it is."""
        with suppress(OSError):
            path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Flushes the names in a folder to the disk, where that can be asked for."""
        if os.name == 'nt':
            return
        with _explained(path):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            except OSError as error:
                if error.errno not in _NO_FOLDER_SYNC:
                    raise
            finally:
                os.close(handle)

    def _write(self, path: Path, data: bytes, flags: int, sync: bool) -> None:
        handle = os.open(path, flags | getattr(os, 'O_BINARY', 0), 0o666)
        try:
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(handle, rest) :]
                if sync:
                    os.fsync(handle)
            finally:
                # Before the file is removed: Windows removes none that is open.
                os.close(handle)
        except BaseException:
            if flags & os.O_EXCL:
                with suppress(OSError):
                    path.unlink()
            raise


def is_there(path: str | Path) -> bool:
    """Whether something is seen under a path; a name that is too long is that of nothing."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def remove_quietly(files: StoreFiles, path: Path) -> None:
    """Removes a file that is not needed, and that another process may remove, too. One that stays does no harm."""
    with suppress(FileNotFoundError, JobError):
        files.unlink(path)


def _when_unread(change: Callable[[], object]) -> None:
    for _ in range(_MOST_TRIES if _WAITS_FOR_READERS else 0):
        try:
            change()
        except PermissionError:
            time.sleep(_READER_SECONDS)
        else:
            return
    change()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise store_failure(error, path) from None


def store_failure(error: OSError, path: Path) -> JobError:
    """What a failing operation on a file or folder of the store means."""
    cause = f'{error.strerror or error}: {path}'
    if is_disk_full(error):
        return JobError('store-full', 'the job store has no space left', cause=cause, hint='free space and try again')
    return JobError(
        'store-unwritable',
        'the job store cannot be changed',
        cause=cause,
        hint='check the permissions of the folder, or name another store with --jobs-path',
    )
