"""Find the window of a cropped image in the original image by the known cells."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.pattern import PERIODS, SAMPLES, Grid, cell_order, sync_signs
from facefusion.provenance.mark.residual import Map

# The minimum width and height of a crop, as shares of those of the original.
_SMALLEST_PART = 0.75
# The offsets of the rough search, and the steps of the search near its result, in cells.
_PHASES = (0.0, 0.5)
_STEPS = (0.5, 0.25)
_MOVES = 4
# The number of windows that the fine search can reach from one rough window.
_REACHED = (2 * _MOVES * sum(_STEPS) / _STEPS[-1] + 1) ** 4


class CropWindow(NamedTuple):
    """The part of the original image that is present, in cells: its left and top edge, its width and height."""

    left: float
    top: float
    width: float
    height: float


class FoundCrop(NamedTuple):
    """The window in which the known cells of a period agree best, its score, and the number of possible windows."""

    window: CropWindow
    z: float
    tried: float


def placed(residuals: Map, grid: Grid, window: CropWindow) -> Map:
    """Return the residuals of the part at ``window`` on the map of the original image, 0 outside the window."""
    wide, high = grid.map_size
    x, y = wide / SAMPLES / window.width, high / SAMPLES / window.height
    # The matrix maps sample centres of the original map to those of the part.
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
    """Return the sum of the samples of each cell, float32 [rows,columns]."""
    return cast(Map, residuals.reshape(grid.rows, SAMPLES, grid.columns, SAMPLES).sum(axis=(1, 3)))


def find_crop(residuals: Map, grid: Grid) -> FoundCrop:
    """Return the most likely window of a part; ``residuals`` are summed over frames of one or two periods."""
    search = _Search(grid)
    rough = (search.roughly(residuals, width, height) for width, height in _sizes(grid))
    z, window = max(rough, key=lambda scored: scored[0])
    for step in _STEPS:
        for _ in range(_MOVES):
            offsets = itertools.product((-step, 0, step), repeat=4)
            near = [CropWindow(*(edge + move for edge, move in zip(window, moves, strict=True))) for moves in offsets]
            better, candidate = max((search.exactly(residuals, neighbour), neighbour) for neighbour in near)
            if better <= z:
                break
            z, window = better, candidate
    return FoundCrop(window, z, search.tried * _REACHED)


def _sizes(grid: Grid) -> Iterator[tuple[int, int]]:
    """Yield widths and heights in cells: equal shares of both, or the full width or height."""
    for width in range(grid.columns, int(_SMALLEST_PART * grid.columns), -1):
        yield width, round(width * grid.rows / grid.columns)
        if width < grid.columns:
            yield width, grid.rows
    for height in range(grid.rows - 1, int(_SMALLEST_PART * grid.rows), -1):
        yield grid.columns, height


class _Search:
    """Correlation of a part with the known cells of all periods, for all windows at integer positions at once."""

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

    def roughly(self, residuals: Map, width: int, height: int) -> tuple[float, CropWindow]:
        """Return score and position (to half a cell) of the best window of this size; count windows in ``tried``."""
        grid = self.grid
        high, wide = grid.rows - height + 1, grid.columns - width + 1
        best = -1.0, CropWindow(0, 0, width, height)
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
                if z > best[0]:
                    best = z, CropWindow(left + float(x), top + float(y), width, height)
        return best

    def exactly(self, residuals: Map, window: CropWindow) -> float:
        """Return the score of a window: the agreement of the known cells of the best period."""
        part = folded(placed(residuals, self.grid, window), self.grid)
        spread = float(np.sqrt((part * part * self._maps[PERIODS]).sum() + 1e-12))
        return float(np.tensordot(self._maps[:PERIODS], part, axes=2).max()) / spread
