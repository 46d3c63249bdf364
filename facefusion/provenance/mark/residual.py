"""The residual of an image: its luma on the map of a grid, minus a prediction from its surroundings.

Each sample is predicted from nearby cells by least squares over the image, and its error is divided by the usual error
nearby. So no single edge dominates, and neighbours are nearly independent. The residual depends on the image alone, as
the statistics in ``evidence.py`` require.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.planes import resize_plane
from facefusion.provenance.mark.pattern import SAMPLES, Grid

Map = NDArray[np.float32]

# Offsets (columns, rows) of the cells that predict a sample, in groups of equal weight; opposite offsets are added.
_GROUPS = (((1, 0),), ((0, 1),), ((1, 1), (1, -1)), ((2, 0),), ((0, 2),), ((2, 1), (2, -1), (1, 2), (1, -2)))
# Code values added to the usual error, for rounding and coding noise of a flat image.
_FLOOR = 0.3
# The limit of an error, in multiples of the usual error.
_LIMIT = 1.8
# The width of the window in which the usual error is measured, in samples.
_NEARBY = 5


def residual(luma: NDArray[np.uint8], grid: Grid) -> Map:
    """Return the residuals of luma (uint8 HxW of any size), float32 [rows,columns] of ``grid.map_size``."""
    samples = _on_map(luma, grid)
    groups = np.stack([_group(samples, group) for group in _GROUPS])
    detail = samples - cv2.blur(samples, (5 * SAMPLES, 5 * SAMPLES))
    weights = np.float32(1) / (np.square(_around(detail)) + np.float32(_FLOOR**2))
    errors = _errors(samples, groups, weights)
    return cast(Map, np.clip(errors / (_around(errors) + _FLOOR), -_LIMIT, _LIMIT))


def _on_map(luma: NDArray[np.uint8], grid: Grid) -> Map:
    wide, high = grid.map_size
    if luma.shape[0] < high or luma.shape[1] < wide:
        return cast(Map, cv2.resize(luma.astype(np.float32), (wide, high), interpolation=cv2.INTER_AREA))
    # resize_plane rounds to integer code values, which is harmless here because a sample covers several pixels.
    return cast(Map, resize_plane(luma, wide, high).astype(np.float32))


def _group(samples: Map, group: tuple[tuple[int, int], ...]) -> Map:
    """Return the mean of the samples in the cells of the group."""
    reach = 2 * SAMPLES
    high, wide = samples.shape
    padded = cv2.copyMakeBorder(samples, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    total = np.zeros_like(samples)
    for x, y in group:
        for sign in (1, -1):
            left, top = reach + sign * x * SAMPLES, reach + sign * y * SAMPLES
            total += padded[top : top + high, left : left + wide]
    return total / np.float32(2 * len(group))


def _errors(samples: Map, groups: NDArray[np.float32], weights: Map) -> Map:
    inputs = (groups - samples)[:, 1::2, 1::2].reshape(len(groups), -1)
    weighted = inputs * weights[1::2, 1::2].reshape(-1)
    # The weights c of the groups minimise the sum of (c . (group - sample))^2. They add up to 1, so a flat image is
    # predicted exactly.
    matrix = (weighted @ inputs.T).astype(np.float64)
    matrix += np.eye(len(groups)) * (1e-3 * np.trace(matrix) / len(groups) + 1e-9)
    parts = np.linalg.solve(matrix, np.ones(len(groups)))
    parts = (parts / parts.sum()).astype(np.float32)
    return samples - np.tensordot(parts, groups, axes=1)


def _around(values: Map) -> Map:
    """Return the root mean square of the values around each sample."""
    return cast(Map, np.sqrt(np.maximum(cv2.blur(values * values, (_NEARBY, _NEARBY)), 0)))
