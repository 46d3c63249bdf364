"""The input files of a step: describe them when the step is added, and detect changes when it runs."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import InputError
from facefusion.events import Emit, Message
from facefusion.jobs.record import Json, StepRecord
from facefusion.stopping import StopFlag


class Extent(NamedTuple):
    """The bytes of a file to read.

    A file of at most ``limit`` bytes is read completely, a larger one in evenly spaced pieces of ``limit`` in total.
    """

    limit: int
    piece: int


# Reading this many bytes takes a tenth of a second.
EXTENT = Extent(64 << 20, 1 << 20)


def note_inputs(args: Mapping[str, Any], *, with_target: bool = True, extent: Extent = EXTENT) -> tuple[Json, ...]:
    """Return path, size in bytes, modification time in ns and digest of each file in the arguments of a step.

    ``sha256`` covers all bytes or, if ``sampled``, 64 pieces of 1 MiB, including the first and the last. Missing and
    unreadable files are skipped.
    """
    target = args.get('target_path') if with_target else None
    paths = dict.fromkeys((*(args.get('source_paths') or ()), *([target] if target else ())))
    return tuple(noted for path in paths if (noted := _note(path, extent)) is not None)


def check_inputs(
    step: StepRecord, is_required: bool, emit: Emit, flag: StopFlag, extent: Extent = EXTENT
) -> list[dict[str, str]]:
    """Return the files that have changed since the step was added, with ``path`` and ``cause``, and warn about each.

    Raises InputError input-changed when ``is_required``, or when the step states a consent, because the consent was
    given for the original files. Raises Interrupted.
    """
    changes = [
        {'path': str(noted['path']), 'cause': cause}
        for noted in step.inputs
        if (cause := _change(noted, flag, extent)) != ''
    ]
    if changes and (is_required or step.args.get('consent')):
        why = 'the step states a consent, which was given for the original file'
        if is_required:
            why = '[policy] require_unchanged in the ini file of this installation refuses changed files'
        raise InputError(
            'input-changed',
            f'{changes[0]["path"]} has changed since the step was added',
            cause=f'{changes[0]["cause"]}; {why}',
            hint='restore the original file, or create the job again to use the new one',
            facts={'inputs_changed': changes},
        )
    for change in changes:
        text = f'{change["path"]} has changed since the step was added: {change["cause"]}'
        emit(Message('warn', 'jobs', text))
    return changes


def _note(path: str, extent: Extent) -> Json | None:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        sha256 = _digest(Path(path), status.st_size, None, extent)
    except (OSError, ValueError):
        return None
    stamp = {'path': path, 'size': status.st_size, 'modified': status.st_mtime_ns}
    return {**stamp, 'sha256': sha256, 'sampled': status.st_size > extent.limit}


def _change(noted: Json, flag: StopFlag, extent: Extent) -> str:
    """Return a clause that describes how a file changed; empty if unchanged, or missing, which the run reports."""
    path = Path(noted['path'])
    try:
        status = path.stat()
        if status.st_size != noted['size']:
            return f'it has {status.st_size} bytes instead of {noted["size"]}'
        if _digest(path, status.st_size, flag, extent) != noted['sha256']:
            return 'its content differs'
    except OSError:
        return ''
    # The bytes between the compared pieces may differ, so a new modification time counts as a change.
    if noted['sampled'] and status.st_mtime_ns != noted['modified']:
        return 'its modification time differs, and only parts of so large a file are compared'
    return ''


def _digest(path: Path, size: int, flag: StopFlag | None, extent: Extent) -> str:
    digest = hashlib.sha256()
    is_sampled, pieces = size > extent.limit, extent.limit // extent.piece
    count = pieces if is_sampled else -(-size // extent.piece)
    with path.open('rb') as file:
        for number in range(count):
            if flag is not None:
                flag.check()
            if is_sampled:
                file.seek(number * (size - extent.piece) // (pieces - 1))
            digest.update(file.read(extent.piece))
    return digest.hexdigest()
