"""The pattern of the invisible mark: the grid of an image, the order of its cells and their pseudo-random signs.

All random numbers come from SHAKE-256 of short names, so they do not depend on library versions.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.payload import CODED_BITS

# The key is public, so that any program can find the mark.
_KEY = 'facefusion-mark-1'
# The number of consecutive source frames with the same pattern, and the number of patterns.
PERIOD_FRAMES = 100
PERIODS = 8
# The cells change to the next pattern gradually, over this many frames, so that a static image does not flicker.
CHANGE_FRAMES = 10
# The number of sets of signs for the coded bits; the payload selects one.
FAMILIES = 16
# One cell in this many has a known sign, which does not depend on the payload.
_SYNC_SHARE = 5
# The maximum ratio of sides at which an image counts as square.
_SQUARE = 1.2
# The number of samples per cell, in each direction, in the map for embedding and reading.
SAMPLES = 2


class Grid(NamedTuple):
    """Columns and rows of cells over the whole image."""

    columns: int
    rows: int

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    @property
    def coded(self) -> int:
        """The number of cells with coded bits; the others are known."""
        return self.cells - self.cells // _SYNC_SHARE

    @property
    def map_size(self) -> tuple[int, int]:
        """Width and height of the map, which has ``SAMPLES`` x ``SAMPLES`` samples per cell."""
        return SAMPLES * self.columns, SAMPLES * self.rows


def grid_for(width: int, height: int) -> Grid:
    """Return the grid for images of this shape, with 14,400 cells. A resized image has the same grid."""
    shape = width / max(height, 1)
    if shape > _SQUARE:
        return Grid(160, 90)
    if shape < 1 / _SQUARE:
        return Grid(90, 160)
    return Grid(120, 120)


def period_of(number: int) -> int:
    """Return the number of the pattern of a source frame."""
    return number // PERIOD_FRAMES % PERIODS


def change_delays(grid: Grid) -> NDArray[np.uint8]:
    """Return the delay of each cell's change (row by row), 0 to 9 frames, in every period except the first."""
    return np.frombuffer(_stream(grid, 'change', grid.cells), np.uint8) % np.uint8(CHANGE_FRAMES)


def family_of(payload: bytes) -> int:
    """Return the number of the set of signs of a payload: the high half of its first byte."""
    return payload[0] >> 4


def cell_order(grid: Grid) -> NDArray[np.int64]:
    """Return the cells (row by row) in pseudo-random order: first the cells of the coded bits, then the known ones.

    The n-th coded cell of the order contains coded bit n mod 256.
    """
    words = np.frombuffer(_stream(grid, 'order', 8 * grid.cells), '<u8')
    return np.argsort(words, kind='stable')


def rounding_thresholds(grid: Grid) -> NDArray[np.float32]:
    """Return the number to add to each cell (row by row) before rounding down, float32, evenly spread in [0, 1).

    Only embedding needs these values.
    """
    words = np.frombuffer(_stream(grid, 'rounding', 8 * grid.cells), '<u8')
    return (np.argsort(np.argsort(words, kind='stable')) / grid.cells).astype(np.float32)


def coded_places(grid: Grid) -> NDArray[np.int64]:
    """Return the number of the coded bit in each coded cell, in order."""
    return np.arange(grid.coded) % CODED_BITS


def sync_signs(grid: Grid, period: int) -> NDArray[np.int8]:
    """Return the signs of the known cells, in order, int8 -1 or 1."""
    return _signs(grid, f'sync-{period}', grid.cells - grid.coded)


def coded_cell_signs(grid: Grid, period: int, family: int) -> NDArray[np.int8]:
    """Return the factors of the coded bits in the coded cells, in order, int8 -1 or 1."""
    return _signs(grid, f'coded-{period}-{family}', grid.coded)


def _signs(grid: Grid, name: str, count: int) -> NDArray[np.int8]:
    bits = np.unpackbits(np.frombuffer(_stream(grid, name, math.ceil(count / 8)), np.uint8))[:count]
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def _stream(grid: Grid, name: str, size: int) -> bytes:
    seed = f'{_KEY}/{grid.columns}x{grid.rows}/{name}'
    return hashlib.shake_256(seed.encode('ascii')).digest(size)
