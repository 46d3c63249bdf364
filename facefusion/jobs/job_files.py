"""Looking through the folders of a job store, which other processes change meanwhile. Nothing is written here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from facefusion.errors import JobError
from facefusion.jobs.claim import JobFile, parse_job_file
from facefusion.jobs.record import RecordError
from facefusion.jobs.states import STATES

# A record of the most steps, with long arguments, has a tenth of that.
MOST_BYTES = 512 << 20


def all_job_files(
    root: Path, *, backwards: bool = False, job_id: str = '', known: dict[tuple[str, str], JobFile | None] | None = None
) -> Iterator[JobFile]:
    """Every file that stands for a job, or for the one of that id, folder by folder. Raises JobError store-unreadable.

    A job that moves may be met twice, then the later place is the right one; or not at all, when it moves against the
    order of the look. ``known`` keeps what names mean, for the next look.
    """
    for state in reversed(STATES) if backwards else STATES:
        folder = root / state
        for name in names_in(folder):
            # Most of a thousand names are of other jobs: those need not be understood.
            if job_id and not name.startswith((f'{job_id}@', f'{job_id}.')):
                continue
            if known is None or (state, name) not in known:
                job_file = parse_job_file(folder, state, name)
                if known is not None:
                    known[state, name] = job_file
            else:
                job_file = known[state, name]
            if job_file is not None:
                yield job_file


def held_job_files(root: Path) -> Iterator[JobFile]:
    """Every file that is held, and every one among the running. Raises JobError store-unreadable."""
    for state in STATES:
        folder = root / state
        for name in names_in(folder):
            # Looked at twice a second, however many jobs have ended: most names need not be understood.
            if state == 'running' or '@' in name:
                job_file = parse_job_file(folder, state, name)
                if job_file is not None:
                    yield job_file


def better(known: JobFile | None, job_file: JobFile) -> JobFile:
    """Which of two places of one job counts, the second one of which was met later."""
    # What has passed the fence counts only while the change is not made; else the later look is right.
    return job_file if known is None or job_file.kind != 'done' else known


def folder_stamps(root: Path) -> tuple[int, ...]:
    """When each folder was last changed: equal ones before and after a look mean, mostly, that nothing has moved."""
    stamps = []
    for state in STATES:
        stamps.append(0)
        with suppress(OSError):
            stamps[-1] = (root / state).stat().st_mtime_ns
    return tuple(stamps)


def names_in(folder: Path) -> list[str]:
    """The names in a folder, none when there is no such folder. Raises JobError store-unreadable."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - a thousand names, and no need of a thousand paths
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(error, folder) from None


def read_file(path: Path) -> bytes:
    """The bytes of a job file. Raises OSError, and RecordError for what is no file or is too large to be one.

    It does not wait for what is written into a pipe of that name.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    except FileNotFoundError:
        if path.is_symlink():
            raise RecordError('it is a link to a file that is not there') from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise RecordError('it is not a file')
        if status.st_size > MOST_BYTES:
            raise RecordError(f'it has {status.st_size} bytes, which no record has')
        with open(handle, 'rb', buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def unreadable(error: OSError, path: Path) -> JobError:
    """What a failing look at a file or folder of the store means."""
    return JobError(
        'store-unreadable',
        'the job store cannot be read',
        cause=f'{error.strerror or error}: {path}',
        hint='check the permissions of the folder, or name another store with --jobs-path',
    )
