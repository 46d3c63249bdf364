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
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    flip = np.ones(len(s))
    flip[-1] = np.sign(np.linalg.det(u @ vt))
    return float((s * flip).sum() / (a**2).sum()), u @ np.diag(flip) @ vt
