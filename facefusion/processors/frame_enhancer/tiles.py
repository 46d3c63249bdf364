"""Enlarge a frame in tiles that overlap, with reflected borders and seams that fade into each other.

The grid is that of peer-models.md section 12.8: tiles of T pixels begin every T - 2 * overlap pixels, the first one at
-(padding + overlap). FaceFusion 3.8 puts zeros outside the frame and cuts the tiles side by side. Zeros darken the
outermost pixels (real-models.md section 2), so borders are reflected here; and a seam fades over half of the overlap on
each side, so that each pixel keeps at least the other half as its context.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facefusion.media.planes import Plane

Values = NDArray[np.float32]
# Enlarges tiles [h,w,3] BGR of one size, uint8 or uint16, to float32 [n,s*h,s*w,3] BGR 0..1.
Enlarge = Callable[[Sequence[Plane]], Values]


class TileRule(NamedTuple):
    """Side of a tile, padding at the left and upper border, and overlap on each side of a tile, in pixels.

    ``is_fixed``: the network takes only tiles of this side; otherwise tiles are as small as the frame allows.
    """

    side: int
    padding: int
    overlap: int
    is_fixed: bool = True


class Axis(NamedTuple):
    """The tiles along one side of a frame of ``length`` pixels.

    Tile k is responsible for the pixels from ``start + k * inner`` to ``start + (k + 1) * inner`` and reaches
    ``overlap`` pixels beyond them on both sides. At a seam two tiles fade into each other over ``fade`` pixels on each
    side.
    """

    length: int
    start: int
    inner: int
    tiles: int
    overlap: int
    fade: int

    @property
    def side(self) -> int:
        """The size of a tile."""
        return self.inner + 2 * self.overlap

    def first(self, number: int) -> int:
        """Return the first pixel of a tile; it may be outside the frame."""
        return self.start + number * self.inner - self.overlap

    def shown(self, number: int) -> tuple[int, int]:
        """Return the range of pixels that a tile contributes to, within the frame."""
        cut = self.start + number * self.inner
        low = cut - self.fade if number else 0
        high = cut + self.inner + self.fade if number < self.tiles - 1 else self.length
        return max(low, 0), min(high, self.length)

    def weights(self, number: int, scale: int) -> Values:
        """Return the weights of a tile for the enlarged pixels of ``shown``; those of neighbours add up to 1."""
        low, high = self.shown(number)
        centres = (np.arange(low * scale, high * scale) + 0.5) / scale
        weights = np.ones(len(centres))
        cut = self.start + number * self.inner
        if self.fade and number:
            weights *= np.clip((centres - cut + self.fade) / (2 * self.fade), 0, 1)
        if self.fade and number < self.tiles - 1:
            weights *= np.clip((cut + self.inner + self.fade - centres) / (2 * self.fade), 0, 1)
        return weights.astype(np.float32)

    def part(self, number: int, scale: int) -> slice:
        """Return the pixels of the enlarged tile that belong to ``shown``."""
        low, high = self.shown(number)
        first = self.first(number)
        return slice((low - first) * scale, (high - first) * scale)


def axis_of(length: int, rule: TileRule) -> Axis:
    """Return the tiles along a side of ``length`` pixels."""
    inner = rule.side - 2 * rule.overlap
    count = math.ceil((length + rule.padding) / inner)
    if not rule.is_fixed:
        inner = math.ceil((length + rule.padding) / count)
        count = math.ceil((length + rule.padding) / inner)
    return Axis(length, -rule.padding, inner, count, rule.overlap, rule.overlap // 2)


class Band(NamedTuple):
    """Finished rows of an enlarged frame: those of the rows ``start`` to ``stop`` (exclusive) of the frame.

    ``values`` is float32 [scale * (stop - start),scale * width,3], BGR 0..1.
    """

    start: int
    stop: int
    values: Values


def enlarged_bands(
    frame: Plane, enlarge: Enlarge, rule: TileRule, scale: int, batch: int
) -> Generator[Band, None, None]:
    """Yield an enlarged frame from top to bottom. ``frame``: [h,w,3] BGR, uint8 or uint16.

    ``enlarge`` is called with ``batch`` tiles, or fewer at the end of a row.
    """
    down, across = axis_of(frame.shape[0], rule), axis_of(frame.shape[1], rule)
    waiting = np.empty((0, scale * across.length, 3), np.float32)
    done = 0
    for row in range(down.tiles):
        low, high = down.shown(row)
        strip = np.zeros((scale * (high - low), scale * across.length, 3), np.float32)
        for first in range(0, across.tiles, batch):
            numbers = range(first, min(first + batch, across.tiles))
            windows = [(down.first(row), across.first(number), down.side, across.side) for number in numbers]
            results = enlarge([reflected_window(frame, *window) for window in windows])
            for number, result in zip(numbers, results, strict=True):
                part = result[down.part(row, scale), across.part(number, scale)]
                left, right = across.shown(number)
                strip[:, scale * left : scale * right] += across.weights(number, scale)[:, None] * part
        strip *= down.weights(row, scale)[:, None, None]
        strip[: len(waiting)] += waiting
        # The next row of tiles adds to the rows from here on.
        stop = down.shown(row + 1)[0] if row < down.tiles - 1 else high
        if stop > done:
            yield Band(done, stop, strip[: scale * (stop - low)])
        waiting, done = strip[scale * (stop - low) :].copy(), stop


def reflected_window(frame: Plane, top: int, left: int, height: int, width: int) -> Plane:
    """Return a window of a frame [h,w,3] that may exceed it, also by several times its size.

    Outside the frame its pixels are reflected; the border itself is not repeated.
    """
    rows = _reflected(np.arange(top, top + height), frame.shape[0])
    columns = _reflected(np.arange(left, left + width), frame.shape[1])
    return frame[rows[:, None], columns]


def _reflected(positions: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """Return the position inside 0 .. length - 1 of each position."""
    period = max(2 * (length - 1), 1)
    positions = np.abs(positions) % period
    return np.minimum(positions, period - positions) if length > 1 else np.zeros_like(positions)
