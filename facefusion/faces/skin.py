"""The skin measurement of a face in one frame: light, visibility and traits, as small arrays in atlas layout.

Method and constants: embedded-swap.md sections 5 and 6. Link smooths the values over time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np

from facefusion.events import silent
from facefusion.faces.atlas import AtlasGrid, AtlasMasks, enlarge, shrink, smooth_step
from facefusion.faces.coverage import CHROMA_FLOOR, CoverageFinder
from facefusion.faces.eye_region import EyeRegion
from facefusion.faces.face import Bytes, Floats, Values
from facefusion.faces.features import FeatureFinder
from facefusion.faces.measurement_types import FaceMeasurement, FaceValue
from facefusion.faces.smooth import (
    FREE_REACH,
    LIGHT_REACH,
    QUICK_REACH,
    TRAIT_REACH,
    smooth_lights_over_time,
    smooth_mean,
)
from facefusion.faces.topology import MeshTopology, vertex_normals
from facefusion.media.frame import Frame
from facefusion.result_cache import ResultCache

ATLAS_SIZE = 128
LIGHT_SIZE = 32
# Atlas size at which coverage and traits of a target are measured; at half the detail this takes a third of the time.
TRAIT_SIZE = 64
# Low-pass width of the light, in texels of LIGHT_SIZE: sigma 8 of 128.
LIGHT_SIGMA = 2.0
# BGR to Y, Cb, Cr with chroma around 0 (ITU-R BT.601 coefficients, full range).
BGR_TO_YCC = np.array([[0.114, 0.587, 0.299], [0.5, -0.331, -0.169], [-0.081, -0.419, 0.5]], np.float32)
YCC_TO_BGR: Floats = np.linalg.inv(BGR_TO_YCC).astype(np.float32)


def _blur_matrix(sigma: float) -> Floats:
    """The symmetric matrix [32,32] of the Gaussian blur of a line between zeros, with OpenCV's size of the kernel."""
    reach = round(4 * sigma)
    kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F).ravel()
    padded = np.pad(kernel, LIGHT_SIZE)
    start = LIGHT_SIZE + reach
    return np.stack([padded[start - line : start - line + LIGHT_SIZE] for line in range(LIGHT_SIZE)])


# The blurs of the light: that of the wide light, half and three times that.
_BLURS: Mapping[float, Floats] = MappingProxyType(
    {sigma: _blur_matrix(sigma) for sigma in (LIGHT_SIGMA, LIGHT_SIGMA / 2, 3 * LIGHT_SIGMA)}
)


class SkinTraits(NamedTuple):
    """Scalars that describe the skin of a face. "The light" is the low-passed colour at the same texel.

    forehead: the share of the forehead that looks like skin. contrast: the standard deviation of luma minus the light,
    relative to the mean. lip_contrast: the mean absolute difference of the lips' chroma ratios from the light.
    lip_luma: the lips' mean luma, relative to the light. shadow_blue, shadow_red: the slope of the ratios of Cb and Cr
    over the logarithm of luma. lip_blue, lip_red: the mean differences of the lips' Cb and Cr ratios from the light.
    glasses: confidence, 0 to 1, that a dark frame of glasses is in front of the eyes. eye_image_left, eye_image_right:
    0 closed to 1 open, by the visible iris and white. mouth: 0 for a covered mouth to 1 for a visible one, with or
    without a moustache. A chroma ratio is chroma over luma + CHROMA_FLOOR.
    """

    forehead: float
    contrast: float
    lip_contrast: float
    lip_luma: float
    shadow_blue: float
    shadow_red: float
    lip_blue: float
    lip_red: float
    glasses: float
    eye_image_left: float
    eye_image_right: float
    mouth: float


TRAIT_COUNT = len(SkinTraits._fields)
# Traits that change within a few frames, because eyes blink and hands move.
QUICK_TRAITS = ('eye_image_left', 'eye_image_right', 'mouth')


