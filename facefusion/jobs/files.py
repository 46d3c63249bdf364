"""All file operations that change the job store, each of them atomic where the file system supports it.

Tests replace ``StoreFiles`` to end the process before or after any operation.
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

# Errors of file systems without hard links (FAT, some network shares; Windows reports the last one for FAT).
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL)
# Errors of file systems that cannot flush folders (some network shares, FUSE).
_NO_FOLDER_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
_MAX_TRIES = 10
# Windows neither renames nor removes a file while another process reads it. Reads are short, so the
# operation is tried again.
_WAITS_FOR_READERS = os.name == 'nt'
_READER_SECONDS = 0.05


class StoreFiles:
    """File operations that raise JobError store-full or store-unwritable.

    FileNotFoundError and FileExistsError are raised unchanged: they mean that another process was faster.
    """

    def write(self, path: Path, data: bytes, *, sync: bool) -> None:
        """Create a file; with ``sync`` flush it to the disk before returning."""
        with _explained(path):
            self._write(path, data, os.O_WRONLY | os.O_CREAT | os.O_EXCL, sync)

    def write_in_folder(self, path: Path, data: bytes, *, sync: bool) -> None:
        """Create a file in a folder that may be missing, or that another process may remove while it is empty."""
        for attempt in range(1, _MAX_TRIES + 1):
            self.make_folder(path.parent)
            try:
                self.write(path, data, sync=sync)
                break
            except FileNotFoundError:
                if attempt == _MAX_TRIES:
                    raise

    def append(self, path: Path, data: bytes) -> None:
        """Append to an existing file, and flush it to the disk."""
        with _explained(path):
            self._write(path, data, os.O_WRONLY | os.O_APPEND, True)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file in one step, and replace an existing file of the new name."""
        with _explained(new):
            _when_unread(lambda: old.replace(new))

    def name_new(self, old: Path, new: Path) -> None:
        """Rename a file in one step. Raises FileExistsError when the new name exists."""
        with _explained(new):
            try:
                os.link(old, new)
            except FileExistsError:
                raise
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                # This is more than one step, but it never replaces another file.
                self._write(new, old.read_bytes(), os.O_WRONLY | os.O_CREAT | os.O_EXCL, True)
            old.unlink(missing_ok=True)

    def unlink(self, path: Path) -> None:
        """Remove a file."""
        with _explained(path):
            _when_unread(path.unlink)

    def touch(self, path: Path) -> None:
        """Set the modification time of a file to now."""
        with _explained(path):
            os.utime(path)

    def make_folder(self, path: Path) -> None:
        """Create a folder and its missing parents."""
        for attempt in range(1, _MAX_TRIES + 1):
            with _explained(path):
                try:
                    path.mkdir(parents=True, exist_ok=True)
                    break
                except (FileNotFoundError, FileExistsError) as error:
                    # Another process may remove an empty parent, or this folder while pathlib checks its type.
                    if attempt == _MAX_TRIES:
                        raise store_failure(error, path) from None

    def remove_folder(self, path: Path) -> None:
        """Remove a folder if it is empty."""
        with suppress(OSError):
            path.rmdir()

    def sync_folder(self, path: Path) -> None:
        """Flush the names in a folder to the disk, where the system supports it."""
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
                # Close the file before it is removed, because Windows cannot remove an open file.
                os.close(handle)
        except BaseException:
            if flags & os.O_EXCL:
                with suppress(OSError):
                    path.unlink()
            raise


def is_there(path: str | Path) -> bool:
    """Whether a path exists; False for a path that is too long."""
    try:
        Path(path).stat()
    except (OSError, ValueError):
        return False
    return True


def remove_quietly(files: StoreFiles, path: Path) -> None:
    """Remove a file that other processes may remove, too; ignore errors, since a left-over does no harm."""
    with suppress(FileNotFoundError, JobError):
        files.unlink(path)


def _when_unread(change: Callable[[], object]) -> object:
    for _ in range(_MAX_TRIES if _WAITS_FOR_READERS else 0):
        try:
            return change()
        except PermissionError:
            time.sleep(_READER_SECONDS)
    return change()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise store_failure(error, path) from None


def store_failure(error: OSError, path: Path, *, is_read: bool = False) -> JobError:
    """Return the error for a failed operation on a file or folder of the store."""
    cause = f'{error.strerror or error}: {path}'
    hint = 'check the permissions of the folder, or choose another store with --jobs-path'
    if is_read:
        return JobError('store-unreadable', 'the job store cannot be read', cause=cause, hint=hint)
    if is_disk_full(error):
        return JobError('store-full', 'the job store has no space left', cause=cause, hint='free space and try again')
    return JobError('store-unwritable', 'the job store cannot be changed', cause=cause, hint=hint)
