"""Puts the mark into the luma of frames: how strong each spot may be, and the adding itself."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError
from facefusion.media.frame import Frame, PixelFrame
from facefusion.provenance.mark.pattern import (
    CHANGE_FRAMES,
    PERIOD_FRAMES,
    SAMPLES,
    Grid,
    cell_order,
    change_delays,
    coded_cell_signs,
    coded_places,
    family_of,
    grid_for,
    period_of,
    rounding_thresholds,
    sync_signs,
)
from facefusion.provenance.mark.payload import check_payload, coded_signs

Number = TypeVar('Number', bound=np.generic)

# A cell of fewer pixels, each way, cannot be told from its neighbours once a picture was compressed.
LEAST_CELL = 2
# Code values that a spot is moved by, from the activity around it (mean absolute difference of map samples from their
# surroundings, in code values): nothing in flat spots, else BASE + SLOPE x activity, at most LIMIT. Measured on the
# clips of benchmarks/invisible_mark.py: a higher base and a lower slope survive better at the same bit rate.
FLAT = 0.3
BASE = 0.55
SLOPE = 0.14
LIMIT = 3.0
# Cells below this many pixels are marked more strongly, up to a limit: compression leaves less of them.
_FULL_CELL = 5
_SMALL_GAIN = 1.8
# A still has one picture to be read from, and none after it that has to be coded.
_STILL_GAIN = 1.6
_STILL_FLAT = 0.2
# Patterns that one marker keeps: neighbouring periods, when workers are a segment apart.
_KEPT = 3
# A share of the picture below this carries nothing that could be read.
LEAST_SHARE = 0.05


def embed_grid(width: int, height: int) -> Grid | None:
    """The grid that pictures of this size are marked on; None when they are too small to carry a mark."""
    grid = grid_for(width, height)
    return grid if _cell(grid, width, height) >= LEAST_CELL else None


def _cell(grid: Grid, width: int, height: int) -> float:
    return min(width / grid.columns, height / grid.rows)


class Marker:
    """Marks frames of one size with one payload; safe to use from many threads.

    What a frame becomes depends on its pixels, its number, its size and the payload alone.
    """

    def __init__(self, payload: bytes, width: int, height: int) -> None:
        """``payload`` has 6 bytes (``mark_payload``); raises InternalError otherwise."""
        check_payload(payload)
        self.payload = payload
        self._size = (width, height)
        self.grid = embed_grid(width, height)
        self._coded = coded_signs(payload)
        self._patterns: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()
        if self.grid:
            self._gain = min(max(_FULL_CELL / _cell(self.grid, width, height), 1.0), _SMALL_GAIN)
            self._order = cell_order(self.grid)
            self._delays = _enlarged(change_delays(self.grid).reshape(self.grid.rows, self.grid.columns))
            thresholds = rounding_thresholds(self.grid).reshape(self.grid.rows, self.grid.columns)
            self._thresholds = _enlarged(thresholds)

    def mark(self, frame: Frame) -> float:
        """Marks a frame in place and gives the share of it (0 to 1) that carries the mark.

        Below ``LEAST_SHARE`` nothing is written: the frame is too small or too flat to carry anything.
        """
        strength = self._strength(frame)
        share = _share(strength)
        if strength is None or share == 0:
            return 0.0
        pattern = self._pattern_at(frame.number)
        up = cv2.resize(cv2.bitwise_and(strength, pattern), self._size, interpolation=cv2.INTER_LINEAR)
        down = cv2.resize(
            cv2.bitwise_and(strength, cv2.bitwise_not(pattern)), self._size, interpolation=cv2.INTER_LINEAR
        )
        frame.shift_luma(cast(NDArray[np.uint8], up), cast(NDArray[np.uint8], down))
        return share

    def capacity(self, frame: Frame) -> float:
        """What ``mark`` would return; the frame stays as it is."""
        return _share(self._strength(frame))

    def _strength(self, frame: Frame) -> NDArray[np.uint8] | None:
        """Code values that each sample of the map is moved by, uint8; None for pictures that are too small."""
        if (frame.width, frame.height) != self._size:
            raise InternalError('mark-size', f'a frame of {frame.width}x{frame.height} for a marker of {self._size}')
        if self.grid is None:
            return None
        activity = _activity(frame.luma_thumbnail(*self.grid.map_size))
        is_still = isinstance(frame, PixelFrame)
        gain = max(_STILL_GAIN, self._gain) if is_still else self._gain
        wanted = np.minimum(np.float32(gain) * (activity * np.float32(SLOPE) + np.float32(BASE)), np.float32(LIMIT))
        wanted += self._thresholds
        wanted[activity < (_STILL_FLAT if is_still else FLAT)] = 0
        # Rounding down, so that the thresholds of the cells decide what happens to fractions.
        return np.asarray(wanted, np.uint8)

    def _pattern_at(self, number: int) -> NDArray[np.uint8]:
        """255 where a frame's map is raised, 0 where it is lowered."""
        pattern = self._pattern(period_of(number))
        since = number % PERIOD_FRAMES
        if number < PERIOD_FRAMES or since >= CHANGE_FRAMES - 1:
            return pattern
        return np.where(self._delays > since, self._pattern(period_of(number - PERIOD_FRAMES)), pattern)

    def _pattern(self, period: int) -> NDArray[np.uint8]:
        """``_pattern_at`` of the frames whose cells are all in one period."""
        assert self.grid is not None
        with self._lock:
            if period in self._patterns:
                self._patterns.move_to_end(period)
                return self._patterns[period]
        pattern = _enlarged(np.where(self._signs(self.grid, period) > 0, 255, 0).astype(np.uint8))
        with self._lock:
            self._patterns[period] = pattern
            while len(self._patterns) > _KEPT:
                self._patterns.popitem(last=False)
        return pattern

    def _signs(self, grid: Grid, period: int) -> NDArray[np.int8]:
        signs = np.empty(grid.cells, np.int8)
        coded = self._coded[coded_places(grid)] * coded_cell_signs(grid, period, family_of(self.payload))
        signs[self._order] = np.concatenate([coded, sync_signs(grid, period)])
        return signs.reshape(grid.rows, grid.columns)


def _share(strength: NDArray[np.uint8] | None) -> float:
    """The part of a map that is not 0; 0 where it is too little to be read."""
    if strength is None:
        return 0.0
    share = float(np.count_nonzero(strength)) / strength.size
    return share if share >= LEAST_SHARE else 0.0


def _activity(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much is going on around each sample, in code values; the quieter side of an edge stays quiet."""
    samples = thumbnail.astype(np.float32)
    around = cv2.blur(cv2.absdiff(samples, cv2.blur(samples, (5, 5))), (3, 3))
    quiet = cv2.erode(around, np.ones((3, 3), np.uint8))
    return cast(NDArray[np.float32], cv2.blur(quiet, (3, 3)))


def _enlarged(cells: NDArray[Number]) -> NDArray[Number]:
    """A map of cells as a map of samples."""
    return cells.repeat(SAMPLES, axis=0).repeat(SAMPLES, axis=1)
