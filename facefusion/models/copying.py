"""Copy a model file and verify the copy; a read error names the source, and a write error names the folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import ModelError
from facefusion.events import Emit, StageFinished, StageProgress
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import Watcher
from facefusion.stopping import StopFlag

_PIECE = 1 << 20


class Report(NamedTuple):
    """Verb, event receiver and stop flag of a copy with progress events; ``touch`` marks its workspace as in use."""

    verb: str
    emit: Emit
    stop: StopFlag
    touch: Callable[[], None]


def source_sha256(path: Path, stop: StopFlag) -> str:
    """Return the SHA-256 of a user's file.

    Raises ModelError model-file-missing, model-file-folder, model-file-empty or model-file-unreadable, and Interrupted.
    """
    with _read_errors(path):
        if path.is_dir():
            raise ModelError('model-file-folder', f'{path} is a folder', hint='specify a file')
        size = path.stat().st_size
        if path.is_file() and size == 0:
            raise ModelError('model-file-empty', f'{path} is empty', hint='copy or download it again')
        if not path.is_file():
            raise ModelError('model-file-unreadable', f'{path} is not a regular file', hint='specify a file')
        return file_sha256(path, stop)


def copy_verified(source: Path, target: Path, sha256: str, watcher: Watcher) -> None:
    """Copy ``source`` to ``target`` and compare the copy with ``sha256``.

    Raises ModelError model-file-unreadable for the source and model-file-changed if the digests differ, OSError when
    the copy cannot be written, and Interrupted.
    """
    done = 0
    with target.open('wb') as out:
        for piece in _pieces(source):
            watcher.stop.check()
            out.write(piece)
            done += len(piece)
            watcher.progress(done)
    actual = file_sha256(target, watcher.stop)
    if actual != sha256:
        raise ModelError(
            'model-file-changed',
            f'the copy of {source} differs from the file that was checked',
            cause=f'expected sha256 {sha256}, got {actual}',
            hint='wait until no program writes the file, check the disk, and try again',
        )


def copy_reported(source: Path, target: Path, sha256: str, report: Report) -> None:
    """Copy like ``copy_verified``, and emit the progress as the stage ``<verb> <file>``."""
    stage, total, started = f'{report.verb} {source.name}', source.stat().st_size, time.monotonic()
    report.emit(StageProgress(stage, 0, total, 'B'))

    def progress(done: int) -> None:
        report.touch()
        report.emit(StageProgress(stage, min(done, total), total, 'B'))

    copy_verified(source, target, sha256, Watcher(progress, report.stop))
    report.emit(StageFinished(stage, total, time.monotonic() - started))


def _pieces(source: Path) -> Iterator[bytes]:
    with _read_errors(source):
        stream = source.open('rb')
    with stream:
        while True:
            with _read_errors(source):
                piece = stream.read(_PIECE)
            if not piece:
                return
            yield piece


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(
            'model-file-missing', f'{path} does not exist', cause=str(error), hint='check the path'
        ) from None
    except OSError as error:
        raise ModelError(
            'model-file-unreadable', f'{path} cannot be read', cause=str(error), hint='check its permissions'
        ) from None
