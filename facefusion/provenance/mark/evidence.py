"""How likely a picture without a mark would look as marked as this one, and what a mark says.

The signs of a pattern were drawn once, independently of any picture. So for remainders e of a picture without a mark,
whatever it shows, and signs s the sum of e x s has mean 0, and Hoeffding's inequality bounds its tail:
P(sum >= z x sqrt(sum of e^2)) <= exp(-z^2 / 2). Every hypothesis that is tried multiplies the bound by one more.
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

# Frames whose remainders are added up at once; what a period begins in is known to half of this.
BLOCK_FRAMES = 10
# Read frames to a source frame: the same, and the common changes of frame rate both ways.
RATES = (1.0, 1.25, 0.8, 1.2, 5 / 6, 2.0, 0.5, 2.5, 0.4)
# Ways of laying the periods over the frames that are tried for a payload: the most likely one, and others that the
# known cells speak for, as they do when a clip was marked twice.
_TRIED = 3
_LIKELY = 3.0


class Timing(NamedTuple):
    """Which pattern each block carries (int64 [blocks]), and where the first whole period begins, in frames."""

    periods: NDArray[np.int64]
    start: int
    rate: float
    z: float


class Evidence(NamedTuple):
    """A payload, or None for a mark that cannot be read; ``log10`` of the bound of its chance; its timing."""

    payload: bytes | None
    log10: float
    timing: Timing


def log10_bound(z: float, hypotheses: float) -> float:
    """The decimal logarithm of Hoeffding's bound times the number of hypotheses tried; 0 at most."""
    if not (math.isfinite(z) and z > 0):
        return 0.0
    return min(0.0, math.log10(hypotheses) - z * z / (2 * math.log(10)))


def weigh(blocks: Cells, grid: Grid, hypotheses: float = 1.0) -> list[Evidence]:
    """What a clip's blocks tell, the strongest first, never empty.

    ``blocks`` is float32 [blocks,cells] in ``cell_order``, sums of remainders of ``BLOCK_FRAMES`` frames each;
    ``hypotheses`` counts what was tried before, such as places of a crop.
    """
    timings, tried = _timings(blocks[:, grid.coded :], grid)
    hypotheses *= tried
    best = timings[0]
    found = [Evidence(None, log10_bound(best.z, hypotheses), best)]
    for timing in [best, *(one for one in timings[1:_TRIED] if one.z > _LIKELY)]:
        found += _payloads(blocks, grid, timing, hypotheses)
    return sorted(found, key=lambda one: one.log10)


def _timings(known: Cells, grid: Grid) -> tuple[list[Timing], int]:
    """Timings by how well the known cells agree, best first and different ones only; and how many were compared."""
    signs = np.stack([sync_signs(grid, period) for period in range(PERIODS)]).astype(np.float32)
    sums = (known @ signs.T).astype(np.float64)
    squares = (known @ known.T).astype(np.float64)
    layouts = _layouts(len(known))
    timings = []
    for (first, *rest), (start, rate) in layouts.items():
        steps = np.array([first, *rest])
        # The same picture in two blocks is no more than one: squares of sums, not sums of squares.
        same = steps[:, None] % PERIODS == steps[None] % PERIODS
        spread = math.sqrt(max(float((squares * same).sum()), 1e-12))
        for period in range(PERIODS):
            periods = (steps + period) % PERIODS
            z = float(sums[np.arange(len(steps)), periods].sum()) / spread
            timings.append(Timing(periods, start, rate, z))
    timings.sort(key=lambda timing: -timing.z)
    return timings, len(timings)


def _layouts(blocks: int) -> dict[tuple[int, ...], tuple[int, float]]:
    """Every way in which periods of a fixed length can lie over the blocks, with its start and frame rate."""
    layouts: dict[tuple[int, ...], tuple[int, float]] = {}
    middles = np.arange(blocks) * BLOCK_FRAMES + BLOCK_FRAMES // 2
    for rate in RATES:
        length = PERIOD_FRAMES * rate
        for start in range(0, math.ceil(length), BLOCK_FRAMES):
            steps = np.floor((middles - start) / length).astype(int)
            layouts.setdefault(tuple((steps - steps[0]).tolist()), (start, rate))
    return layouts


def _payloads(blocks: Cells, grid: Grid, timing: Timing, hypotheses: float) -> list[Evidence]:
    """The payloads that can be read with these periods, one a family at most."""
    periods = np.unique(timing.periods)
    pooled = {int(period): blocks[timing.periods == period].sum(axis=0) for period in periods}
    windows = coded_places(grid)
    turned = [_turned(pooled, grid, family) for family in range(FAMILIES)]
    soft = np.stack([np.bincount(windows, one.sum(axis=0), CODED_BITS) for one in turned]).astype(np.float32)
    known = np.stack([pooled[period][grid.coded :] * sync_signs(grid, period) for period in pooled])
    # Every payload is a hypothesis of its own.
    hypotheses *= 2.0 ** (8 * PAYLOAD_BYTES)
    found = []
    for family, decoded in enumerate(decode_signs(soft)):
        if decoded is None or family_of(decoded.payload) != family:
            continue
        total = float((soft[family] * decoded.signs).sum() + known.sum())
        spread = math.sqrt(max(float((turned[family] ** 2).sum() + (known**2).sum()), 1e-12))
        found.append(Evidence(decoded.payload, log10_bound(total / spread, hypotheses), timing))
    return found


def _turned(pooled: dict[int, Cells], grid: Grid, family: int) -> Cells:
    """The coded cells of each period times the signs of a family: float32 [periods,coded cells]."""
    return np.stack([pooled[period][: grid.coded] * coded_cell_signs(grid, period, family) for period in pooled])
