"""Run many crops through a network in calls of one fixed shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Batches are used on accelerators, where a call costs more than a crop; on a CPU batches save no time (design.md
# section 2).
ACCELERATOR_BATCH = 8
_NOTHING: Mapping[str, NDArray[Any]] = MappingProxyType({})


def batch_size(providers: Sequence[str]) -> int:
    """Return the number of crops in one call of a network on these execution providers."""
    return 1 if providers[0] == 'cpu' else ACCELERATOR_BATCH


def run_batched(
    session: Any, inputs: dict[str, NDArray[Any]], size: int, shared: Mapping[str, NDArray[Any]] = _NOTHING
) -> list[NDArray[Any]]:
    """Return the outputs of a network for ``inputs`` [n, ...], all of the same n >= 1, in calls of ``size`` crops.

    ``shared`` are inputs that are the same for all crops, and that every call gets unchanged.
    A network whose file fixes the number of crops is called with that number. The last call is filled with copies of
    its first crop, so that all calls have one shape and the grouping of the crops does not change the results.
    """
    fixed = session.get_inputs()[0].shape[0]
    size = fixed if isinstance(fixed, int) and fixed > 0 else size
    count = len(next(iter(inputs.values())))
    parts: list[list[NDArray[Any]]] = []
    for start in range(0, count, size):
        batch = {name: values[start : start + size] for name, values in inputs.items()}
        filled = min(size, count - start)
        if filled < size:
            batch = {name: np.concatenate([v, np.repeat(v[:1], size - filled, axis=0)]) for name, v in batch.items()}
        parts.append([output[:filled] for output in session.run(None, {**batch, **shared})])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