@dataclass(frozen=True, slots=True, eq=False)
class LinkedSkin:
    """The skin of a face as rendering reads it, smoothed over time.

    light: float32 [32,32,4], pooled (Y*w, Cb*w, Cr*w, w). visibility: float32 [64,64], 1 where the face is uncovered.
    """

    light: Floats
    visibility: Floats
    traits: SkinTraits


def linked_skin(values: Mapping[str, Values]) -> LinkedSkin | None:
    """Return the skin measurement of a linked face, or None if no processor requires it."""
    if 'light' not in values:
        return None
    light, visibility = values['light'].astype(np.float32), values['free'].astype(np.float32) / np.float32(255)
    return LinkedSkin(light, visibility, SkinTraits(*values['traits'].tolist()))


class SkinMeter:
    """The meter of the skin measurement; it has static tables and no state."""

    def __init__(self, topology: MeshTopology) -> None:
        self.topology = topology
        self.grid = AtlasGrid(topology, ATLAS_SIZE)
        self.masks = AtlasMasks(topology, self.grid)
        self._small_grid = AtlasGrid(topology, TRAIT_SIZE)
        self._small_masks = AtlasMasks(topology, self._small_grid)
        self._features = FeatureFinder(self._small_masks, self._small_grid)
        self._eyes = EyeRegion(topology, self.masks, ATLAS_SIZE)
        self.coverage = CoverageFinder(topology, self.masks, self.grid)
        self._small_coverage = CoverageFinder(topology, self._small_masks, self._small_grid)

    def measure(self, frame: Frame, landmarks: Floats) -> dict[str, Values]:
        """Measure the skin of the face with ``landmarks`` float32 [468,3] in ``frame``.

        light: uint8 [32,32,4], mean Y, Cb + 128, Cr + 128 of the visible skin in a cell, and its share of the cell.
        free: uint8 [64,64], 255 where the face is uncovered. traits: float32 [n], the fields of ``SkinTraits``.
        """
        map_x, map_y = self.grid.maps(landmarks)
        extent = float(np.ptp(landmarks[:, :2], axis=0).max())
        ycc = to_ycc(frame.sample(map_x, map_y, extent / ATLAS_SIZE))
        small = shrink(ycc, TRAIT_SIZE)
        normals = vertex_normals(self.topology, landmarks)
        seen = np.clip(self._small_grid.spread(smooth_step((-normals[:, 2] - 0.05) / 0.25)), 0, 1)
        skin = self._small_masks.skin * seen
        coverage = self._small_coverage.find(small, skin, normals)
        weight = skin * coverage.visibility
        light = pool_light(small, weight)
        traits = self.find_traits(ycc, weight, light, seen, coverage.forehead)
        visible, mouth = self._features.find(small[..., 0], seen, traits.glasses)
        return {
            'light': pack_light(light),
            'free': np.round(255 * coverage.visibility * visible).astype(np.uint8),
            'traits': np.array(traits._replace(mouth=mouth), np.float32),
        }

    def visible_features(self, ycc: Floats, seen: Floats) -> tuple[Floats, float]:
        """Return float32 [64,64], 0 on hidden eyes, nose and mouth, else 1, and the hidden share of these features.

        ``ycc``: float32 [128,128,3] in atlas layout. ``seen``: [128,128], 1 on the side facing the camera.
        """
        seen = shrink(seen, TRAIT_SIZE)
        visible = self._features.visible(shrink(ycc, TRAIT_SIZE)[..., 0], seen)
        return visible, self._features.hidden_share(visible, seen)

    def find_traits(self, ycc: Floats, weight: Floats, light: Floats, seen: Floats, forehead: float) -> SkinTraits:
        """Return the traits of a face from its atlas ycc float32 [128,128,3], skin weight and pooled light.

        The eye region is measured in full detail, the rest at TRAIT_SIZE; weight and seen may already have that size.
        """
        skin = float(light[..., 0].sum() / max(float(light[..., 3].sum()), 1e-4))
        luma = ycc[..., 0]
        open_left, open_right = self._eyes.open_eyes(luma, skin)
        ycc, weight, seen = (shrink(part, TRAIT_SIZE) for part in (ycc, weight, seen))
        low = enlarge(smooth_light(light), TRAIT_SIZE, TRAIT_SIZE)
        solid = weight > 0.3
        contrast, shadow_blue, shadow_red = 0.08, 0.0, 0.0
        if solid.any():
            residue = (ycc[..., 0] - low[..., 0])[solid]
            contrast = float(residue.std()) / max(float(low[..., 0][solid].mean()), 8.0)
            shadow_blue, shadow_red = _chroma_slopes(ycc[solid], low[solid])
        lips = self._small_masks.lips * seen > 0.5
        lip_contrast, lip_luma, lip_blue, lip_red = 0.05, 0.8, 0.0, 0.0
        if lips.any():
            around = chroma_ratio(ycc[lips]) - chroma_ratio(low[lips])
            lip_contrast = float(np.abs(around).mean())
            lip_luma = float((ycc[lips, 0] / np.maximum(low[lips, 0], 8)).mean())
            lip_blue, lip_red = around.mean(0).tolist()
        return SkinTraits(
            forehead=forehead,
            contrast=contrast,
            lip_contrast=lip_contrast,
            lip_luma=lip_luma,
            shadow_blue=shadow_blue,
            shadow_red=shadow_red,
            lip_blue=lip_blue,
            lip_red=lip_red,
            glasses=self._eyes.dark_frame(luma),
            eye_image_left=open_left,
            eye_image_right=open_right,
            mouth=1.0,
        )


