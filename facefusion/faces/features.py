"""Whether eyes, nose and mouth are where the mesh says: something of the skin's own colour may be in front of them.

The mesh lays itself on what it expects behind a hand, and a hand has the colour of the face; but it has no eyes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.topology import NOSE, OUTER_LIPS

# Widths in texels of 64: of the band in which faces are compared, and of the neighbourhood that is compared.
BAND = (0.7, 6.0)
NEIGHBOURHOOD = 4.0
# The mesh lags by a few hundredths of the face when it moves fast: the best of these moves (texels down, right) counts.
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
# Correlation with the mean face below which a feature is hidden, and the width above it. Before the moves, with a mean
# of the other six example faces, eyes and noses reach 0.3 to 0.9 in all lights, mouths, which move, 0.1 to 0.8; behind
# a hand -0.3 to 0.15.
HIDDEN_EYES, HIDDEN_MOUTH, HIDDEN_WIDTH = 0.05, -0.1, 0.25


class FeatureFinder:
    """Compares unrolled faces of 64 texels with the mean face, by correlation in neighbourhoods; immutable."""

    def __init__(self, masks: AtlasMasks, grid: AtlasGrid) -> None:
        self._size = grid.size
        self._inside = grid.inside
        self._mean = load_mean_look() * grid.inside
        self._energy = self._pool(self._mean * self._mean)
        mouth = blur(masks.polygon(OUTER_LIPS, round(3 * grid.size / 64)), 1.0)
        nose = blur(masks.polygon(NOSE), 1.0)
        self._zones = np.clip(np.maximum(masks.around_eyes, np.maximum(mouth, nose)), 0, 1)
        self._hidden = HIDDEN_EYES + (HIDDEN_MOUTH - HIDDEN_EYES) * mouth

    def hidden_share(self, visible: Floats, seen: Floats) -> float:
        """The share of the features that are on the side to be seen that ``visible`` says are hidden."""
        zones = self._zones * (seen > 0.5)
        return float(((1 - visible) * (seen > 0.5)).sum() / max(float(zones.sum()), 1e-3))

    def visible(self, luma: Floats, seen: Floats) -> Floats:
        """0..1, float32 [n,n]: 0 on features that are hidden, 1 elsewhere, of atlas ``luma`` and ``seen`` [n,n]."""
        band = look(luma) * self._inside * seen
        alike = enlarge(np.max([self._correlate(band, shift) for shift in SHIFTS], axis=0), self._size, self._size)
        shown = smooth_step(np.asarray((alike - self._hidden) / HIDDEN_WIDTH, np.float32))
        return np.asarray(1 - (1 - shown) * self._zones * (seen > 0.5), np.float32)

    def _correlate(self, band: Floats, shift: tuple[int, int]) -> Floats:
        """Correlation of each neighbourhood with that of the mean face, of a band that is moved by ``shift``."""
        moved = np.roll(band, shift, (0, 1))
        norm = np.sqrt(self._pool(moved * moved) * self._energy) + 1e-3
        return np.asarray(self._pool(moved * self._mean) / norm, np.float32)

    def _pool(self, values: Floats) -> Floats:
        return blur(shrink(values, self._size // 2), NEIGHBOURHOOD / 2)


def load_mean_look() -> Floats:
    """The ``look`` of the mean face, float32 [64,64], symmetric; made by ``scripts/make_face_tables.py``."""
    path = Path(__file__).parent / 'mean_look.json'
    return np.array(json.loads(path.read_text(encoding='utf-8')), np.float32) / np.float32(1000)


def look(luma: Floats) -> Floats:
    """The band of a luma atlas [64,64] in which faces are compared: differences of Gaussians of its logarithm."""
    tone = np.log(luma + 12)
    return np.asarray(blur(tone, BAND[0]) - blur(tone, BAND[1]), np.float32)
