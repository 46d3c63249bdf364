"""The number of crops per call of each network on an accelerator: measured once per network and device, then stored.

A network is called with 1, 2, 4 ... crops of random values until the time per crop no longer falls, until its memory
runs out, or until the time for the measurement is over.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.device_failure import is_device_memory_error
from facefusion.events import Emit, Message, silent
from facefusion.inference.batch_check import random_inputs
from facefusion.inference.batch_files import FOLDER, write_file
from facefusion.inference.batch_rewriting import VERSION
from facefusion.inference.device_session import is_crop_axis
from facefusion.inference.pool import SessionPool
from facefusion.models.digests import file_sha256

# Beyond this size the frames of a batch, which wait together, need more memory than the speed is worth.
MOST_CROPS = 16
# A doubled batch must handle this many times more crops per second.
LEAST_GAIN = 1.05
# No larger batch is measured after this time; calls of one size are repeated for up to REPEATED_SECONDS.
PROBE_SECONDS, REPEATED_SECONDS = 3.0, 0.2
_REPEATS = 5
_SIZES_FILE = 'sizes.json'
_MAXIMUM_BYTES = 1 << 20


class SizeKey(NamedTuple):
    """The key of a measured size: digest of the published file, version of onnxruntime, provider and device."""

    sha256: str
    onnxruntime: str
    provider: str
    device: str


class BatchSize(NamedTuple):
    """A measured size, and the crops per second for each size that was measured."""

    key: SizeKey
    crops: int
    speeds: dict[int, float]


def cached_sizes(weights: Path) -> list[BatchSize]:
    """Return the stored sizes of all networks, for ``doctor``; empty without a readable cache."""
    path = weights / FOLDER / _SIZES_FILE
    with suppress(OSError, ValueError, TypeError, KeyError):
        if path.stat().st_size <= _MAXIMUM_BYTES:
            return [
                BatchSize(
                    SizeKey(*each['key']), int(each['crops']), {int(n): float(v) for n, v in each['speeds'].items()}
                )
                for each in json.loads(path.read_bytes())['sizes']
            ]
    return []


def batch_sizes(
    pool: SessionPool, model_ids: Iterable[str], asked: int | None, device: str, emit: Emit = silent
) -> dict[str, int]:
    """Return the crops per call of each model that takes several; all others get one crop per call.

    ``asked`` is the size that the user wants. ``device`` names the device in the cache. On a CPU there are none. Raises
    ModelError, ProviderError, ResourceError.
    """
    if not pool.uses_accelerator:
        return {}
    sizes = {}
    for model_id in model_ids:
        session = pool.batched(model_id)
        if not any(is_crop_axis(each.shape) for each in session.get_inputs()):
            emit(Message('debug', 'plan', f'{model_id} gets one crop per call: its file fixes the batch size'))
            continue
        size = asked or _known_size(pool, model_id, session, device, emit)
        if size > 1:
            sizes[model_id] = size
        emit(Message('debug', 'plan', f'{model_id}: crops per call: {size}'))
    return sizes


def _known_size(pool: SessionPool, model_id: str, session: Any, device: str, emit: Emit) -> int:
    from facefusion.inference.runtime import onnxruntime

    path = pool.path(model_id)
    key = SizeKey(file_sha256(path), f'{onnxruntime.__version__}-v{VERSION}', pool.providers[0], device)
    known = next((each for each in cached_sizes(path.parent) if each.key == key), None)
    if known is not None and 1 <= known.crops <= MOST_CROPS:
        return known.crops
    contract = pool.contract(model_id)
    side = contract.tile[0] if contract.tile else contract.size[0] if contract.size else None
    found = probe_size(session, lambda crops: random_inputs(session, crops, *([side] if side else []))[0])
    _store(path.parent, BatchSize(key, *found), emit)
    return found[0]


def probe_size(
    session: Any, inputs_of: Callable[[int], Any], clock: Callable[[], float] = time.perf_counter
) -> tuple[int, dict[int, float]]:
    """Return the best number of crops per call, and the crops per second of each measured size.

    ``session`` is a DeviceSession. ``inputs_of`` returns the inputs for a number of crops. Raises the errors of a
    call of one crop.
    """
    started, best, speeds = clock(), 1, dict[int, float]()
    size = 1
    while size <= MOST_CROPS and (size == 1 or clock() - started < PROBE_SECONDS):
        try:
            speeds[size] = size / _seconds_per_call(session.run_whole, inputs_of(size), clock)
        except Exception as error:  # onnxruntime raises unrelated types of its own
            if size == 1 or not is_device_memory_error(error):
                raise
            break
        if size > 1 and speeds[size] < speeds[best] * LEAST_GAIN:
            break
        best, size = size, size * 2
    return best, speeds


def _seconds_per_call(run: Callable[..., Any], inputs: Any, clock: Callable[[], float]) -> float:
    # The first call of a shape also selects algorithms and allocates memory.
    run(None, inputs)
    times: list[float] = []
    while len(times) < _REPEATS and sum(times) < REPEATED_SECONDS:
        before = clock()
        run(None, inputs)
        times.append(clock() - before)
    return max(min(times), 1e-9)


def _store(weights: Path, size: BatchSize, emit: Emit) -> None:
    """Add a size to the cache; without a writable folder the next run measures again."""
    others = [each for each in cached_sizes(weights) if each.key != size.key]
    record = {
        'sizes': [{'key': list(each.key), 'crops': each.crops, 'speeds': each.speeds} for each in (*others, size)]
    }
    path = weights / FOLDER / _SIZES_FILE
    try:
        path.parent.mkdir(exist_ok=True)
        write_file(path, json.dumps(record).encode('ascii'))
    except OSError as error:
        text = f'the measured batch size cannot be stored in {path.parent}: {error.strerror or error}'
        emit(Message('debug', 'plan', f'{text}; the next run measures again'))
