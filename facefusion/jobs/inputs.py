"""The files that a step reads, as they were when the step was added, and whether they are the same when it runs."""

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
    """How much of a file is read: all of one of at most ``most`` bytes, else as many in evenly spaced pieces."""

    most: int
    piece: int


# What takes a tenth of a second.
EXTENT = Extent(64 << 20, 1 << 20)


def note_inputs(args: Mapping[str, Any], *, with_target: bool = True, extent: Extent = EXTENT) -> tuple[Json, ...]:
    """Path, size in bytes, time of modification in ns and digest of each file that the arguments of a step name.

    ``sha256`` is that of all bytes, or where ``sampled`` of 64 pieces of 1 MiB, the first and the last included. A
    file that is not there yet, or cannot be read, is left out: there is nothing to compare.
    """
    target = args.get('target_path') if with_target else None
    paths = dict.fromkeys((*(args.get('source_paths') or ()), *([target] if target else ())))
    return tuple(noted for path in paths if (noted := _note(path, extent)) is not None)


def check_inputs(
    step: StepRecord, is_required: bool, emit: Emit, flag: StopFlag, extent: Extent = EXTENT
) -> list[dict[str, str]]:
    """The files that are others than when the step was added, each with ``path`` and ``cause``; a warning of each.

    Raises InputError input-changed for the first when ``is_required``, or when the step states a consent: that was
    given for the files as they were. Raises Interrupted.
    """
    found = [
        {'path': str(known['path']), 'cause': cause}
        for known in step.inputs
        if (cause := _change(known, flag, extent)) != ''
    ]
    if found and (is_required or step.args.get('consent')):
        why = 'the step states a consent, which was given for the file as it was'
        if is_required:
            why = '[policy] require_unchanged in the ini file of this installation refuses that'
        raise InputError(
            'input-changed',
            f'{found[0]["path"]} was changed since the step was added',
            cause=f'{found[0]["cause"]}; {why}',
            hint='put the file back as it was, or make the job again if the file of now is meant',
            facts={'inputs_changed': found},
        )
    for change in found:
        text = f'{change["path"]} was changed since the step was added: {change["cause"]}'
        emit(Message('warn', 'jobs', text))
    return found


def _note(path: str, extent: Extent) -> Json | None:
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        sha256 = _digest(Path(path), status.st_size, None, extent)
    except (OSError, ValueError):
        return None
    known = {'path': path, 'size': status.st_size, 'modified': status.st_mtime_ns}
    return {**known, 'sha256': sha256, 'sampled': status.st_size > extent.most}


def _change(known: Json, flag: StopFlag, extent: Extent) -> str:
    """How a file differs from what was noted of it, in words; empty for the same one, and for one that is not there:
    that is for the run to say."""
    path = Path(known['path'])
    try:
        status = path.stat()
        if status.st_size != known['size']:
            return f'it has {status.st_size} bytes, and had {known["size"]}'
        if _digest(path, status.st_size, flag, extent) != known['sha256']:
            return 'it has other bytes'
    except OSError:
        return ''
    # Between the pieces that were read there may be other bytes, too.
    if known['sampled'] and status.st_mtime_ns != known['modified']:
        return 'its time of modification differs, and of so large a file only parts are compared'
    return ''


def _digest(path: Path, size: int, flag: StopFlag | None, extent: Extent) -> str:
    digest = hashlib.sha256()
    is_sampled, pieces = size > extent.most, extent.most // extent.piece
    count = pieces if is_sampled else -(-size // extent.piece)
    with path.open('rb') as file:
        for number in range(count):
            if flag is not None:
                flag.check()
            if is_sampled:
                file.seek(number * (size - extent.piece) // (pieces - 1))
            digest.update(file.read(extent.piece))
    return digest.hexdigest()
