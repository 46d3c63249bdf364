"""Find hair, hands and other things that cover the skin of a face, in its unrolled image.

Method and constants: embedded-swap.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, blur, enlarge, median, shrink, smooth_step
from facefusion.faces.face import Bools, Bytes, Floats
from facefusion.faces.topology import MeshTopology

# Added to luma in ratios of chroma to luma, to bound the ratios of dark texels.
CHROMA_FLOOR = 12.0
# A texel at least this many robust deviations away from skin counts as covered.
FOREIGN = 1.25
# The minimum number of visible texels in the face's centre at atlas size 128; with twice as many the result has full
# weight.
LEAST_CORE = 150


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """The coverage of a face.

    ``visibility``: float32 [n,n] in 0..1, 1 where the skin is uncovered. ``forehead``: the share of the forehead that
    looks like skin.
    """

    visibility: Floats
    forehead: float


class CoverageFinder:
    """Finds coverage in atlases of one size; immutable. Lengths in texels are for size 128 and scale with the size."""

    def __init__(self, topology: MeshTopology, masks: AtlasMasks, grid: AtlasGrid) -> None:
        self._masks, self._grid = masks, grid
        self._size = grid.size
        self._unit = grid.size / 128
        self._harmonics_grid = AtlasGrid(topology, grid.size // 2)

    def find(self, ycc: Floats, weight: Floats, normals: Floats, threshold: float = FOREIGN, grow: int = 3) -> Coverage:
        """Find the coverage of a face with atlas ``ycc`` float32 [n,n,3], skin ``weight`` [n,n] and normals [468,3].

        A texel is foreign if it differs from skin by ``threshold`` robust deviations and its patch reaches the outline
        of the face. The difference combines luma, relative to a spherical-harmonics fit of the light, and chroma,
        relative to the centre of the face.
        Foreign patches are dilated by ``grow`` texels.
        """
        masks, unit = self._masks, self._unit
        core = weight * masks.centre > 0.3
        # The coverage fades to zero as the face turns away, because a hardly visible face cannot be measured.
        known = float(np.clip(core.sum() / (unit * unit) / LEAST_CORE - 1, 0, 1))
        if known == 0:
            return Coverage(np.ones((self._size, self._size), np.float32), 1.0)
        light = np.maximum(self._fit_harmonics(ycc[..., 0], weight * (0.15 + masks.centre), normals), 8)
        distance = blur(_skin_distance(ycc, light, core), max(unit, 0.6))
        foreign = smooth_step((distance - threshold) / 0.9) * self._grid.inside * (1 - masks.protected)
        patches = (foreign > 0.5).astype(np.uint8)
        if unit >= 1:
            patches = np.asarray(cv2.morphologyEx(patches, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
        side = max(round(grow * unit) | 1, 3)
        covered = np.asarray(cv2.dilate(self._from_outside(patches), np.ones((side, side), np.uint8)), np.float32)
        forehead = float((distance[masks.forehead > 0] < FOREIGN).mean())
        return Coverage(1 - known * blur(covered, 1.5 * unit), 1 - known * (1 - forehead))

    def _from_outside(self, patches: Bytes) -> Floats:
        """Select patches of at least 20 texels, 3 of them at the outline, where hair and hands enter."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(patches, connectivity=8)
        border = labels[(self._masks.rim < 0.035) & (self._grid.inside > 0)]
        touching = np.bincount(border, minlength=count)
        large = stats[:, cv2.CC_STAT_AREA] >= 20 * self._unit * self._unit
        selected = (touching >= 3 * self._unit) & large
        selected[0] = False
        return np.asarray(selected[labels], np.float32)

    def _fit_harmonics(self, luma: Floats, weight: Floats, normals: Floats) -> Floats:
        """Robustly fit luma by nine spherical harmonics of the normals: float32 [n,n].

        Weighted ridge regression (0.02), five rounds with Cauchy weights of scale 10 % of the median plus 3.
        """
        size = self._harmonics_grid.size
        # One contiguous row per harmonic.
        basis = np.empty((9, size * size), np.float32)
        basis[0] = 1
        basis[1:4] = self._harmonics_grid.spread(normals).reshape(-1, 3).T
        x, y, z = basis[1:4]
        basis[4:] = x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1
        values = shrink(luma, size).ravel()
        base = shrink(weight, size).ravel()
        used = np.flatnonzero(base > 0.05)
        rows, values, base = basis[:, used], values[used], base[used]
        scale = np.float32(1 / (0.10 * median(values) + 3))
        ridge = np.diag([1e-6, *[0.02 * float(base.sum()) + 1e-6] * 8])
        weights: Floats = base
        fit: Floats = np.zeros(9, np.float32)
        for _ in range(5):
            weighted = rows * weights
            fit = np.linalg.solve(weighted @ rows.T + ridge, weighted @ values).astype(np.float32)
            residue = (values - fit @ rows) * scale
            residue *= residue
            residue += 1
            residue *= residue
            weights = base / residue
        return enlarge((fit @ basis).reshape(size, size), self._size, self._size)


def _skin_distance(ycc: Floats, light: Floats, core: Bools) -> Floats:
    """Robust deviations [n,n] from the skin in ``core``."""
    luma, blue, red = (np.ascontiguousarray(ycc[..., channel]) for channel in range(3))
    ratio = luma / light
    divisor: Floats = np.maximum(luma, np.float32(CHROMA_FLOOR))
    inside = np.flatnonzero(core.ravel())
    total = np.zeros_like(luma)
    for chroma in (blue / divisor, red / divisor):
        middle, deviation = _robust_spread(chroma.ravel()[inside])
        scale = max(1.48 * deviation, 0.018)
        chroma -= np.float32(middle)
        chroma *= np.float32(1 / (2.2 * scale + 0.02))
        chroma *= chroma
        total += chroma
    luma_scale = max(1.48 * _robust_spread(ratio.ravel()[inside])[1], 0.05)
    tone = np.log(np.maximum(ratio, 0.05)) * np.float32(1 / (2.2 * luma_scale + 0.36))
    tone *= tone
    total += tone
    return np.sqrt(total, out=total)


def _robust_spread(values: Floats) -> tuple[float, float]:
    """Return the median and the median absolute deviation."""
    middle = median(values)
    return middle, median(np.asarray(np.abs(values - np.float32(middle)), np.float32))