def to_ycc(bgr: Bytes | Floats) -> Floats:
    """Convert BGR 0..255 to float32 Y 0..255 and Cb, Cr around 0."""
    return np.asarray(cv2.transform(np.asarray(bgr, np.float32), BGR_TO_YCC), np.float32)


def chroma_ratio(ycc: Floats) -> Floats:
    """Cb and Cr over luma + CHROMA_FLOOR, float32 [...,2], of ycc [...,3]."""
    return np.asarray(ycc[..., 1:] / (ycc[..., :1] + CHROMA_FLOOR), np.float32)


def pool_light(ycc: Floats, weight: Floats) -> Floats:
    """Weighted means in cells: float32 [32,32,4] of Y*w, Cb*w, Cr*w and w."""
    stacked = np.dstack([ycc * weight[..., None], weight])
    return shrink(stacked.astype(np.float32), LIGHT_SIZE)


def pack_light(light: Floats) -> Bytes:
    """uint8 [32,32,4] mean Y, Cb + 128, Cr + 128 and weight * 255 of pooled light."""
    mean = light[..., :3] / np.maximum(light[..., 3:], 1e-4) + np.array([0, 128, 128], np.float32)
    return np.clip(np.round(np.dstack([mean, light[..., 3:] * 255])), 0, 255).astype(np.uint8)


def unpack_light(packed: Bytes | Floats) -> Floats:
    """The inverse of ``pack_light``: pooled light float32 [...,32,32,4]."""
    values = np.asarray(packed, np.float32) - np.array([0, 128, 128, 0], np.float32)
    weight = values[..., 3:] / 255
    return np.concatenate([values[..., :3] * weight, weight], -1)


def smooth_light(light: Floats) -> Floats:
    """The low-passed Y, Cb, Cr float32 [32,32,3] of pooled light; the blur is wider where little skin is visible."""
    (wide, support), (coarse, _) = _normalised_blurs(np.moveaxis(light, -1, 0), (LIGHT_SIGMA, 3 * LIGHT_SIGMA))
    return np.ascontiguousarray(np.moveaxis(_trusted(wide, coarse, smooth_step(support / 0.15)), 0, -1))


