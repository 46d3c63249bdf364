"""Measure around the eyes of an unrolled face how open the eyes are, and whether glasses have a dark frame."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import AtlasMasks, quantile, smooth_number
from facefusion.faces.face import Floats
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, MeshTopology

# The 10th and 90th percentile of luma between the lids differ by 0.4 to 0.7 of the skin's luma on open eyes, and by
# 0.15 to 0.35 on closed and squinting eyes.
CLOSED_SPREAD, SPREAD_WIDTH = 0.25, 0.25
# Ratio of the darkest row of a strip of skin to its median row: across the nose it is 0.83 to 0.99 without glasses and
# 0.46 to 0.64 with dark frames; under the eyes it is 0.83 to 0.99 without and 0.20 to 0.28 with them.
BRIDGE_LINE, RIM_LINE = (0.72, 0.10), (0.75, 0.20)


class EyeRegion:
    """Measures luma [n,n] of atlases of one size around the eyes; immutable."""

    def __init__(self, topology: MeshTopology, masks: AtlasMasks, size: int) -> None:
        rings = (masks.polygon(ring) > 0 for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT))
        self._rings = tuple(np.flatnonzero(ring.ravel()) for ring in rings)
        eyes, between = topology.eyes(size)
        unit = float(eyes[1][0] - eyes[0][0])
        level = float(eyes[0][1] + eyes[1][1]) / 2
        left, right = (round(float(x)) for x in between)
        self._bridge = _strip(level - 0.2 * unit, level + 0.3 * unit, left + 1, right - 1)
        self._under = [
            _strip(y + 0.22 * unit, y + 0.65 * unit, x - 0.25 * unit, x + 0.25 * unit)
            for x, y in (eye.tolist() for eye in eyes)
        ]

    def open_eyes(self, luma: Floats, skin: float) -> tuple[float, float]:
        """Return how far the eyes at image left and right are open, 0 to 1, by contrast; ``skin`` is the skin's luma.

        The landmarks of the mesh hardly change in a blink (embedded-swap.md section 2).
        """
        spreads = []
        for ring in self._rings:
            ordered = np.sort(luma.ravel()[ring])
            spread = quantile(ordered, 0.9) - quantile(ordered, 0.1)
            spreads.append(smooth_number((spread / max(skin, 8.0) - CLOSED_SPREAD) / SPREAD_WIDTH))
        return spreads[0], spreads[1]

    def dark_frame(self, luma: Floats) -> float:
        """Confidence 0..1 that a dark line crosses the nose between the eyes and runs under one eye."""
        smooth = np.asarray(cv2.blur(luma, (3, 1)), np.float32)
        # The line must be dark along 70 % of the way across the nose, and along half of the way under the eye.
        bridge = quantile(np.sort(_darkest(smooth[self._bridge])), 0.7)
        rim = min(quantile(np.sort(_darkest(smooth[under])), 0.5) for under in self._under)
        line, under_eye = (BRIDGE_LINE[0] - bridge) / BRIDGE_LINE[1], (RIM_LINE[0] - rim) / RIM_LINE[1]
        return smooth_number(line) * smooth_number(under_eye)


def _strip(top: float, bottom: float, left: float, right: float) -> tuple[slice, slice]:
    return slice(round(top), round(bottom)), slice(round(left), round(right))


def _darkest(strip: Floats) -> npt.NDArray[np.float32]:
    """The ratio of the darkest to the median value of each column; near 1 for columns that are almost black."""
    ordered = np.sort(strip, axis=0)
    middle = (ordered[(len(strip) - 1) // 2] + ordered[len(strip) // 2]) / 2
    return np.asarray(1 - (middle - ordered[0]) / np.maximum(middle, 8), np.float32)
