"""The evidence for a mark: its payload, and the chance of equally strong evidence in an unmarked image.

The signs of a pattern are random and independent of any image. So for the residuals e of an unmarked image with any
content, and signs s, the sum of e x s has mean 0, and Hoeffding's inequality bounds its tail:
P(sum >= z x sqrt(sum of e^2)) <= exp(-z^2 / 2). The bound is multiplied by the number of hypotheses.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.pattern import (
    FAMILIES,
    PERIOD_FRAMES,
    PERIODS,
    Grid,
    coded_cell_signs,
    coded_places,
    family_of,
    sync_signs,
)
from facefusion.provenance.mark.payload import CODED_BITS, PAYLOAD_BYTES, decode_signs

Cells = NDArray[np.float32]

# The residuals of this many frames are summed; so the start of a period is accurate to half of this number.
BLOCK_FRAMES = 10
# The numbers of read frames per source frame: 1, and the ratios of common frame rates in both directions.
_RATES = (1.0, 1.25, 0.8, 1.2, 5 / 6, 2.0, 0.5, 2.5, 0.4)
# The maximum number of decoded timings: the most likely one, and others whose z reaches _LIKELY, because a clip may
# have been marked twice.
_TRIED = 3
_LIKELY = 3.0


class Timing(NamedTuple):
    """The pattern of each block (int64 [blocks]), the start of the first complete period in frames, and its score."""

    periods: NDArray[np.int64]
    start: int
    z: float


class Evidence(NamedTuple):
    """A payload (None for an illegible mark), log10 of the bound of its chance, and its timing."""

    payload: bytes | None
    log10: float
    timing: Timing


def log10_bound(z: float, hypotheses: float) -> float:
    """Return log10 of Hoeffding's bound times the number of hypotheses; at most 0."""
    if not (math.isfinite(z) and z > 0):
        return 0.0
    return min(0.0, math.log10(hypotheses) - z * z / (2 * math.log(10)))


def weigh(blocks: Cells, grid: Grid, hypotheses: float = 1.0) -> list[Evidence]:
    """Return the evidence in the blocks of a clip, the strongest first; the list is never empty.

    ``blocks`` is float32 [blocks,cells] in ``cell_order``; each block is the sum of the residuals of ``BLOCK_FRAMES``
    frames. ``hypotheses`` is the number of hypotheses tested so far, such as windows of a crop.
    """
    timings = _timings(blocks[:, grid.coded :], grid)
    hypotheses *= len(timings)
    best = timings[0]
    found = [Evidence(None, log10_bound(best.z, hypotheses), best)]
    for timing in [best, *(timing for timing in timings[1:_TRIED] if timing.z > _LIKELY)]:
        found += _payloads(blocks, grid, timing, hypotheses)
    return sorted(found, key=lambda entry: entry.log10)


def _timings(known: Cells, grid: Grid) -> list[Timing]:
    """Return all distinct timings, ordered by the agreement of the known cells, best first."""
    signs = np.stack([sync_signs(grid, period) for period in range(PERIODS)]).astype(np.float32)
    sums = (known @ signs.T).astype(np.float64)
    squares = (known @ known.T).astype(np.float64)
    timings = []
    for layout, start in _layouts(len(known)).items():
        steps = np.array(layout)
        # Blocks that show the same image are not independent, so this squares their sums instead of summing squares.
        same = steps[:, None] % PERIODS == steps[None] % PERIODS
        spread = math.sqrt(max(float((squares * same).sum()), 1e-12))
        for period in range(PERIODS):
            periods = (steps + period) % PERIODS
            z = float(sums[np.arange(len(steps)), periods].sum()) / spread
            timings.append(Timing(periods, start, z))
    return sorted(timings, key=lambda timing: -timing.z)


def _layouts(blocks: int) -> dict[tuple[int, ...], int]:
    """Return the distinct layouts of periods over the blocks, with the starts of their first complete periods."""
    layouts: dict[tuple[int, ...], int] = {}
    middles = np.arange(blocks) * BLOCK_FRAMES + BLOCK_FRAMES // 2
    for rate in _RATES:
        length = PERIOD_FRAMES * rate
        for start in range(0, math.ceil(length), BLOCK_FRAMES):
            steps = np.floor((middles - start) / length).astype(int)
            layouts.setdefault(tuple((steps - steps[0]).tolist()), start)
    return layouts


def _payloads(blocks: Cells, grid: Grid, timing: Timing, hypotheses: float) -> list[Evidence]:
    """Return the legible payloads of a timing, at most one per family."""
    pooled = {int(period): blocks[timing.periods == period].sum(axis=0) for period in np.unique(timing.periods)}
    # float32 [periods,coded cells] of each family.
    turned = [
        np.stack([cells[: grid.coded] * coded_cell_signs(grid, period, family) for period, cells in pooled.items()])
        for family in range(FAMILIES)
    ]
    bits = coded_places(grid)
    soft = np.stack([np.bincount(bits, cells.sum(axis=0), CODED_BITS) for cells in turned]).astype(np.float32)
    known = np.stack([cells[grid.coded :] * sync_signs(grid, period) for period, cells in pooled.items()])
    # Every possible payload is a separate hypothesis.
    hypotheses *= 2.0 ** (8 * PAYLOAD_BYTES)
    found = []
    for family, decoded in enumerate(decode_signs(soft)):
        if decoded is None or family_of(decoded.payload) != family:
            continue
        total = float((soft[family] * decoded.signs).sum() + known.sum())
        spread = math.sqrt(max(float((turned[family] ** 2).sum() + (known**2).sum()), 1e-12))
        found.append(Evidence(decoded.payload, log10_bound(total / spread, hypotheses), timing))
    return found
