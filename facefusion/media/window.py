"""Windows of a frame, and the scale between two frames."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

_Points = TypeVar('_Points', bound=NDArray[Any])


class Window(NamedTuple):
    """A rectangle of display pixels: x0 <= x < x1, y0 <= y < y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def is_empty(self) -> bool:
        """Whether the window has no pixels."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def clipped(self, width: int, height: int) -> Window:
        """Return the part inside a frame of ``width`` x ``height``; may be empty, never inverted."""
        x0, y0 = min(max(self.x0, 0), width), min(max(self.y0, 0), height)
        return Window(x0, y0, max(min(self.x1, width), x0), max(min(self.y1, height), y0))


class Scale(NamedTuple):
    """The number of pixels of a frame for each pixel of the target, across and down."""

    x: float
    y: float

    def place(self, points: _Points) -> _Points:
        """Return points of the target (float [..., 2] or [..., 3], x y z; integers are pixel centres) in the frame."""
        factors = np.array([self.x, self.y, self.x], points.dtype)
        # The origin of depth is arbitrary; that of x and y is the corner of the first pixel, which does not move.
        offset = np.array([(self.x - 1) / 2, (self.y - 1) / 2, 0], points.dtype)
        count = points.shape[-1]
        return cast(_Points, points * factors[:count] + offset[:count])
