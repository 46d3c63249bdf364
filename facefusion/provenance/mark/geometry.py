"""Where a cropped picture lay in the whole one: a search with the known cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.pattern import PERIODS, SAMPLES, Grid, cell_order, sync_signs
from facefusion.provenance.mark.residual import Map

# The least part of the width and of the height that is looked for.
LEAST_PART = 0.75
# Parts of a cell by which places are tried, first roughly, then near the best place.
_PHASES = (0.0, 0.5)
_STEPS = (0.5, 0.25)
_MOVES = 4
# Places that can be reached from a rough one: any of them may be the one that is looked at in the end.
_REACHED = (2 * _MOVES * sum(_STEPS) / _STEPS[-1] + 1) ** 4


class CropWindow(NamedTuple):
    """The part of the whole picture that is there, in cells: its left and top edge, its width and height."""

    left: float
    top: float
    width: float
    height: float


class Found(NamedTuple):
    """The place where the known cells of a period agree best, and how many could have been found."""

    window: CropWindow
    z: float
    tried: float


def placed(residuals: Map, grid: Grid, window: CropWindow) -> Map:
    """Remainders of the part at ``place`` on the map of the whole picture; 0 where nothing is known."""
    wide, high = grid.map_size
    x, y = wide / SAMPLES / window.width, high / SAMPLES / window.height
    # From the whole map's sample centres to those of the part.
    matrix = np.array(
        [
            [x, 0, (0.5 - SAMPLES * window.left) * x - 0.5],
            [0, y, (0.5 - SAMPLES * window.top) * y - 0.5],
        ],
        np.float64,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cast(Map, cv2.warpAffine(residuals, matrix, (wide, high), flags=flags, borderValue=0.0))


def folded(residuals: Map, grid: Grid) -> NDArray[np.float32]:
    """The sum of each cell's samples, float32 [rows,columns]."""
    return cast(Map, residuals.reshape(grid.rows, SAMPLES, grid.columns, SAMPLES).sum(axis=(1, 3)))


def find_place(residuals: Map, grid: Grid) -> Found:
    """The most likely place of a part, from remainders that were added up over frames of one period or two."""
    search = _Search(grid)
    best = max((search.roughly(residuals, width, height) for width, height in _sizes(grid)), key=lambda one: one.z)
    z, window = best.z, best.window
    for step in _STEPS:
        for _ in range(_MOVES):
            near = [(search.exactly(residuals, one), one) for one in _neighbours(window, step)]
            better, candidate = max(near)
            if better <= z:
                break
            z, window = better, candidate
    return Found(window, z, search.tried * _REACHED)


def _sizes(grid: Grid) -> Iterator[tuple[int, int]]:
    """Widths and heights in cells: the same part of both, or the whole of one of them."""
    for width in range(grid.columns, int(LEAST_PART * grid.columns), -1):
        yield width, round(width * grid.rows / grid.columns)
        if width < grid.columns:
            yield width, grid.rows
    for height in range(grid.rows - 1, int(LEAST_PART * grid.rows), -1):
        yield grid.columns, height


def _neighbours(window: CropWindow, step: float) -> list[CropWindow]:
    left, top, width, height = window
    moves = [(x, y, w, h) for x in (-1, 0, 1) for y in (-1, 0, 1) for w in (-1, 0, 1) for h in (-1, 0, 1)]
    return [CropWindow(left + x * step, top + y * step, width + w * step, height + h * step) for x, y, w, h in moves]


class _Search:
    """Correlation of a part with the known cells of all periods, at all whole places at once."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.tried = 0
        known = cell_order(grid)[grid.coded :]
        maps = np.zeros((PERIODS + 1, grid.cells), np.float32)
        for period in range(PERIODS):
            maps[period, known] = sync_signs(grid, period)
        maps[PERIODS, known] = 1
        self._maps = maps.reshape(-1, grid.rows, grid.columns)
        self._spectra = np.fft.rfft2(self._maps)

    def roughly(self, residuals: Map, width: int, height: int) -> Found:
        """The best place of a part of this size, to half a cell; how many were tried is counted in ``tried``."""
        grid = self.grid
        high, wide = grid.rows - height + 1, grid.columns - width + 1
        best = Found(CropWindow(0, 0, width, height), -1.0, 0)
        for left in _PHASES if width < grid.columns else (0.0,):
            for top in _PHASES if height < grid.rows else (0.0,):
                part = folded(placed(residuals, grid, CropWindow(left, top, width, height)), grid)
                spectrum = np.conj(np.fft.rfft2(np.stack([part, part * part])))
                sums = np.fft.irfft2(self._spectra[:PERIODS] * spectrum[0], part.shape)[:, :high, :wide]
                squares = np.fft.irfft2(self._spectra[PERIODS] * spectrum[1], part.shape)[:high, :wide]
                scores = sums / np.sqrt(np.maximum(squares, 1e-6 * float(squares.max()) + 1e-12))
                self.tried += scores.size
                _, y, x = np.unravel_index(int(scores.argmax()), scores.shape)
                z = float(scores.max())
                if z > best.z:
                    best = Found(CropWindow(left + float(x), top + float(y), width, height), z, 0)
        return best

    def exactly(self, residuals: Map, window: CropWindow) -> float:
        """How well the best period's known cells agree at a place."""
        part = folded(placed(residuals, self.grid, window), self.grid)
        spread = float(np.sqrt((part * part * self._maps[PERIODS]).sum() + 1e-12))
        return float(np.tensordot(self._maps[:PERIODS], part, axes=2).max()) / spread
