"""The file of a network that takes several crops per call: the published one, a rewritten copy, or none.

Each network is examined once. The verdict and the rewritten copy are stored in the folder ``batches`` beside the
models, under the digest of the published file and the version of the rules. The folder is never required: without it a
network runs one by one.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from facefusion.errors import FaceFusionError, ResourceError
from facefusion.events import Emit, Message, silent
from facefusion.inference.batch_check import check_batches
from facefusion.inference.batch_rewriting import VERSION, FixedBatchError, free_batch, takes_batches
from facefusion.inference.providers import create_session
from facefusion.models.digests import file_sha256
from facefusion.shortage import raise_shortage

FOLDER = 'batches'
State = Literal['published', 'rewritten', 'single']
_MAXIMUM_BYTES = 1 << 20
# Larger files have their weights beside them, or cannot be written as one file (protobuf holds at most 2 GiB).
_MOST_MODEL_BYTES = (1 << 31) - 1
# The network is compared on the CPU, whose results do not depend on the accelerator, in this number of threads.
_THREADS = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a network takes several crops per call.

    ``state`` is 'published' if its file does, 'rewritten' if a copy does, and 'single' if crops run one by one;
    ``reason`` says why. ``copy_sha256`` is the digest of the copy.
    """

    state: State
    reason: str
    copy_sha256: str = ''


@dataclass(frozen=True, slots=True)
class BatchFile:
    """The file to load, and the verdict on it."""

    path: Path
    verdict: Verdict


def batch_file(model: Path, emit: Emit = silent) -> BatchFile:
    """Return the file of a network that takes several crops per call, or the published one if it takes one.

    The first call examines the network, which takes seconds. Raises ResourceError when memory runs short.
    """
    digest = file_sha256(model)
    folder = model.parent / FOLDER
    record, copy = folder / f'{digest[:32]}-v{VERSION}.json', folder / f'{digest[:32]}-v{VERSION}.onnx'
    stored = _stored(record, copy)
    if stored is not None:
        return BatchFile(copy if stored.state == 'rewritten' else model, stored)
    verdict, data = examine(model)
    try:
        folder.mkdir(exist_ok=True)
        if data:
            write_file(copy, data)
        write_file(record, json.dumps(asdict(verdict)).encode('ascii'))
        _remove_other_versions(folder, digest)
    except OSError as error:
        if verdict.state == 'rewritten':
            reason = f'its rewritten copy cannot be stored in {folder}: {error.strerror or error}'
            verdict = Verdict('single', reason)
            emit(Message('warn', 'run', f'{model.stem} runs one by one: {reason}'))
    return BatchFile(copy if verdict.state == 'rewritten' else model, verdict)


def examine(model: Path) -> tuple[Verdict, bytes]:
    """Return the verdict on the file of a network, and its rewritten copy, empty without one.

    Raises ResourceError when memory runs short.
    """
    import hashlib

    try:
        alone = _session(model)
        if takes_batches([list(each.shape) for each in alone.get_inputs()]):
            check_batches(alone, alone)
            return Verdict('published', 'its file has a free batch axis'), b''
        data = _rewritten(model)
        check_batches(alone, _session(data))
    except FixedBatchError as error:
        return Verdict('single', str(error)), b''
    return Verdict('rewritten', 'its batch size was freed', hashlib.sha256(data).hexdigest()), data


def _session(model: Path | bytes) -> Any:
    try:
        return create_session(model, ('cpu',), 0, _THREADS)
    except FaceFusionError as error:
        if isinstance(error, ResourceError):
            raise
        raise FixedBatchError(f'it cannot be loaded: {error.cause or error.message}') from None


def _rewritten(model: Path) -> bytes:
    import onnx

    if model.stat().st_size > _MOST_MODEL_BYTES:
        raise FixedBatchError('its file is larger than 2 GiB')
    try:
        return bytes(free_batch(onnx.load(model)).SerializeToString())
    except FixedBatchError:
        raise
    except Exception as error:  # noqa: BLE001 - onnx raises unrelated types of its own
        raise_shortage(error)
        raise FixedBatchError(f'it cannot be rewritten: {str(error).splitlines()[0]}') from None


def _stored(record: Path, copy: Path) -> Verdict | None:
    """Return the stored verdict; None if it is missing or damaged, or if its copy is."""
    with suppress(OSError, ValueError, TypeError):
        if record.stat().st_size <= _MAXIMUM_BYTES:
            verdict = Verdict(**json.loads(record.read_bytes()))
            if verdict.state != 'rewritten' or file_sha256(copy) == verdict.copy_sha256:
                return verdict
    return None


def write_file(path: Path, data: bytes) -> None:
    """Write a file that exists only when it is complete; several processes may write it at once."""
    part = path.with_name(f'{path.name}.{os.getpid()}.part')
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _remove_other_versions(folder: Path, digest: str) -> None:
    for path in folder.glob(f'{digest[:32]}-v*'):
        if path.suffix in ('.json', '.onnx') and path.stem != f'{digest[:32]}-v{VERSION}':
            path.unlink(missing_ok=True)


def describe(verdict: Verdict) -> str:
    """Return the verdict in the words of ``models verify --batch``."""
    return _WORDS[verdict.state]


_WORDS: dict[State, str] = {
    'published': 'batchable as published',
    'rewritten': 'batchable after rewriting',
    'single': 'one by one',
}
