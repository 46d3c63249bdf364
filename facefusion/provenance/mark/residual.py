"""What a reader looks at: a picture's luma on the map of a grid, without what its surroundings let expect.

Each sample is predicted from cells around it, by least squares over the picture, and what is left is divided by how
much is usually left nearby. So no single edge counts for much, and neighbours tell little of each other. All of this
depends on the picture alone, which the statistics in ``evidence.py`` rest on.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.planes import resize_plane
from facefusion.provenance.mark.pattern import SAMPLES, Grid

Map = NDArray[np.float32]

# Cells around one that predict it, in groups of equal weight: (columns, rows) away; mirrored ones are added.
_GROUPS = (((1, 0),), ((0, 1),), ((1, 1), (1, -1)), ((2, 0),), ((0, 2),), ((2, 1), (2, -1), (1, 2), (1, -2)))
# Code values that are added to the usual remainder: rounding and coding noise of a flat picture.
_FLOOR = 0.3
# Remainders count for no more than this many times the usual one.
_LIMIT = 1.8
# Samples, each way, that the usual remainder is taken from.
_NEARBY = 5


def residual(luma: NDArray[np.uint8], grid: Grid) -> Map:
    """The remainder of each sample, float32 [rows,columns] of ``grid.map_size``, from luma uint8 HxW of any size."""
    samples = _on_map(luma, grid)
    groups = np.stack([_group(samples, group) for group in _GROUPS])
    detail = samples - cv2.blur(samples, (5 * SAMPLES, 5 * SAMPLES))
    weights = np.float32(1) / (np.square(_around(detail)) + np.float32(_FLOOR**2))
    rest = _remainder(samples, groups, weights)
    return cast(Map, np.clip(rest / (_around(rest) + _FLOOR), -_LIMIT, _LIMIT))


def _on_map(luma: NDArray[np.uint8], grid: Grid) -> Map:
    wide, high = grid.map_size
    if luma.shape[0] < high or luma.shape[1] < wide:
        return cast(Map, cv2.resize(luma.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA))
    # Halvings round to whole code values, on pictures with many pixels to a sample alone.
    return cast(Map, resize_plane(luma, wide, high).astype(np.float32))


def _group(samples: Map, group: tuple[tuple[int, int], ...]) -> Map:
    """The mean of the samples at the group's places."""
    reach = 2 * SAMPLES
    high, wide = samples.shape
    padded = cv2.copyMakeBorder(samples, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    total = np.zeros_like(samples)
    for x, y in group:
        for sign in (1, -1):
            left, top = reach + sign * x * SAMPLES, reach + sign * y * SAMPLES
            total += padded[top : top + high, left : left + wide]
    return total / np.float32(2 * len(group))


def _remainder(samples: Map, groups: NDArray[np.float32], weights: Map) -> Map:
    inputs = (groups - samples)[:, 1::2, 1::2].reshape(len(groups), -1)
    weighted = inputs * weights[1::2, 1::2].reshape(-1)
    # Parts c that add up to 1 (a flat picture is predicted fully) and minimise the sum of (c . (group - sample))^2.
    matrix = (weighted @ inputs.T).astype(np.float64)
    matrix += np.eye(len(groups)) * (1e-3 * np.trace(matrix) / len(groups) + 1e-9)
    parts = np.linalg.solve(matrix, np.ones(len(groups)))
    parts = (parts / parts.sum()).astype(np.float32)
    return samples - np.tensordot(parts, groups, axes=1)


def _around(values: Map) -> Map:
    """Root mean square of the samples nearby."""
    return cast(Map, np.sqrt(np.maximum(cv2.blur(values * values, (_NEARBY, _NEARBY)), 0)))
