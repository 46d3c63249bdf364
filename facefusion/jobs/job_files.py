"""The job files of a store: parse their names, list them and read them while other processes change the folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from facefusion.jobs.files import store_failure
from facefusion.jobs.record import RecordError
from facefusion.jobs.states import STATES, State
from facefusion.ownership import Owner, parse_tag

# Ten times the size of a record with the maximum number of steps and long arguments.
MAX_BYTES = 512 << 20
Kind = Literal['plain', 'edit', 'claim', 'done']


class JobFile(NamedTuple):
    """A file of a job in the folder of a state; ``owner`` is None if the file is unclaimed."""

    job_id: str
    state: State
    path: Path
    kind: Kind
    owner: Owner | None

    @property
    def is_unclaimed(self) -> bool:
        """Whether no process has claimed the file."""
        return self.kind == 'plain'


def parse_job_file(folder: Path, state: State, name: str) -> JobFile | None:
    """Return the job file of that name in the folder of a state, or None for a file that is not a job file."""
    stem, dot, ending = name.rpartition('.')
    job_id, at_sign, tag = stem.partition('@')
    if not dot or not job_id or job_id.startswith('.'):
        return None
    path = folder / name
    if not at_sign:
        return JobFile(job_id, state, path, 'plain', None) if ending == 'json' else None
    kinds: dict[str, Kind] = {'edit': 'edit', 'done': 'done'}
    if state == 'running':
        kinds['json'] = 'claim'
    owner, kind = parse_tag(tag), kinds.get(ending)
    return None if owner is None or kind is None else JobFile(job_id, state, path, kind, owner)


def list_job_files(
    root: Path, *, backwards: bool = False, job_id: str = '', claimed: bool = False
) -> Iterator[JobFile]:
    """Yield the job files of a store, folder by folder. Raises JobError store-unreadable.

    A job that moves during the listing may be listed twice; then the later file counts. A job that moves against the
    order of the folders may be missed. ``job_id`` selects one job; ``claimed`` selects claimed files and all files of
    running jobs.
    """
    for state in reversed(STATES) if backwards else STATES:
        folder = root / state
        for name in names_in(folder):
            # Parsing a name takes longer than this check, and a store may have thousands of files.
            is_other = job_id and not name.startswith((f'{job_id}@', f'{job_id}.'))
            if not is_other and (not claimed or state == 'running' or '@' in name):
                job_file = parse_job_file(folder, state, name)
                if job_file is not None:
                    yield job_file


def preferred(first: JobFile | None, later: JobFile) -> JobFile:
    """Return the valid one of two files of the same job; ``later`` was listed after ``first``."""
    # A file past the fence is valid only until its change is complete; in all other cases the later file is valid.
    return later if first is None or later.kind != 'done' else first


def folder_stamps(root: Path) -> tuple[int, ...]:
    """Return the modification times of all folders; if two results are equal, probably no file has moved."""
    stamps = []
    for state in STATES:
        stamps.append(0)
        with suppress(OSError):
            stamps[-1] = (root / state).stat().st_mtime_ns
    return tuple(stamps)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, none for a missing one. Raises JobError store-unreadable."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - a Path for each of a thousand names is slow
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise store_failure(error, folder, is_read=True) from None


def read_file(path: Path) -> bytes:
    """Return the bytes of a job file. Raises OSError, and RecordError for a special file or one that is too large.

    Opening a pipe does not block.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
    except FileNotFoundError:
        if path.is_symlink():
            raise RecordError('it is a link to a missing file') from None
        raise
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise RecordError('it is not a regular file')
        if status.st_size > MAX_BYTES:
            raise RecordError(f'it has {status.st_size} bytes, more than a job file may have')
        with open(handle, 'rb', buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)
