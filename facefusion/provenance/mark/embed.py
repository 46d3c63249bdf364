"""Embed the invisible mark into the luma of frames, more strongly where the image hides it better."""

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
from facefusion.provenance.mark.payload import coded_signs

Number = TypeVar('Number', bound=np.generic)

# The minimum width and height of a cell in pixels; smaller cells cannot be distinguished after compression.
_SMALLEST_CELL = 2
# The change of a sample in code values, by the activity around it (mean absolute difference of map samples from their
# surroundings, in code values): 0 below FLAT, else BASE + SLOPE x activity, at most LIMIT. On the clips of
# benchmarks/invisible_mark.py, marks with a higher base and a lower slope survived better at the same bit rate.
_FLAT = 0.3
_BASE = 0.55
_SLOPE = 0.14
_LIMIT = 3.0
# Cells smaller than this many pixels get a stronger mark, up to a limit, because compression damages them more.
_FULL_CELL = 5
_SMALL_GAIN = 1.8
# The mark of an image is stronger, because a reader cannot add up several frames, and because no later frame is
# predicted from the image.
_STILL_GAIN = 1.6
_STILL_FLAT = 0.2
# The number of cached patterns: worker threads on neighbouring segments may need neighbouring periods.
_CACHED = 3
# The minimum marked share of the image; a mark in a smaller share would not be readable.
_SMALLEST_SHARE = 0.05


class Marker:
    """A thread-safe writer of one payload into frames of one size.

    The result depends only on the pixels, the number and the size of the frame and on the payload.
    """

    def __init__(self, payload: bytes, width: int, height: int) -> None:
        """``payload`` has 6 bytes (``mark_payload``). Raises InternalError mark-payload otherwise."""
        self.payload = payload
        self._coded = coded_signs(payload)
        self._size = (width, height)
        self._patterns: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._lock = Lock()
        grid = grid_for(width, height)
        cell = min(width / grid.columns, height / grid.rows)
        # The grid is None for images that are too small.
        self._grid = grid if cell >= _SMALLEST_CELL else None
        if self._grid:
            self._gain = min(max(_FULL_CELL / cell, 1.0), _SMALL_GAIN)
            self._order = cell_order(grid)
            self._delays = _enlarged(change_delays(grid).reshape(grid.rows, grid.columns))
            self._thresholds = _enlarged(rounding_thresholds(grid).reshape(grid.rows, grid.columns))

    def mark(self, frame: Frame) -> float:
        """Mark a frame in place, and return the share of it (0 to 1) that contains the mark.

        A frame that is too small or too flat is unchanged, with a share of 0.
        """
        if (frame.width, frame.height) != self._size:
            raise InternalError('mark-size', f'a frame of {frame.width}x{frame.height} for a marker of {self._size}')
        if self._grid is None:
            return 0.0
        strength = self._strength(frame, self._grid)
        share = float(np.count_nonzero(strength)) / strength.size
        if share < _SMALLEST_SHARE:
            return 0.0
        pattern = self._pattern_at(frame.number, self._grid)
        up = cv2.resize(cv2.bitwise_and(strength, pattern), self._size, interpolation=cv2.INTER_LINEAR)
        down = cv2.resize(
            cv2.bitwise_and(strength, cv2.bitwise_not(pattern)), self._size, interpolation=cv2.INTER_LINEAR
        )
        frame.shift_luma(cast(NDArray[np.uint8], up), cast(NDArray[np.uint8], down))
        return share

    def _strength(self, frame: Frame, grid: Grid) -> NDArray[np.uint8]:
        """Return the change of each sample of the map in code values, uint8."""
        activity = _activity(frame.luma_thumbnail(*grid.map_size))
        is_still = isinstance(frame, PixelFrame)
        gain = max(_STILL_GAIN, self._gain) if is_still else self._gain
        change = np.minimum(np.float32(gain) * (activity * np.float32(_SLOPE) + np.float32(_BASE)), np.float32(_LIMIT))
        change += self._thresholds
        change[activity < (_STILL_FLAT if is_still else _FLAT)] = 0
        # Rounding down makes the threshold of a cell decide whether a fraction becomes a whole code value.
        return np.asarray(change, np.uint8)

    def _pattern_at(self, number: int, grid: Grid) -> NDArray[np.uint8]:
        """Return 255 where the map of a frame is raised, 0 where it is lowered."""
        pattern = self._pattern(period_of(number), grid)
        since = number % PERIOD_FRAMES
        if number < PERIOD_FRAMES or since >= CHANGE_FRAMES - 1:
            return pattern
        return np.where(self._delays > since, self._pattern(period_of(number - PERIOD_FRAMES), grid), pattern)

    def _pattern(self, period: int, grid: Grid) -> NDArray[np.uint8]:
        """Return the pattern of frames whose cells all belong to one period."""
        with self._lock:
            if period in self._patterns:
                self._patterns.move_to_end(period)
                return self._patterns[period]
        signs = np.empty(grid.cells, np.int8)
        coded = self._coded[coded_places(grid)] * coded_cell_signs(grid, period, family_of(self.payload))
        signs[self._order] = np.concatenate([coded, sync_signs(grid, period)])
        pattern = _enlarged(np.where(signs.reshape(grid.rows, grid.columns) > 0, 255, 0).astype(np.uint8))
        with self._lock:
            self._patterns[period] = pattern
            while len(self._patterns) > _CACHED:
                self._patterns.popitem(last=False)
        return pattern


def _activity(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the activity around each sample, in code values; a flat area next to an edge counts as flat."""
    samples = thumbnail.astype(np.float32)
    around = cv2.blur(cv2.absdiff(samples, cv2.blur(samples, (5, 5))), (3, 3))
    quiet = cv2.erode(around, np.ones((3, 3), np.uint8))
    return cast(NDArray[np.float32], cv2.blur(quiet, (3, 3)))


def _enlarged(cells: NDArray[Number]) -> NDArray[Number]:
    """Return a map of cells as a map of samples."""
    return cells.repeat(SAMPLES, axis=0).repeat(SAMPLES, axis=1)
