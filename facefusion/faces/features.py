"""Detect hidden eyes, noses and mouths, even behind skin-coloured objects.

The mesh also fits a face behind a hand. A hand has the colour of a face, but no facial features.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, blur, enlarge, median, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, NOSE, OUTER_LIPS

# Widths of the compared frequency band and of the compared neighbourhood, in texels of an atlas of size 64.
BAND = (0.7, 6.0)
NEIGHBOURHOOD = 4.0
# The mesh lags behind a fast-moving face by a few hundredths of its size, so the best of these shifts (texels down,
# right) counts.
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
# Correlation with the mean face below which a feature is hidden, and the width of the transition above it. Measured
# without shifts against the mean of the other six example faces: 0.3 to 0.9 for eyes and noses in all lights, 0.1 to
# 0.8 for mouths, which move, and -0.3 to 0.15 behind a hand.
HIDDEN_EYES, HIDDEN_MOUTH, HIDDEN_WIDTH = 0.05, -0.1, 0.25
# The squared contrast of a neighbourhood relative to the mean face: 0.3 to 3 on faces, 4 with dark frames, 12 to 16
# with sunglasses. Relative to the median over the features of the face itself, it is at least 0.33 on features,
# including the mouth, and 0.07 on a mask.
STRONG = 2.5
FLAT, FLAT_WIDTH = 0.1, 0.15
BLACK, BLACK_WIDTH = 5.5, 3.5
# A feature is hidden if its visible share is below GONE. The share is at least 0.77 on the example faces in all lights,
# 0.04 behind a mask, and 0.5 where a hand hides half of the feature. Features with at most LEAST_SEEN texels on the
# visible side are skipped.
GONE, GONE_WIDTH = 0.3, 0.35
LEAST_SEEN = 8


class FeatureFinder:
    """Compares unrolled faces of 64 texels with the mean face by local correlation; immutable."""

    def __init__(self, masks: AtlasMasks, grid: AtlasGrid) -> None:
        self._size = grid.size
        self._inside = grid.inside
        self._mean = load_mean_look() * grid.inside
        self._energy = self._pool(self._mean * self._mean)
        self._around_eyes = masks.around_eyes
        mouth = blur(masks.polygon(OUTER_LIPS, round(3 * grid.size / 64)), 1.0)
        self._mouth = mouth > 0.5
        nose = blur(masks.polygon(NOSE), 1.0)
        self._zones = np.clip(np.maximum(masks.around_eyes, np.maximum(mouth, nose)), 0, 1)
        rings = ((OUTER_LIPS, 12), (EYE_IMAGE_LEFT, 8), (EYE_IMAGE_RIGHT, 8))
        self._surroundings = [
            (masks.polygon(ring, 1) > 0, blur(masks.polygon(ring, grow), 2.0) * grid.inside) for ring, grow in rings
        ]
        self._hidden = HIDDEN_EYES + (HIDDEN_MOUTH - HIDDEN_EYES) * mouth

    def hidden_share(self, visible: Floats, seen: Floats) -> float:
        """The share of the features on the side facing the camera that is hidden according to ``visible``."""
        zones = self._zones * (seen > 0.5)
        return float(((1 - visible) * (seen > 0.5)).sum() / max(float(zones.sum()), 1e-3))

    def visible(self, luma: Floats, seen: Floats, glasses: float = 0.0) -> Floats:
        """Return the visibility of ``find``."""
        return self.find(luma, seen, glasses)[0]

    def find(self, luma: Floats, seen: Floats, glasses: float = 0.0) -> tuple[Floats, float]:
        """Return visibility: 0 on hidden features and 1 elsewhere, float32 [n,n] in 0..1; and how much is a mouth.

        luma, seen: [n,n] in atlas layout. ``glasses``: confidence 0..1 that the face wears glasses; eyes behind them
        count as visible unless the lenses are black. The second value, 0..1, is that of a mouth with or without a
        moustache, which hides the mouth in the first one; it is 0 for a mask.
        """
        band = look(luma) * self._inside * seen
        energy = self._enlarge(self._pool(band * band) / (self._energy + 1e-5))
        known = (self._zones > 0.5) & (seen > 0.5)
        usual = np.float32(min(max(median(energy[known]) if known.any() else 1, 0.1), STRONG))
        alike = self._enlarge(np.max([self._correlate(band, shift) for shift in SHIFTS], axis=0))
        looks = smooth_step(np.asarray((alike - self._hidden) / HIDDEN_WIDTH, np.float32))
        shown = looks * smooth_step(np.asarray((energy / usual - FLAT) / FLAT_WIDTH, np.float32))
        shown = np.maximum(shown, glasses * self._around_eyes)
        shown = shown * (1 - smooth_step((energy - BLACK) / BLACK_WIDTH))
        visible = np.asarray(1 - (1 - shown) * self._zones * (seen > 0.5), np.float32)
        # A mask or hand that hides an entire feature also hides the skin around it.
        for feature, around in self._surroundings:
            there = feature & (seen > 0.5)
            if there.sum() > LEAST_SEEN:
                share = np.array([(float(visible[there].mean()) - GONE) / GONE_WIDTH], np.float32)
                visible *= 1 - (1 - smooth_step(share)) * around
        mouth = self._mouth & (seen > 0.5)
        if mouth.sum() <= LEAST_SEEN:
            return visible, 1.0
        signs = [(float(alike[mouth].mean()) - 0.08) / 0.12, (float(energy[mouth].mean()) / usual - FLAT) / FLAT_WIDTH]
        return visible, float(np.prod(smooth_step(np.array(signs, np.float32))))

    def _enlarge(self, values: Floats) -> Floats:
        return enlarge(np.asarray(values, np.float32), self._size, self._size)

    def _correlate(self, band: Floats, shift: tuple[int, int]) -> Floats:
        """Correlate each neighbourhood of the band, moved by ``shift``, with the mean face."""
        moved = np.roll(band, shift, (0, 1))
        norm = np.sqrt(self._pool(moved * moved) * self._energy) + 1e-3
        return np.asarray(self._pool(moved * self._mean) / norm, np.float32)

    def _pool(self, values: Floats) -> Floats:
        return blur(shrink(values, self._size // 2), NEIGHBOURHOOD / 2)


def load_mean_look() -> Floats:
    """The ``look`` of the mean face, float32 [64,64], symmetric; generated by ``scripts/make_face_tables.py``."""
    path = Path(__file__).parent / 'mean_look.json'
    return np.array(json.loads(path.read_text(encoding='utf-8')), np.float32) / np.float32(1000)


def look(luma: Floats) -> Floats:
    """The compared band of a luma atlas [64,64]: the difference of Gaussians of its logarithm."""
    tone = np.log(luma + 12)
    return np.asarray(blur(tone, BAND[0]) - blur(tone, BAND[1]), np.float32)
