"""Finish files: flush them to the disk, then rename them; and describe failed writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facefusion.errors import FaceFusionError, OutputError, ResourceError
from facefusion.failures import is_disk_full
from facefusion.stopping import StopFlag

_PIECE = 1 << 20


def ffmpeg_name(path: Path) -> str:
    """Return an absolute path for FFmpeg, which reads 'a:b.mp4' as a URL."""
    return str(path.absolute())


def part_of(path: Path) -> Path:
    """Return the name of an unfinished file."""
    return path.with_name(path.name + '.part')


def publish(part: Path, output: Path, stop: StopFlag | None = None) -> None:
    """Rename a finished file; its bytes and its name are on the disk when this returns.

    Raises ResourceError disk-full, OutputError output-unwritable, and Interrupted when ``stop`` is set before the
    rename.
    """
    try:
        # Windows flushes only files opened for writing.
        with part.open('rb+') as file:
            os.fsync(file.fileno())
        if stop is not None:
            stop.confirm()
        part.replace(output)
        _sync_directory(output.parent)
    except OSError as error:
        raise write_failure(error, output) from None


def try_writing(path: Path) -> None:
    """Raise OSError if a file cannot be written to ``path``; its content is kept, and a new file is removed again."""
    is_new = not path.exists()
    path.open('ab').close()
    if is_new:
        path.unlink()


def write_synced(path: Path, data: bytes) -> None:
    """Write a small file; its bytes are on the disk when this returns. Raises OSError."""
    with path.open('wb') as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def second_name(path: Path, other: Path, stop: StopFlag | None = None) -> None:
    """Make ``other`` a hard link to the file, or a copy where the file system has no hard links.

    Neither file may be written to afterwards. ``other`` must not exist. Raises OSError, Interrupted; a failure leaves
    no ``other``, except one that existed before.
    """
    try:
        os.link(path, other)
    except FileExistsError:
        raise
    except OSError:
        try:
            with path.open('rb') as source, other.open('xb') as copy:
                while piece := source.read(_PIECE):
                    if stop is not None:
                        stop.check()
                    copy.write(piece)
        except FileExistsError:
            raise
        except BaseException:
            other.unlink(missing_ok=True)
            raise


@contextmanager
def called(name: str, part: Path) -> Iterator[None]:
    """In write errors of a block, replace the name of ``part``, which the user does not know, with ``name``."""
    try:
        yield
    except (OutputError, ResourceError) as error:
        error.message = error.message.replace(part.name, name)
        error.args = (error.message,)
        raise


def write_failure(error: OSError, path: Path) -> FaceFusionError:
    """Return the error for a failed write to ``path``."""
    if is_disk_full(error):
        return ResourceError(
            'disk-full',
            f'no space is left for {path.name}',
            cause=f'{error.strerror or error} in {path.parent}',
            hint='free space there, or choose another folder, and run the same command again',
        )
    return OutputError(
        'output-unwritable',
        f'{path.name} cannot be written',
        cause=f'{error.strerror or error} in {path.parent}',
        hint='check that the folder exists and is writable',
    )


def _sync_directory(folder: Path) -> None:
    if os.name == 'nt':  # a directory cannot be opened there; the rename is on the disk with the file's metadata
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
