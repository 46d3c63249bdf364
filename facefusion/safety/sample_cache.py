"""A cache of content samples by the digest of the scored content.

Each entry is a small JSON file. A damaged or unsuitable entry counts as absent, so its content is scored again. Entries
are not signed, because a process with permission to write them could also change the program.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from facefusion.events import Emit, Message, silent
from facefusion.models.store import ModelStore
from facefusion.safety.content_gate import Sample
from facefusion.safety.sampling import Sampling
from facefusion.stopping import StopFlag

CACHE_VERSION = 1
MAXIMUM_ENTRIES = 10_000
_ROWS = 256
_MAXIMUM_ENTRY_BYTES = 16 << 20
_NAME = re.compile(r'^([0-9a-f]{64})\.json$')
# The seconds after which partial files of dead processes are removed.
_ABANDONED_SECONDS = 3600.0


def pixels_sha256(image: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, stop: StopFlag) -> str:
    """Return the SHA-256 of an image's pixels, uint8 HxWx3, and alpha, uint8 HxW. Raises Interrupted.

    The pixels are hashed instead of the file, because the file may be replaced before it is read again.
    """
    digest = hashlib.sha256(f'{image.shape} {alpha is not None}'.encode())
    for plane in (image,) if alpha is None else (image, alpha):
        for at in range(0, len(plane), _ROWS):
            stop.check()
            digest.update(np.ascontiguousarray(plane[at : at + _ROWS]).data)
    return digest.hexdigest()


def model_digests(store: ModelStore, model_ids: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of the weights by model id. Raises the errors of ``ModelStore.path``."""
    digests = {}
    for model_id in model_ids:
        store.path(model_id)
        digests[model_id] = store.check(model_id).actual
    return digests


def sample_key(content: str, models: Mapping[str, str], sampling: Sampling, rule: Mapping[str, Any]) -> str:
    """Return the cache key of the samples of a file: 64 hexadecimal digits.

    ``content`` is the digest of its bytes or pixels; ``models`` are the digests of the weights by model id, in the
    order of the scores; ``rule`` is plain JSON of everything else that decides which frames are scored and how, such as
    the shot detection.
    """
    parts = {
        'version': CACHE_VERSION,
        'content': content,
        'models': list(models.items()),
        'sampling': [sampling.start, sampling.count, sampling.step],
        'rule': dict(rule),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class _Entry(msgspec.Struct):
    """The content of an entry; ``samples`` contains frame number, time in seconds and scores of each sample."""

    version: int
    key: str
    samples: list[tuple[int, float, tuple[float, ...]]]


@dataclass(frozen=True, slots=True)
class SampleCache:
    """A folder of samples by key, which is created when needed. Several processes may use it at once.

    The cache raises no errors: an unreadable entry counts as absent, and if an entry cannot be written, the content is
    scored again next time.
    """

    folder: Path
    emit: Emit = silent
    maximum_entries: int = MAXIMUM_ENTRIES

    def get(self, key: str, sampling: Sampling, score_count: int) -> tuple[Sample, ...] | None:
        """Return the samples under ``key`` in frame order.

        Returns None unless they include every regular frame of ``sampling`` with ``score_count`` finite scores each.
        """
        path = self.folder / f'{key}.json'
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAXIMUM_ENTRY_BYTES:
                return None
            entry = msgspec.json.decode(path.read_bytes(), type=_Entry)
        except (OSError, ValueError, RecursionError):
            return None
        samples = tuple(Sample(*row) for row in entry.samples)
        numbers = [sample.frame for sample in samples]
        is_suitable = (
            (entry.version, entry.key) == (CACHE_VERSION, key)
            and all(len(sample.scores) == score_count for sample in samples)
            and all(number in sampling for number in numbers)
            and numbers == sorted({*numbers, *sampling.regular})
        )
        return samples if is_suitable else None

    def put(self, key: str, samples: Sequence[Sample]) -> None:
        """Store the samples of a completely scored file; remove the oldest entries beyond the maximum."""
        ordered = sorted(samples, key=lambda sample: sample.frame)
        entry = _Entry(CACHE_VERSION, key, [(each.frame, float(each.seconds), each.scores) for each in ordered])
        path = self.folder / f'{key}.json'
        part = path.with_name(f'{key}.{uuid.uuid4().hex}.part')
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(msgspec.json.encode(entry))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            remove_oldest(self.folder, _NAME, self.maximum_entries, lambda status: 1)
        except OSError as error:
            self.emit(Message('debug', 'safety', f'the result of the content check is not cached: {error}'))


def remove_oldest(folder: Path, name: re.Pattern[str], limit: int, weigh: Callable[[os.stat_result], int]) -> None:
    """Remove the least recently used entries of a cache until the total weight is at most ``limit``.

    ``weigh`` returns the weight of a file, such as its size. An entry consists of all files with the same first group
    of ``name``; its JSON file is removed first. Partial files are removed after an hour. Several processes may do this
    at once. Raises OSError when the folder cannot be read.
    """
    entries: dict[str, list[tuple[float, int, Path]]] = {}
    with os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                status, match = item.stat(follow_symlinks=False), name.match(item.name)
                if match:
                    entries.setdefault(match[1], []).append((status.st_mtime, weigh(status), Path(item.path)))
                elif item.name.endswith('.part') and status.st_mtime < time.time() - _ABANDONED_SECONDS:
                    Path(item.path).unlink()
    total = sum(weight for files in entries.values() for _, weight, _ in files)
    for files in sorted(entries.values(), key=lambda files: max(modified for modified, _, _ in files)):
        if total <= limit:
            return
        for _, weight, path in sorted(files, key=lambda file: file[2].name):
            total -= weight
            with suppress(OSError):
                path.unlink()
