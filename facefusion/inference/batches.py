"""Running many crops through a network in calls of one fixed shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# On an accelerator, where one call costs more than one crop; on a CPU batches save nothing (design.md section 2).
ACCELERATOR_BATCH = 8


def batch_size(providers: Sequence[str]) -> int:
    """How many crops go through a network in one call on these execution providers."""
    return 1 if providers[0] == 'cpu' else ACCELERATOR_BATCH


def run_batched(session: Any, inputs: dict[str, NDArray[Any]], size: int) -> list[NDArray[Any]]:
    """The outputs of a network for ``inputs`` [n, ...], each of the same n of at least 1, in calls of ``size`` crops.

    The last call is filled up with copies of its first crop: every call has one shape, so which crops share one
    changes nothing.
    """
    count = len(next(iter(inputs.values())))
    parts: list[list[NDArray[Any]]] = []
    for start in range(0, count, size):
        given = {name: values[start : start + size] for name, values in inputs.items()}
        known = min(size, count - start)
        if known < size:
            given = {name: np.concatenate([v, np.repeat(v[:1], size - known, axis=0)]) for name, v in given.items()}
        parts.append([output[:known] for output in session.run(None, given)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
