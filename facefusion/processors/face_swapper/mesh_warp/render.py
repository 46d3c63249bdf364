"""Painting a source texture onto a target face: geometry, light, opacity, blend.

Method and constants: embedded-swap.md sections 4 and 6. Eyes and the open mouth stay the target's own pixels, so gaze,
blinks and teeth survive. Everything is a function of one frame, one linked face and the source.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.atlas import AtlasGrid, AtlasMasks, blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.raster import OUTSIDE, atlas_coordinates, paint_triangles
from facefusion.faces.skin import (
    ATLAS_SIZE,
    BGR_TO_YCC,
    CHROMA_FLOOR,
    LIGHT_SIZE,
    YCC_TO_BGR,
    SkinMeter,
    SkinTraits,
    chroma_ratio,
    pool_light,
    smooth_light,
)
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS
from facefusion.media.frame import Frame, Window
from facefusion.processors.face_swapper.mesh_warp.source import TEXTURE_SIZE, SourceTexture

Pixels = npt.NDArray[np.uint8]

OPACITY_SIZE = 512
# The mesh is painted at this size at most and its coordinates enlarged: larger pictures cost more and look the same.
RASTER_SIZE = 256
SMALLEST_FACE = 8
# How many of the target's own luma deviations the source may rise above or fall below the target's light.
HEADROOM = 2.5
# The lips' chroma ratio of Cb is at most this over the skin's, that of Cr at least.
LIP_TINT = 0.01
# Logarithms of luma over the light within which skin changes its colour; brows and glints lie outside.
TONE_RANGE = (-0.35, 0.12)


@dataclass(frozen=True, slots=True, eq=False)
class Relight:
    """How a source texel becomes the target's colour, per atlas texel.

    field: float32 [128,128,4]: what is added to luma, to the Cb ratio and to the Cr ratio, and the gain of luma.
    kept: float32 [128,128,4]: how much of the source's own chroma contrast stays, the target's luma, where the slopes
    hold (not on the lips), and where shadows may be deep (on brows, eyes, nostrils, lips). slopes: how the target's
    chroma ratios change with the logarithm of luma. headroom: how far luma may leave the target's, as a fraction of it.
    """

    field: Floats
    kept: Floats
    slopes: tuple[float, float]
    headroom: float


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Where the face lies in a window: atlas coordinates in texture pixels, and the outline's opacity, [h,w]."""

    u: Floats
    v: Floats
    outline: Floats
    extent: float


