"""Detect the mark in the luma of an image or of the frames of a clip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.evidence import BLOCK_FRAMES, Evidence, weigh
from facefusion.provenance.mark.geometry import CropWindow, find_crop, folded, placed
from facefusion.provenance.mark.pattern import Grid, cell_order, grid_for
from facefusion.provenance.mark.residual import Map, residual

# The maximum number of frames per reader; they need 14 MB of memory.
MOST_FRAMES = 600
# The maximum chance of a finding in a clip or image without a mark, for all hypotheses together, as log10.
CHANCE = -6.0
# The numbers of frames after which the evidence is weighed early; each adds one hypothesis.
_LOOKS = (1, 10, 20, 50, 100, 200, 400, MOST_FRAMES)
# The log10 of a chance at which further frames are not needed.
_CERTAIN = -12.0
# A crop is searched in sums of this many blocks (half a period), and in at most this many sums.
_GROUP_BLOCKS = 5
_GROUPS = 2


class MarkFinding(NamedTuple):
    """A detected mark.

    ``payload`` (6 bytes) is None for an illegible mark. ``confidence`` is -log10 of an upper bound for the chance of
    this finding in a clip without a mark; at least 6. ``frames`` is the number of checked frames. The first complete
    period of 100 source frames starts at about the checked frame ``start``, accurate to about ten frames. ``window``
    is the part of the marked image that is present (left, top, width, height, 0 to 1).
    """

    payload: bytes | None
    confidence: float
    frames: int
    start: int
    window: tuple[float, float, float, float]


class MarkReader:
    """A detector of marks in the frames of one clip, or in one image; it uses less than 20 MB of memory.

    The frames must be consecutive and may come from any part of the clip. Empty frames, frames whose shape differs
    from that of the first one, and frames after the first ``MOST_FRAMES`` are skipped.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._grid: Grid | None = None
        self._blocks: list[Map] = []
        # Whether a payload is so certain that further frames would not change the finding.
        self.is_certain = False

    @property
    def is_full(self) -> bool:
        """Whether further frames would be skipped."""
        return self.frames >= MOST_FRAMES

    def add(self, luma: NDArray[np.uint8]) -> None:
        """Add the luma of the next frame, uint8 HxW of any size and range."""
        if luma.ndim != 2 or luma.size == 0 or self.is_full:
            return
        grid = grid_for(luma.shape[1], luma.shape[0])
        if self._grid is None:
            self._grid = grid
        if grid != self._grid:
            return
        values = residual(np.ascontiguousarray(luma, np.uint8), grid)
        if self.frames % BLOCK_FRAMES == 0:
            self._blocks.append(values.copy())
        else:
            self._blocks[-1] += values
        self.frames += 1
        if self.frames in _LOOKS and not self.is_certain:
            best = self._weigh(grid, None, 1.0)[0]
            self.is_certain = best.payload is not None and best.log10 <= _CERTAIN

    def result(self) -> MarkFinding | None:
        """Return the most certain mark, or None."""
        return next(iter(self.results()), None)

    def results(self) -> list[MarkFinding]:
        """Return all marks, the most certain first: one for each payload, or a single illegible one."""
        grid = self._grid
        if grid is None:
            return []
        whole = CropWindow(0, 0, *grid)
        found = _convincing(self._weigh(grid, None, 1.0), grid, whole, self.frames)
        if not found:
            window, tried = self._find_crop(grid)
            found = _convincing(self._weigh(grid, window, tried), grid, window, self.frames)
        return found

    def strongest(self) -> float:
        """Return log10 of the chance of the strongest evidence, even if insufficient, without searching for crops."""
        return self._weigh(self._grid, None, 1.0)[0].log10 if self._grid else 0.0

    def _weigh(self, grid: Grid, window: CropWindow | None, tried: float) -> list[Evidence]:
        order = cell_order(grid)
        maps = self._blocks if window is None else [placed(block, grid, window) for block in self._blocks]
        cells = np.stack([folded(block, grid).reshape(-1)[order] for block in maps])
        return weigh(cells, grid, tried * (len(_LOOKS) + 1))

    def _find_crop(self, grid: Grid) -> tuple[CropWindow, float]:
        """Return the most likely window of the image in a larger one, and the number of windows tried."""
        groups = [
            np.asarray(np.sum(self._blocks[first : first + _GROUP_BLOCKS], axis=0), np.float32)
            for first in range(0, len(self._blocks), _GROUP_BLOCKS)
        ]
        found = [find_crop(group, grid) for group in groups[:: max(1, len(groups) // _GROUPS)][:_GROUPS]]
        return max(found, key=lambda crop: crop.z).window, found[0].tried


def _convincing(evidence: list[Evidence], grid: Grid, window: CropWindow, frames: int) -> list[MarkFinding]:
    columns, rows = grid
    left, top, width, height = window
    share = (left / columns, top / rows, width / columns, height / rows)
    sure = [entry for entry in evidence if entry.log10 <= CHANCE]
    readable = {entry.payload: entry for entry in reversed(sure) if entry.payload is not None}
    chosen = sorted(readable.values(), key=lambda entry: entry.log10) or sure[:1]
    return [MarkFinding(entry.payload, -entry.log10, frames, entry.timing.start, share) for entry in chosen]
