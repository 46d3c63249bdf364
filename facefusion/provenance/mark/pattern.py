"""Which cell of a picture carries what: the grid, the order of its cells and their pseudo-random signs.

All chance comes from SHAKE-256 over short names, so that it is the same for every version of every library.
"""

from __future__ import annotations

import hashlib
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.provenance.mark.payload import CODED_BITS

# A public name: whoever knows it can find the mark, and that is what it is for.
KEY = 'facefusion-mark-1'
# Source frames that share a pattern, and patterns that take turns.
PERIOD_FRAMES = 100
PERIODS = 8
# Frames over which the cells go to the next pattern, some with each: a picture that stands still must not twitch.
CHANGE_FRAMES = 10
# Sets of signs for the coded bits; a payload says which one it uses.
FAMILIES = 16
# One cell in this many is known beforehand, whatever the payload.
SYNC_SHARE = 5
# Where a picture counts as upright, square or wide: width by height.
_SQUARE = 1.2
# Samples of a cell in the map that is embedded from and read from, each way.
SAMPLES = 2


class Grid(NamedTuple):
    """Columns and rows of cells over the whole picture."""

    columns: int
    rows: int

    @property
    def cells(self) -> int:
        return self.columns * self.rows

    @property
    def coded(self) -> int:
        """Cells that carry the coded bits; the others are known beforehand."""
        return self.cells - self.cells // SYNC_SHARE

    @property
    def map_size(self) -> tuple[int, int]:
        """Width and height of the map that has ``SAMPLES`` x ``SAMPLES`` samples a cell."""
        return SAMPLES * self.columns, SAMPLES * self.rows


def grid_for(width: int, height: int) -> Grid:
    """The grid of pictures of this shape; 14,400 cells each. A picture that is resized keeps its grid."""
    shape = width / max(height, 1)
    if shape > _SQUARE:
        return Grid(160, 90)
    if shape < 1 / _SQUARE:
        return Grid(90, 160)
    return Grid(120, 120)


def period_of(number: int) -> int:
    """Which of the patterns a source frame carries."""
    return number // PERIOD_FRAMES % PERIODS


def change_delays(grid: Grid) -> NDArray[np.uint8]:
    """Frames after a period began at which each cell (row by row) takes its sign, 0 to 9; not in the first period."""
    return np.frombuffer(_stream(grid, 'change', grid.cells), np.uint8) % np.uint8(CHANGE_FRAMES)


def family_of(payload: bytes) -> int:
    """The set of signs that a payload uses: the high half of its first byte."""
    return payload[0] >> 4


def cell_order(grid: Grid) -> NDArray[np.int64]:
    """The cells (row by row) in pseudo-random order: first those of the coded bits, then the known ones.

    The n-th cell of the order carries coded bit n mod 256.
    """
    words = np.frombuffer(_stream(grid, 'order', 8 * grid.cells), '<u8')
    return np.argsort(words, kind='stable')


def rounding_thresholds(grid: Grid) -> NDArray[np.float32]:
    """Where each cell (row by row) is rounded up: float32 from 0 to below 1, even; only embedding needs them."""
    words = np.frombuffer(_stream(grid, 'rounding', 8 * grid.cells), '<u8')
    return (np.argsort(np.argsort(words, kind='stable')) / grid.cells).astype(np.float32)


def coded_places(grid: Grid) -> NDArray[np.int64]:
    """The coded bit that each of the cells in front of the order carries."""
    return np.arange(grid.coded) % CODED_BITS


def sync_signs(grid: Grid, period: int) -> NDArray[np.int8]:
    """Signs of the known cells, in the order's order, int8 -1 or 1."""
    return _signs(grid, f'sync-{period}', grid.cells - grid.coded)


def coded_cell_signs(grid: Grid, period: int, family: int) -> NDArray[np.int8]:
    """What the coded bits are multiplied with, in the order's order, int8 -1 or 1."""
    return _signs(grid, f'coded-{period}-{family}', grid.coded)


def _signs(grid: Grid, name: str, count: int) -> NDArray[np.int8]:
    bits = np.unpackbits(np.frombuffer(_stream(grid, name, math.ceil(count / 8)), np.uint8))[:count]
    return (2 * bits.astype(np.int8) - 1).astype(np.int8)


def _stream(grid: Grid, name: str, size: int) -> bytes:
    seed = f'{KEY}/{grid.columns}x{grid.rows}/{name}'
    return hashlib.shake_256(seed.encode('ascii')).digest(size)
