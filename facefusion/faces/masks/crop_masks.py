"""Masks of an aligned crop: float32 [B,B] in 0..1; the smallest value of all masks applies.

The masks are those of FaceFusion 3.8 (peer-models.md section 8).
"""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.options import expand_sides

# Indexes into the 68 points.
AREA_POINTS = MappingProxyType(
    {
        'upper-face': (0, 1, 2, *range(31, 36), *range(14, 27)),
        'lower-face': (*range(3, 14), *range(31, 36)),
        'mouth': tuple(range(48, 68)),
    }
)


def box_mask(size: int, blur: float, padding: tuple[int, ...]) -> Floats:
    """Return the mask of a box with soft edges; ``padding`` is top, right, bottom, left in percent of the crop."""
    amount = int(size * 0.5 * blur)
    edge = max(amount // 2, 1)
    top, right, bottom, left = (max(edge, int(size * side / 100)) for side in expand_sides(padding or (0,)))
    mask = np.zeros((size, size), np.float32)
    mask[top : size - bottom, left : size - right] = 1
    return mask if amount == 0 else np.asarray(cv2.GaussianBlur(mask, (0, 0), amount * 0.25), np.float32)


def area_mask(size: int, points: npt.NDArray[np.floating], areas: tuple[str, ...]) -> Floats:
    """Return the convex hull of the points of all ``areas``; points: [68,2] in crop pixels."""
    mask = np.zeros((size, size), np.float32)
    numbers = [number for area in areas for number in AREA_POINTS[area]]
    if numbers:
        cv2.fillConvexPoly(mask, cv2.convexHull(points[numbers].astype(np.int32)), (1.0,))
    return smoothed(mask)


def smoothed(mask: Floats) -> Floats:
    """Return a mask with a soft inner edge: half of a Gaussian of sigma 5."""
    blurred = cv2.GaussianBlur(np.clip(mask, 0, 1), (0, 0), 5)
    return np.asarray((np.clip(blurred, 0.5, 1) - 0.5) * 2, np.float32)
