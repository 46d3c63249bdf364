"""Least-squares similarity transforms between point sets (Umeyama 1991)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Points = npt.NDArray[np.float32] | Doubles


def fit_similarity(points: Points, goal: Points) -> Doubles:
    """The similarity [d,d+1] that moves points [n,d] closest to goal [n,d]."""
    a, b = points.astype(np.float64), goal.astype(np.float64)
    scale, rotation = scale_and_rotation(a, b)
    turn = scale * rotation
    return np.hstack([turn, (b.mean(0) - turn @ a.mean(0))[:, None]])


def scale_and_rotation(points: Points, goal: Points) -> tuple[float, Doubles]:
    """The scale and the rotation [d,d] of the similarity that ``fit_similarity`` returns."""
    a, b = points.astype(np.float64), goal.astype(np.float64)
    a -= a.sum(0) / len(a)
    b -= b.sum(0) / len(b)
    u, s, vt = np.linalg.svd(b.T @ a)
    if _determinant(u @ vt) < 0:
        s[-1], u[:, -1] = -s[-1], -u[:, -1]
    return float(s.sum() / (a * a).sum()), u @ vt


def _determinant(matrix: Doubles) -> float:
    if len(matrix) != 3:
        return float(np.linalg.det(matrix))
    # For three dimensions, numpy's overhead is many times the work.
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
