"""Run many crops through a network in calls of one fixed shape."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.inference.device_session import filled

_NOTHING: Mapping[str, NDArray[Any]] = MappingProxyType({})


def run_batched(
    session: Any, inputs: dict[str, NDArray[Any]], size: int, shared: Mapping[str, NDArray[Any]] = _NOTHING
) -> list[NDArray[Any]]:
    """Return the outputs of a network for ``inputs`` [n, ...], all of the same n >= 1, in calls of ``size`` crops.

    ``shared`` are inputs that are the same for all crops, and that every call gets unchanged.
    A network whose file fixes the number of crops is called with that number. The last call is filled with copies of
    its first crop, so that all calls have one shape and the grouping of the crops does not change the results.
    """
    listed = session.get_inputs()
    fixed = next((each for each in listed if each.name in inputs), listed[0]).shape[0]
    size = fixed if isinstance(fixed, int) and fixed > 0 else size
    count = len(next(iter(inputs.values())))
    parts: list[list[NDArray[Any]]] = []
    for start in range(0, count, size):
        batch = {name: filled(values[start : start + size], size) for name, values in inputs.items()}
        parts.append([output[: count - start] for output in session.run(None, {**batch, **shared})])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
