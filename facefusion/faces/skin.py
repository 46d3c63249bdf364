"""What the skin of a face looks like in one frame: light, occlusion and contrast, as small arrays in atlas layout.

Method and constants: embedded-swap.md sections 5 and 6. Everything here is a measurement of a single frame; smoothing
over time is the business of link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.topology import MeshTopology, vertex_normals
from facefusion.media.frame import Frame

Bytes = npt.NDArray[np.uint8]

ATLAS_SIZE = 128
LIGHT_SIZE = 32
OCCLUSION_SIZE = 64
HARMONICS_SIZE = 64
# Low-pass width of the light, in texels of LIGHT_SIZE: sigma 8 of 128.
LIGHT_SIGMA = 2.0
# Chroma is compared as a ratio to luma plus this, so that dark texels do not explode.
CHROMA_FLOOR = 12.0
# BGR to Y, Cb, Cr with chroma around 0 (ITU-R BT.601 coefficients, full range).
BGR_TO_YCC = np.array([[0.114, 0.587, 0.299], [0.5, -0.331, -0.169], [-0.081, -0.419, 0.5]], np.float32)
YCC_TO_BGR: Floats = np.linalg.inv(BGR_TO_YCC).astype(np.float32)


class SkinTraits(NamedTuple):
    """Single numbers about the skin of a face; "around the light" means against the low-passed colour there.

    forehead: the share of the forehead that looks like skin. contrast: the standard deviation of luma around the
    light, relative to the mean. lip_contrast: the mean chroma ratio by which the lips differ from the light.
    shadow_blue, shadow_red: how much the ratios of Cb and Cr change with the logarithm of luma. lip_blue, lip_red: the
    mean ratios of Cb and Cr on the lips around the light. A chroma ratio is chroma over luma + CHROMA_FLOOR.
    """

    forehead: float
    contrast: float
    lip_contrast: float
    shadow_blue: float
    shadow_red: float
    lip_blue: float
    lip_red: float


TRAIT_COUNT = len(SkinTraits._fields)


@dataclass(frozen=True, slots=True, eq=False)
class SkinSample:
    """The skin of one face in one frame.

    light: uint8 [32,32,4] mean Y, Cb + 128, Cr + 128 of the visible skin in a cell and how much of it there is.
    free: uint8 [64,64], 255 where nothing covers the face. traits: float32 [7], the values of ``SkinTraits``.
    """

    light: Bytes
    free: Bytes
    traits: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Where something covers the skin: ``free`` float32 [128,128] in 0..1, and the forehead's share of skin."""

    free: Floats
    forehead: float