class MeshWarp:
    """Renders one source onto faces; immutable, so any number of threads may share it."""

    def __init__(self, source: SourceTexture, meter: SkinMeter) -> None:
        self._source = source
        self._meter = meter
        self._source_light = pool_light(source.ycc, source.light_weight)
        self._source_skin = shrink(source.weight, LIGHT_SIZE)[..., None]
        self._opacity = _fixed_opacity(meter)

    def render(self, frame: Frame, face: LinkedFace) -> None:
        """Swaps ``face`` in ``frame``; faces under 8 pixels or outside the frame are left alone."""
        if face.light is None or face.free is None or face.traits is None:
            raise InternalError('skin-not-measured', 'mesh_warp was given a face without skin measurements')
        window = _face_window(frame, face.landmarks)
        if window.width < SMALLEST_FACE or window.height < SMALLEST_FACE:
            return
        surface = self._surface(face.landmarks, window)
        opacity = self._blend_opacity(face, surface)
        if float(opacity.max(initial=0.0)) < 1 / 255:
            return
        before = frame.read(window)
        painted = self._paint(surface, self._relight(face))
        mixed = before + (painted - before) * opacity[..., None]
        frame.write(window, np.clip(mixed + 0.5, 0, 255).astype(np.uint8), before)

    def _surface(self, landmarks: Floats, window: Window) -> Surface:
        width, height = window.width, window.height
        scale = min(1.0, RASTER_SIZE / max(width, height))
        small_width, small_height = max(round(width * scale), 1), max(round(height * scale), 1)
        points = (landmarks[:, :2] - [window.x0, window.y0]) * scale + (scale - 1) / 2
        topology = self._meter.topology
        index = paint_triangles(topology, points.astype(np.float32), landmarks[:, 2], small_width, small_height)
        u, v = atlas_coordinates(topology, index, points.astype(np.float32), TEXTURE_SIZE)
        covered = (index >= 0).astype(np.uint8)
        extent = float(np.ptp(landmarks[:, :2], axis=0).max())
        outline = _feather(covered, extent * scale)
        if scale < 1:
            u, v = (_extend_outwards(part, covered) for part in (u, v))
            u, v, outline = (enlarge(part, width, height) for part in (u, v, outline))
        return Surface(u, v, outline, extent)

    def _relight(self, face: LinkedFace) -> Relight:
        """Light and colour of the target for the source's texels (embedded-swap.md section 6)."""
        assert face.light is not None and face.traits is not None
        source, masks, traits = self._source, self._meter.masks, SkinTraits(*face.traits.tolist())
        both = face.light * self._source_skin
        target = smooth_light(both)
        # The source's light is taken up to its rim, or its own shadows there would stay as a grey edge.
        own = smooth_light(self._source_light * (0.15 + 0.85 * face.light[..., 3:]))
        target_tone, source_tone = _saturation(target, both[..., 3]), _saturation(own, both[..., 3])
        colourful = float(np.clip((target_tone - 1.5) / 4, 0, 1))
        skin_chroma = 0.6 * colourful * float(np.clip(1.3 * target_tone / max(source_tone, 1.0), 0.3, 1.0))
        lip_ratio = (1.2 * traits.lip_contrast + 0.015) / (source.traits.lip_contrast + 1e-3)
        lip_chroma = colourful * float(np.clip(lip_ratio, 0.3, 1.0))
        contrast = float(np.clip((traits.contrast / max(source.traits.contrast, 1e-3)) ** 0.6, 0.55, 1.15))
        target, own = (enlarge(part, ATLAS_SIZE, ATLAS_SIZE) for part in (target, own))
        gain = np.clip((target[..., 0] + 4) / (own[..., 0] + 4), 0.4, 2.5)
        gain = np.clip(gain**0.8, 0.4, 1.35) * contrast
        lips = masks.lips_soft
        chroma = skin_chroma + (lip_chroma - skin_chroma) * lips
        added = chroma_ratio(target) - chroma[..., None] * chroma_ratio(own)
        added += colourful * lips[..., None] * _against_lilac(lip_chroma, source.traits)
        field = np.dstack([target[..., 0] - own[..., 0] * gain, added, gain]).astype(np.float32)
        kept = np.dstack([chroma, target[..., 0], 1 - lips, masks.protected]).astype(np.float32)
        headroom = HEADROOM * max(traits.contrast, 0.04)
        return Relight(field, kept, (traits.shadow_blue, traits.shadow_red), headroom)

    def _paint(self, surface: Surface, relight: Relight) -> Floats:
        """The relit source in the window, float32 [h,w,3] BGR."""
        ideal = np.floor(np.log2(TEXTURE_SIZE / max(surface.extent, 1.0)) + 0.35)
        level = int(np.clip(ideal, 0, len(self._source.mips) - 1))
        cubic = level == 0 and surface.extent > 0.8 * TEXTURE_SIZE
        map_u, map_v = _scaled(surface, TEXTURE_SIZE >> level)
        texture = cv2.remap(
            self._source.mips[level],
            map_u,
            map_v,
            cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        map_u, map_v = _scaled(surface, ATLAS_SIZE)
        field = cv2.remap(relight.field, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        kept = cv2.remap(relight.kept, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        keep: Floats = np.asarray(kept, np.float32)
        ycc = cv2.transform(texture.astype(np.float32), BGR_TO_YCC)
        luma = _hold_luma(ycc[..., 0] * field[..., 3] + field[..., 0], keep[..., 1], keep[..., 3], relight.headroom)
        factor = keep[..., 0] / (ycc[..., 0] + CHROMA_FLOOR)
        raised = luma + CHROMA_FLOOR
        tone = np.clip(np.log(raised / (np.maximum(keep[..., 1], 0) + CHROMA_FLOOR)), *TONE_RANGE) * keep[..., 2]
        for channel, slope in zip((1, 2), relight.slopes, strict=True):
            ycc[..., channel] = (ycc[..., channel] * factor + field[..., channel] + slope * tone) * raised
        ycc[..., 0] = luma
        return np.asarray(cv2.transform(ycc, YCC_TO_BGR), np.float32)

    def _blend_opacity(self, face: LinkedFace, surface: Surface) -> Floats:
        """Opacity of the source in the window, float32 [h,w] in 0..1."""
        assert face.free is not None and face.traits is not None
        map_u, map_v = _scaled(surface, OPACITY_SIZE)
        fixed = cv2.remap(self._opacity, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        free = enlarge(face.free, ATLAS_SIZE, ATLAS_SIZE) * self._source.opacity
        # With a fringe on either side, only what lies below the brows' upper edge is swapped.
        clear = min(self._source.traits.forehead, float(face.traits[0]))
        bare = float(smooth_step(np.array([(clear - 0.5) / 0.3], np.float32))[0])
        if bare < 0.99:
            free = free * (bare + (1 - bare) * self._meter.masks.below_forehead)
        map_u, map_v = _scaled(surface, ATLAS_SIZE)
        moving = cv2.remap(free, map_u, map_v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(np.clip(fixed * moving * surface.outline, 0, 1), np.float32)


def _against_lilac(kept: float, traits: SkinTraits) -> Floats:
    """What to add to the chroma ratios of the lips, Cb and Cr, so that on the mean they are no bluer than the skin.

    Lips of a warm, orange face are less red than its skin; beside paler skin that difference would turn them lilac.
    """
    blue = min(0.0, LIP_TINT - kept * traits.lip_blue)
    red = max(0.0, LIP_TINT - kept * traits.lip_red)
    return np.array([blue, red], np.float32)


def _hold_luma(luma: Floats, light: Floats, features: Floats, headroom: float) -> Floats:
    """Luma that leaves the target's light only as far as the target's own does, by soft knees; never below 0.

    Highlights are held everywhere, shadows on the skin but not on ``features`` (brows, eyes, nostrils, lips): what is
    darker there is no shadow, but on the skin it is the edge of hair, or the light of another room.
    """
    room = np.maximum(light * np.float32(headroom), 8)
    above = np.maximum(luma - light, 0)
    below = np.maximum(light - luma, 0)
    lowered = below * features + room * below / (room + below) * (1 - features)
    return np.asarray(np.maximum(light + room * above / (room + above) - lowered, 0), np.float32)


def _fixed_opacity(meter: SkinMeter) -> Floats:
    """float32 [512,512]: 1 on skin, falling to 0 at the outline, in the eyes and in the open mouth."""
    grid = AtlasGrid(meter.topology, OPACITY_SIZE)
    masks = AtlasMasks(meter.topology, grid)
    v = np.linspace(0, 1, OPACITY_SIZE, dtype=np.float32)[:, None]
    # The forehead fades over a wider band: hair lines differ most.
    width = np.where(v < 0.35, 0.10, 0.05).astype(np.float32)
    outline = smooth_step((masks.rim - 0.012) / width)
    unit = 0.004 * OPACITY_SIZE
    eyes = np.maximum(masks.polygon(EYE_IMAGE_LEFT, round(unit)), masks.polygon(EYE_IMAGE_RIGHT, round(unit)))
    mouth = masks.polygon(INNER_LIPS)
    return outline * (1 - blur(eyes, unit)) * (1 - blur(mouth, unit / 2))


def _face_window(frame: Frame, landmarks: Floats) -> Window:
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    pad = 0.03 * float((high - low).max()) + 3
    x0, y0 = np.floor(low - pad).astype(int)
    x1, y1 = np.ceil(high + pad).astype(int)
    return Window(int(x0), int(y0), int(x1), int(y1)).clipped(frame.width, frame.height)


def _feather(covered: npt.NDArray[np.uint8], extent: float) -> Floats:
    """Opacity that falls to 0 towards the silhouette over 8.5 % of the face, so that a far cheek has no hard edge."""
    framed = cv2.copyMakeBorder(covered, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
    return smooth_step((distance / max(extent, 1.0) - 0.012) / 0.085)


def _extend_outwards(coordinate: Floats, covered: npt.NDArray[np.uint8]) -> Floats:
    """Continues atlas coordinates two pixels beyond the silhouette, so that enlarging does not smear them."""
    filled = np.where(covered > 0, coordinate, OUTSIDE).astype(np.float32)
    grown = filled
    for _ in range(2):
        near = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), np.float32)
        grown = np.where(grown > OUTSIDE / 2, grown, near)
    return grown


def _scaled(surface: Surface, size: int) -> tuple[Floats, Floats]:
    """Texture coordinates as coordinates of an atlas of ``size`` (pixel centres at whole numbers)."""
    factor = size / TEXTURE_SIZE
    if factor == 1:
        return surface.u, surface.v
    shift = np.float32((factor - 1) / 2)
    return surface.u * np.float32(factor) + shift, surface.v * np.float32(factor) + shift


def _saturation(light: Floats, weight: Floats) -> float:
    """Mean absolute chroma of the light where skin is seen."""
    solid = weight > 0.3
    return float(np.abs(light[solid][:, 1:]).mean()) if solid.any() else 10.0
