"""Smoothing of one track over time by finite symmetric windows.

At the ends of a run the window shrinks on both sides, so it stays symmetric and never reaches beyond the run.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS

# Half widths in frames. Landmarks: Savitzky-Golay of order 2, 7 wide, 5 on the lips, which move fastest
# (embedded-swap.md section 2). The others replace that prototype's moving averages of about the same memory.
LANDMARK_REACH = 3
LIP_REACH = 2
LIGHT_REACH = 3
FREE_REACH = 2
TRAIT_REACH = 12
QUICK_REACH = 3

# The points on the lips by how many landmarks there are: of the mesh, and of landmarkers with 68.
LIPS = MappingProxyType({468: np.array([*OUTER_LIPS, *INNER_LIPS]), 68: np.arange(48, 68)})


def savitzky_golay_weights(reach: int) -> Floats:
    """Weights [2 * reach + 1] of the value at the centre of a least-squares parabola (Savitzky and Golay 1964)."""
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    return np.asarray(np.linalg.pinv(np.vander(x, 3, increasing=True))[0], np.float32)


def smooth_landmarks(landmarks: Floats) -> Floats:
    """Landmarks float32 [n,p,3] of consecutive frames, smoothed; p is 468 or 68."""
    smooth = _savitzky_golay(landmarks, LANDMARK_REACH)
    lips = LIPS[landmarks.shape[1]]
    smooth[:, lips] = _savitzky_golay(landmarks[:, lips], LIP_REACH)
    return smooth


def smooth_mean(values: Floats, reach: int) -> Floats:
    """Mean with triangular weights over ``reach`` frames on both sides, of values [n,...]."""
    total = np.zeros_like(values, np.float32)
    weight = np.zeros(len(values), np.float32)
    for shift in range(-reach, reach + 1):
        low, high = max(0, -shift), min(len(values), len(values) - shift)
        # Symmetric: a frame takes part only when its mirror image about the centre exists as well.
        low, high = max(low, abs(shift)), min(high, len(values) - abs(shift))
        if low < high:
            share = np.float32(reach + 1 - abs(shift))
            total[low:high] += share * values[low + shift : high + shift]
            weight[low:high] += share
    return total / weight.reshape(-1, *[1] * (values.ndim - 1))


def smooth_lights_over_time(lights: Floats) -> Floats:
    """Pooled lights float32 [n,32,32,4] of consecutive frames, smoothed but for their brightness.

    That of each frame stays its own: a flash lasts one frame, and a face in the light of the frames beside it would
    look like something in front of itself.
    """
    smooth = smooth_mean(lights, LIGHT_REACH)
    for own, mean in zip(lights, smooth, strict=True):
        both = (own[..., 3] > 0.3) & (mean[..., 3] > 0.3)
        if both.any():
            brightness = (own[both, 0] / own[both, 3] + 1) / (mean[both, 0] / mean[both, 3] + 1)
            mean[..., :3] *= np.float32(np.median(brightness))
    return smooth


def _savitzky_golay(values: Floats, reach: int) -> Floats:
    count = len(values)
    smooth = values.astype(np.float32, copy=True)
    for width in range(1, reach + 1):
        weights = savitzky_golay_weights(width)
        # Frames whose window is exactly ``width`` wide; the widest serves all of the middle.
        if width < reach:
            centres = sorted({width, count - 1 - width})
            centres = [centre for centre in centres if min(centre, count - 1 - centre) == width]
        else:
            centres = list(range(reach, count - reach))
        if centres:
            first = np.array(centres) - width
            smooth[centres] = sum(weights[k] * values[first + k] for k in range(2 * width + 1))
    return smooth
