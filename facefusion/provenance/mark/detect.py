"""Reads the mark from the luma of a picture or of a clip's frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.evidence import BLOCK_FRAMES, Evidence, weigh
from facefusion.provenance.mark.geometry import CropWindow, find_place, folded, placed
from facefusion.provenance.mark.pattern import Grid, cell_order, grid_for
from facefusion.provenance.mark.residual import Map, residual

# What a reader looks at before it takes no more: 600 frames, 14 MB.
MOST_FRAMES = 600
# The chance that a clip or picture without a mark is said to have one, all that is tried counted: log10.
CHANCE = -6.0
# Early looks at what was read so far, in frames; each is counted as one more try.
_LOOKS = (1, 10, 20, 50, 100, 200, 400, MOST_FRAMES)
# Evidence that makes further frames pointless.
_CERTAIN = -12.0
# Places of a crop are looked for in this many blocks at once, half a period, and in so many of such groups.
_GROUP_BLOCKS = 5
_GROUPS = 2


class MarkFinding(NamedTuple):
    """A mark that was found.

    ``payload`` (6 bytes) is None when the mark is there but cannot be read. ``confidence`` is -log10 of an upper bound
    for the chance that a clip without a mark gives this finding; at least 6. ``frames`` were looked at; ``start`` is
    where the first whole period of 100 source frames begins in them, to about ten; ``place`` tells which part of the
    marked picture is there (left, top, width, height, 0 to 1).
    """

    payload: bytes | None
    confidence: float
    frames: int
    start: int
    window: tuple[float, float, float, float]


class MarkReader:
    """Collects frames of one clip, or one picture, and says what mark they carry; memory stays below 20 MB.

    Frames must come in order without gaps, from anywhere in the clip. Frames of another shape than the first one's,
    empty ones and those after ``MOST_FRAMES`` are left out.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._grid: Grid | None = None
        self._blocks: list[Map] = []
        self._findings: tuple[int, list[MarkFinding]] | None = None
        self._certain = False

    @property
    def is_full(self) -> bool:
        """Whether further frames would be left out."""
        return self.frames >= MOST_FRAMES

    @property
    def is_certain(self) -> bool:
        """Whether a payload was read beyond doubt, so that further frames would not change the finding."""
        return self._certain

    def add(self, luma: NDArray[np.uint8]) -> None:
        """Takes the next frame's luma, uint8 HxW of any size and range."""
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
        if self.frames in _LOOKS and not self._certain:
            best = self._weigh(grid, None, 1.0)[0]
            self._certain = best.payload is not None and best.log10 <= _CERTAIN

    def result(self) -> MarkFinding | None:
        """The mark that is most certain, or None where there is none."""
        findings = self.results()
        return findings[0] if findings else None

    def results(self) -> list[MarkFinding]:
        """All marks, most certain first; those with a payload when there is one, one finding for each payload."""
        if self._findings is None or self._findings[0] != self.frames:
            self._findings = self.frames, self._find()
        return list(self._findings[1])

    def strongest(self) -> float:
        """The decimal logarithm of the chance of the strongest evidence, found or not, without looking for crops."""
        return self._weigh(self._grid, None, 1.0)[0].log10 if self._grid else 0.0

    def _find(self) -> list[MarkFinding]:
        grid = self._grid
        if grid is None:
            return []
        found = self._convincing(self._weigh(grid, None, 1.0), None)
        if not found:
            window, tried = self._place(grid)
            found = self._convincing(self._weigh(grid, window, tried), window)
        return found

    def _convincing(self, evidence: list[Evidence], window: CropWindow | None) -> list[MarkFinding]:
        assert self._grid is not None
        columns, rows = self._grid
        left, top, width, height = window or CropWindow(0, 0, columns, rows)
        share = (left / columns, top / rows, width / columns, height / rows)
        sure = [one for one in evidence if one.log10 <= CHANCE]
        readable = {one.payload: one for one in reversed(sure) if one.payload is not None}
        chosen = sorted(readable.values(), key=lambda one: one.log10) or sure[:1]
        return [MarkFinding(one.payload, -one.log10, self.frames, one.timing.start, share) for one in chosen]

    def _weigh(self, grid: Grid, window: CropWindow | None, tried: float) -> list[Evidence]:
        order = cell_order(grid)
        maps = self._blocks if window is None else [placed(block, grid, window) for block in self._blocks]
        cells = np.stack([folded(one, grid).reshape(-1)[order] for one in maps])
        return weigh(cells, grid, tried * (len(_LOOKS) + 1))

    def _place(self, grid: Grid) -> tuple[CropWindow, float]:
        """Where the picture most likely lay in a larger one, and how many places were tried."""
        groups = [
            np.asarray(np.sum(self._blocks[first : first + _GROUP_BLOCKS], axis=0), np.float32)
            for first in range(0, len(self._blocks), _GROUP_BLOCKS)
        ]
        chosen = groups[:: max(1, len(groups) // _GROUPS)][:_GROUPS]
        found = [find_place(group, grid) for group in chosen]
        return max(found, key=lambda one: one.z).window, found[0].tried
