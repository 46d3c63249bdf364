"""Check that a network computes the same for each crop in a call of several crops as in a call of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.inference.batch_rewriting import FixedBatchError

# The largest difference between a crop in a batch and the same crop alone, as a share of the range of the output. A
# library sums in another order for another shape, which changes the last bits; a wrong axis changes the leading ones.
TOLERANCE, HALF_TOLERANCE = 1e-3, 1e-2
CROPS = 3
# The size of a free dimension other than the batch, in pixels; networks halve it up to five times.
FREE_SIDE = 64
_DTYPES: Mapping[str, Any] = {
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(double)': np.float64,
    'tensor(int64)': np.int64,
    'tensor(int32)': np.int32,
    'tensor(uint8)': np.uint8,
    'tensor(bool)': np.bool_,
}
_SEED = 20


def random_inputs(session: Any, crops: int, side: int = FREE_SIDE) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return random values 0..1 for every input of a session, and the names of the inputs that have a batch axis.

    ``side`` is the size of free dimensions other than the batch. Raises FixedBatchError for a type without values.
    """
    random = np.random.default_rng(_SEED)
    values: dict[str, NDArray[Any]] = {}
    batched = []
    for each in session.get_inputs():
        if each.type not in _DTYPES:
            raise FixedBatchError(f'its input {each.name} has the type {each.type}')
        shape = [size if isinstance(size, int) and size > 0 else side for size in each.shape]
        if len(shape) > 1:
            batched.append(each.name)
            shape[0] = crops
        values[each.name] = random.random(shape).astype(_DTYPES[each.type])
    return values, batched


def check_batches(alone: Any, together: Any) -> None:
    """Compare calls of one crop of the session ``alone`` with a call of CROPS crops of the session ``together``.

    Raises FixedBatchError unless each output of each crop differs by at most TOLERANCE of its range (HALF_TOLERANCE for
    half precision).
    """
    inputs, batched = random_inputs(together, CROPS)
    try:
        outputs = together.run(None, inputs)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises unrelated types of its own
        raise FixedBatchError(f'a call with {CROPS} crops fails: {str(error).splitlines()[0]}') from None
    for crop in range(CROPS):
        single = {name: value[crop : crop + 1] if name in batched else value for name, value in inputs.items()}
        expected = alone.run(None, single)
        for place, (one, several) in enumerate(zip(expected, outputs, strict=True)):
            _compare(together.get_outputs()[place].name, one, several, crop)


def _compare(name: str, one: NDArray[Any], several: NDArray[Any], crop: int) -> None:
    if several.ndim == 0 or several.shape[0] != CROPS or several.shape[1:] != one.shape[1:]:
        raise FixedBatchError(
            f'its output {name} has the shape {list(several.shape)} for {CROPS} crops, and {list(one.shape)} for one'
        )
    expected, found = one[0].astype(np.float64), several[crop].astype(np.float64)
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise FixedBatchError(f'its output {name} for random input has values that are not numbers')
    spread = max(float(np.ptp(expected)), float(np.abs(expected).max()), 1e-6) if expected.size else 1.0
    limit = HALF_TOLERANCE if one.dtype == np.float16 else TOLERANCE
    difference = float(np.abs(expected - found).max(initial=0.0)) / spread
    if difference > limit:
        raise FixedBatchError(
            f'its output {name} differs by {difference:.2g} of its range between a call of {CROPS} crops and calls of '
            f'one; {limit:g} is allowed'
        )
