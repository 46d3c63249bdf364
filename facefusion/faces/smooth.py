"""Smoothing of one track over time by finite symmetric windows.

At the ends of a sequence of frames the window shrinks on both sides, so it stays symmetric and inside the sequence.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from facefusion.faces.atlas import median
from facefusion.faces.face import Floats
from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS

# Half widths in frames. Landmarks: Savitzky-Golay of order 2, 7 frames wide, but 5 on the lips, which move
# fastest (embedded-swap.md section 2). The other windows replace the prototype's moving averages and cover about the
# same time.
LANDMARK_REACH = 3
LIP_REACH = 2
LIGHT_REACH = 3
FREE_REACH = 2
TRAIT_REACH = 12
QUICK_REACH = 3

# The points on the lips by the number of landmarks: for the mesh (468) and for published landmarkers.
LIPS = MappingProxyType({468: np.array([*OUTER_LIPS, *INNER_LIPS]), 68: np.arange(48, 68), 80: np.arange(48, 68)})


def savitzky_golay_weights(reach: int) -> Floats:
    """Weights [2 * reach + 1] of the value at the centre of a least-squares parabola (Savitzky and Golay 1964)."""
    x = np.arange(-reach, reach + 1, dtype=np.float64)
    return np.asarray(np.linalg.pinv(np.vander(x, 3, increasing=True))[0], np.float32)


def smooth_landmarks(landmarks: Floats) -> Floats:
    """Smooth landmarks float32 [n,p,3] of consecutive frames; p is 468, 80 or 68."""
    smooth = _savitzky_golay(landmarks, LANDMARK_REACH)
    lips = LIPS[landmarks.shape[1]]
    smooth[:, lips] = _savitzky_golay(landmarks[:, lips], LIP_REACH)
    return smooth


def smooth_mean(values: Floats, reach: int) -> Floats:
    """Mean of values [n,...] with triangular weights over ``reach`` frames on both sides."""
    total = np.zeros_like(values, np.float32)
    weight = np.zeros(len(values), np.float32)
    for shift in range(-reach, reach + 1):
        # The window stays symmetric: a frame counts only if its mirror image about the centre exists.
        low, high = abs(shift), len(values) - abs(shift)
        if low < high:
            share = np.float32(reach + 1 - abs(shift))
            total[low:high] += share * values[low + shift : high + shift]
            weight[low:high] += share
    return total / weight.reshape(-1, *[1] * (values.ndim - 1))


def smooth_lights_over_time(lights: Floats) -> Floats:
    """Smooth pooled lights float32 [n,32,32,4] of consecutive frames, except for their brightness.

    The brightness of each frame is unchanged, because a flash lasts one frame: with the light of the neighbouring
    frames, the face would be measured as covered.
    """
    smooth = smooth_mean(lights, LIGHT_REACH)
    for own, mean in zip(lights, smooth, strict=True):
        both = (own[..., 3] > 0.3) & (mean[..., 3] > 0.3)
        if both.any():
            brightness = (own[both, 0] / own[both, 3] + 1) / (mean[both, 0] / mean[both, 3] + 1)
            mean[..., :3] *= np.float32(median(brightness))
    return smooth


def _savitzky_golay(values: Floats, reach: int) -> Floats:
    frames = np.arange(len(values))
    widths = np.minimum(np.minimum(frames, frames[::-1]), reach)
    smooth = values.astype(np.float32, copy=True)
    for width in range(1, reach + 1):
        weights, centres = savitzky_golay_weights(width), np.flatnonzero(widths == width)
        smooth[centres] = sum(weights[k] * values[centres - width + k] for k in range(2 * width + 1))
    return smooth