class SkinMeter:
    """Measures skin; holds the static tables that it needs, and no state."""

    def __init__(self, topology: MeshTopology) -> None:
        self.topology = topology
        self.grid = AtlasGrid(topology, ATLAS_SIZE)
        self.masks = AtlasMasks(topology, self.grid)
        self._harmonics_grid = AtlasGrid(topology, HARMONICS_SIZE)

    def measure(self, frame: Frame, landmarks: Floats) -> SkinSample:
        """The skin of the face with ``landmarks`` float32 [468,3] in ``frame``."""
        map_x, map_y = self.grid.maps(landmarks)
        extent = float(np.ptp(landmarks[:, :2], axis=0).max())
        ycc = to_ycc(frame.sample(map_x, map_y, extent / ATLAS_SIZE))
        normals = vertex_normals(self.topology, landmarks)
        seen = self.grid.spread(smooth_step((-normals[:, 2] - 0.05) / 0.25))
        coverage = self.find_coverage(ycc, self.masks.skin * seen, normals)
        weight = self.masks.skin * seen * coverage.free
        light = pool_light(ycc, weight)
        return SkinSample(
            light=pack_light(light),
            free=np.round(255 * shrink(coverage.free, OCCLUSION_SIZE)).astype(np.uint8),
            traits=np.array(self.find_traits(ycc, weight, light, seen, coverage.forehead), np.float32),
        )

    def find_coverage(
        self, ycc: Floats, weight: Floats, normals: Floats, threshold: float = 1.25, grow: int = 3
    ) -> Coverage:
        """Finds hair, hands and other things in front of the face in its atlas ycc float32 [128,128,3].

        A texel is foreign when luma, relative to a spherical-harmonics fit of the light, and chroma, relative to the
        centre of the face, are ``threshold`` robust deviations away, and its patch reaches the outline of the face.
        """
        masks = self.masks
        core = weight * masks.centre > 0.3
        if int(core.sum()) < 150:
            return Coverage(np.ones((ATLAS_SIZE, ATLAS_SIZE), np.float32), 1.0)
        light = np.maximum(self._fit_harmonics(ycc[..., 0], weight * (0.15 + masks.centre), normals), 8)
        distance = blur(_skin_distance(ycc, light, core), 1.0)
        foreign = smooth_step((distance - threshold) / 0.9) * self.grid.inside * (1 - masks.protected)
        solid = (foreign > 0.5).astype(np.uint8)
        patches = np.asarray(cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)
        covered = np.asarray(cv2.dilate(self._from_outside(patches), np.ones((grow, grow), np.uint8)), np.float32)
        forehead = float((distance[masks.forehead > 0] < 1.25).mean())
        return Coverage(1 - blur(covered, 1.5), forehead)

    def find_traits(self, ycc: Floats, weight: Floats, light: Floats, seen: Floats, forehead: float) -> SkinTraits:
        """The traits of a face from its atlas ycc float32 [128,128,3], the weight of its skin and its pooled light."""
        low = enlarge(smooth_light(light), ATLAS_SIZE, ATLAS_SIZE)
        solid = weight > 0.3
        contrast, shadow_blue, shadow_red = 0.08, 0.0, 0.0
        if solid.any():
            residue = (ycc[..., 0] - low[..., 0])[solid]
            contrast = float(residue.std()) / max(float(low[..., 0][solid].mean()), 8.0)
            shadow_blue, shadow_red = _chroma_slopes(ycc[solid], low[solid])
        lips = self.masks.lips * seen > 0.5
        lip_contrast, lip_blue, lip_red = 0.05, 0.0, 0.0
        if lips.any():
            around = chroma_ratio(ycc[lips]) - chroma_ratio(low[lips])
            lip_contrast = float(np.abs(around).mean())
            lip_blue, lip_red = around.mean(0).tolist()
        return SkinTraits(forehead, contrast, lip_contrast, shadow_blue, shadow_red, lip_blue, lip_red)

    def _from_outside(self, patches: Bytes) -> Floats:
        """The patches that touch the outline over 3 texels and cover 20: hair and hands come from outside."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(patches, connectivity=8)
        border = labels[(self.masks.rim < 0.035) & (self.grid.inside > 0)]
        touching = np.bincount(border, minlength=count)
        kept = (touching >= 3) & (stats[:, cv2.CC_STAT_AREA] >= 20)
        kept[0] = False
        return np.asarray(kept[labels], np.float32)

    def _fit_harmonics(self, luma: Floats, weight: Floats, normals: Floats) -> Floats:
        """Robust fit of luma by nine spherical harmonics of the normals: float32 [128,128].

        Weighted ridge regression (0.02), five rounds with Cauchy weights of scale 10 % of the median plus 3.
        """
        x, y, z = np.moveaxis(self._harmonics_grid.spread(normals), -1, 0)
        basis = np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], -1)
        values = shrink(luma, HARMONICS_SIZE).ravel()
        given = shrink(weight, HARMONICS_SIZE).ravel()
        used = np.flatnonzero(given > 0.05)
        rows, values, given = basis.reshape(-1, 9)[used], values[used], given[used]
        scale = 0.10 * float(np.median(values)) + 3
        ridge = np.diag([0.0, *[0.02 * float(given.sum())] * 8])
        weights: Floats = given
        fit: Floats = np.zeros(9, np.float32)
        for _ in range(5):
            weighted = rows * weights[:, None]
            normal = rows.T @ weighted + ridge + 1e-6 * np.eye(9)
            fit = np.linalg.solve(normal, weighted.T @ values).astype(np.float32)
            weights = np.asarray(given / (1 + ((values - rows @ fit) / scale) ** 2) ** 2, np.float32)
        field = np.asarray(basis @ fit, np.float32)
        return enlarge(field, ATLAS_SIZE, ATLAS_SIZE)


def to_ycc(bgr: npt.NDArray[np.uint8] | Floats) -> Floats:
    """Y 0..255 and Cb, Cr around 0, float32, of BGR 0..255."""
    return np.asarray(cv2.transform(np.asarray(bgr, np.float32), BGR_TO_YCC), np.float32)


def chroma_ratio(ycc: Floats) -> Floats:
    """Cb and Cr over luma + CHROMA_FLOOR of [...,3] values: float32 [...,2]."""
    return np.asarray(ycc[..., 1:] / (ycc[..., :1] + CHROMA_FLOOR), np.float32)


def pool_light(ycc: Floats, weight: Floats) -> Floats:
    """Weighted means in cells: float32 [32,32,4] of Y*w, Cb*w, Cr*w and w."""
    stacked = np.dstack([ycc * weight[..., None], weight])
    return shrink(stacked.astype(np.float32), LIGHT_SIZE)


def pack_light(light: Floats) -> Bytes:
    """uint8 [32,32,4] mean Y, Cb + 128, Cr + 128 and weight * 255 of pooled light."""
    mean = light[..., :3] / np.maximum(light[..., 3:], 1e-4) + np.array([0, 128, 128], np.float32)
    return np.clip(np.round(np.dstack([mean, light[..., 3:] * 255])), 0, 255).astype(np.uint8)


def unpack_light(packed: npt.NDArray[np.uint8] | Floats) -> Floats:
    """The pooled light float32 [...,32,32,4] of what ``pack_light`` made."""
    values = np.asarray(packed, np.float32) - np.array([0, 128, 128, 0], np.float32)
    weight = values[..., 3:] / 255
    return np.concatenate([values[..., :3] * weight, weight], -1)


def smooth_light(light: Floats) -> Floats:
    """The low-passed Y, Cb, Cr float32 [32,32,3] of pooled light, with a wider blur where little skin is seen."""
    fine, support = _normalised_blur(light, LIGHT_SIGMA)
    coarse, _ = _normalised_blur(light, 3 * LIGHT_SIGMA)
    return np.asarray(coarse + (fine - coarse) * smooth_step(support / 0.15), np.float32)


def _normalised_blur(light: Floats, sigma: float) -> tuple[Floats, Floats]:
    # A floor of weight keeps far cells finite where no skin at all is near.
    floor = light[..., :3].sum((0, 1)) / max(float(light[..., 3].sum()), 1e-4)
    spread = blur(light, sigma, cv2.BORDER_CONSTANT)
    support = spread[..., 3:]
    return (spread[..., :3] + 1e-4 * floor) / (support + 1e-4), support


def _skin_distance(ycc: Floats, light: Floats, core: npt.NDArray[np.bool_]) -> Floats:
    ratio = ycc[..., 0] / light
    chroma = ycc[..., 1:] / np.maximum(ycc[..., :1], CHROMA_FLOOR)
    middle = np.median(chroma[core], axis=0)
    chroma_scale = np.maximum(1.48 * np.median(np.abs(chroma[core] - middle), axis=0), 0.018)
    luma_scale = max(1.48 * float(np.median(np.abs(ratio[core] - np.median(ratio[core])))), 0.05)
    luma = np.log(np.maximum(ratio, 0.05)) / (2.2 * luma_scale + 0.36)
    colour = (((chroma - middle) / (2.2 * chroma_scale + 0.02)) ** 2).sum(-1)
    return np.asarray(np.sqrt(luma**2 + colour), np.float32)


def _chroma_slopes(ycc: Floats, low: Floats) -> tuple[float, float]:
    """Change of the chroma ratios with log luma: shadows of skin are more saturated, highlights less.

    Least squares through the origin around the light, with a ridge that keeps flat light from inventing a slope;
    held to -0.35..0.35.
    """
    tone = np.log((ycc[:, 0] + CHROMA_FLOOR) / (low[:, 0] + CHROMA_FLOOR))
    around = chroma_ratio(ycc) - chroma_ratio(low)
    slopes = tone @ around / (tone @ tone + 1e-3 * len(tone))
    blue, red = np.clip(slopes, -0.35, 0.35).tolist()
    return blue, red
