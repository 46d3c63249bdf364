"""Remove noise from still parts of a frame, because an upscaler turns noise into flicker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from facefusion.media.planes import Plane
from facefusion.processors.frame_enhancer.tiles import Values

# A neighbour that differs by this many levels of 255, averaged over a block, gets the weight 1/e.
_NOISE = 6.0
_BLOCK = (5, 5)
# A part counts as changed by an earlier processor when a block differs by more than this, on average.
_SAME = 0.05


def steadied(frame: Plane, original: Plane, neighbours: Sequence[Plane], strength: float) -> Plane:
    """Return ``frame`` with less noise where the clip stands still; all frames are [h,w,3] of one size and type.

    ``original`` is the unprocessed frame and ``neighbours`` are the unprocessed frames around it. Each neighbour has a
    weight that falls with its difference from ``original``. ``strength`` 0..1 is the share of the noise that is
    removed. Parts that earlier processors changed stay as they are: their neighbours show the unchanged target.
    """
    level = np.float32(np.iinfo(frame.dtype).max / 255)
    middle = original.astype(np.float32) / level
    total = np.ones(frame.shape[:2], np.float32)
    change = np.zeros_like(middle)
    for neighbour in neighbours:
        difference = neighbour.astype(np.float32) / level - middle
        weight = np.exp(-np.square(_block_mean(difference) / _NOISE))
        total += weight
        change += weight[..., None] * difference
    change *= np.float32(strength) / total[..., None]
    is_same = _block_mean(frame.astype(np.float32) / level - middle) <= _SAME
    change *= is_same[..., None]
    depth = cv2.CV_8U if frame.dtype == np.uint8 else cv2.CV_16U
    return cast(Plane, cv2.add(frame, change * level, dtype=depth))


def _block_mean(difference: Values) -> Values:
    """Return the mean absolute difference around each pixel, float32 [h,w]."""
    return cast(Values, cv2.blur(np.abs(difference).mean(axis=2), _BLOCK))