def smooth_lights(light: Floats) -> tuple[Floats, Floats]:
    """Return ``smooth_light``, and a version with half the blur where enough skin is visible, both as planes.

    light: [...,4,32,32]; several lights are smoothed at once. Returns two float32 [...,3,32,32].
    """
    sigmas = (LIGHT_SIGMA, LIGHT_SIGMA / 2, 3 * LIGHT_SIGMA)
    (wide, support), (narrow, near), (coarse, _) = _normalised_blurs(light, sigmas)
    trusted = smooth_step(support / 0.15)
    narrow -= wide
    narrow *= smooth_step(near / 0.3)
    narrow += wide
    return _trusted(wide, coarse, trusted), _trusted(narrow, coarse, trusted)


def _trusted(light: Floats, coarse: Floats, trusted: Floats) -> Floats:
    light = light - coarse
    light *= trusted
    light += coarse
    return light


def _normalised_blurs(light: Floats, sigmas: tuple[float, ...]) -> list[tuple[Floats, Floats]]:
    """Blur planes of pooled light [...,4,32,32] by each sigma: mean Y, Cb, Cr and the visible share around."""
    # The floor keeps the values of cells far from any skin finite.
    total = light.sum((-2, -1), keepdims=True)
    floor = np.float32(1e-4) * total[..., :3, :, :] / np.maximum(total[..., 3:, :, :], 1e-4)
    found = []
    for sigma in sigmas:
        matrix = _BLURS[sigma]
        spread = np.asarray(matrix @ light @ matrix, np.float32)
        support = spread[..., 3:, :, :]
        mean = spread[..., :3, :, :] + floor
        mean /= support + np.float32(1e-4)
        found.append((mean, support))
    return found


def _chroma_slopes(ycc: Floats, low: Floats) -> tuple[float, float]:
    """Slopes of the chroma ratios over log luma: skin is more saturated in shadows and less in highlights.

    Computed by least squares through the origin on differences from the light, with a ridge that keeps the slope of
    flat light near 0; clipped to -0.35..0.35.
    """
    tone = np.log((ycc[:, 0] + CHROMA_FLOOR) / (low[:, 0] + CHROMA_FLOOR))
    around = chroma_ratio(ycc) - chroma_ratio(low)
    slopes = tone @ around / (tone @ tone + 1e-3 * len(tone))
    blue, red = np.clip(slopes, -0.35, 0.35).tolist()
    return blue, red


def _smooth_light(packed: Values) -> Values:
    return smooth_lights_over_time(unpack_light(packed))


def _smooth_free(visibility: Values) -> Values:
    return np.round(smooth_mean(visibility, FREE_REACH))


def _smooth_traits(traits: Values) -> Values:
    is_quick = np.array([name in QUICK_TRAITS for name in SkinTraits._fields])
    return np.where(is_quick, smooth_mean(traits, QUICK_REACH), smooth_mean(traits, TRAIT_REACH))


def make_skin_meter(topology: MeshTopology, cache: ResultCache) -> SkinMeter:
    """Return the meter for the face mesh, whose tables are computed once for all users of ``cache``."""
    return cache.get('skin meter', lambda emit: SkinMeter(topology), silent)


SKIN = FaceMeasurement(
    'skin',
    (
        FaceValue('light', (LIGHT_SIZE, LIGHT_SIZE, 4), 'uint8', 'float16', LIGHT_REACH, _smooth_light),
        FaceValue('free', (TRAIT_SIZE, TRAIT_SIZE), 'uint8', 'uint8', FREE_REACH, _smooth_free),
        FaceValue('traits', (TRAIT_COUNT,), 'float32', 'float32', TRAIT_REACH, _smooth_traits),
    ),
    prepare=lambda tools: make_skin_meter(tools.topology, tools.cache),
    needs_mesh=True,
)
