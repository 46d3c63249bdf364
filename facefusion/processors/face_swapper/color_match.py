"""Match the colours of a swapped crop to those of the target, by mean and spread in Lab (Reinhard et al. 2001)."""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.media.planes import Pixels

# A fifth of the crop is ignored on each side, because the rim of an aligned crop shows hair and background.
_PARTS = 5


def match_color(swapped: Floats, target: Pixels) -> Floats:
    """Return float32 HxWx3 BGR 0..255: ``swapped`` with the mean and the spread of ``target`` in L, a and b."""
    lab = _lab(swapped)
    wanted = _lab(target.astype(np.float32))
    for channel in range(3):
        mean, spread = _statistics(lab[..., channel])
        goal_mean, goal_spread = _statistics(wanted[..., channel])
        # A ratio beyond 2 would amplify noise.
        ratio = np.clip(goal_spread / max(spread, 1e-3), 0.5, 2)
        lab[..., channel] = (lab[..., channel] - mean) * ratio + goal_mean
    return np.clip(cv2.cvtColor(lab, cv2.COLOR_Lab2BGR), 0, 1) * np.float32(255)


def _lab(pixels: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(pixels / np.float32(255), cv2.COLOR_BGR2Lab), np.float32)


def _statistics(channel: Floats) -> tuple[float, float]:
    """Return the mean and standard deviation of the middle of a crop."""
    height, width = channel.shape
    part = channel[height // _PARTS : -(height // _PARTS), width // _PARTS : -(width // _PARTS)]
    return float(part.mean()), float(part.std())
