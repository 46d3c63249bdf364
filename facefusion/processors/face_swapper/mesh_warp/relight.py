"""Give the texels of a source the light and colour of the target.

The constants come from embedded-swap.md section 6, with one difference: the share of the target's own relief depends on
the part of the face and on the turn of the face (docs/embedded-swap.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from facefusion.faces.atlas import blur, enlarge, shrink, smooth_number
from facefusion.faces.coverage import CHROMA_FLOOR
from facefusion.faces.face import Bytes, Floats
from facefusion.faces.skin import (
    LIGHT_SIZE,
    YCC_TO_BGR,
    SkinMeter,
    SkinTraits,
    pool_light,
    smooth_lights,
    to_ycc,
)
from facefusion.faces.topology import NOSE
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture

FIELD_SIZE = 64
# Maximum distance of the source from the target's light, in luma deviations of the target.
HEADROOM = 2.5
# Range of luma, relative to the light, in which skin changes its colour; brows and glints are outside.
TONE_RANGE = (-0.3, 0.127)
# Share of the target in the skin's relief between the two light widths, for a frontal and a turned face: on plain skin
# and on features. Folds and highlights of a smiling source do not contribute to likeness.
PLAIN_RELIEF = (0.85, 1.0)
FEATURE_RELIEF = (0.0, 0.6)
# Share of the source's own colour contrast in its skin, for a frontal and a turned face. The rim of a face is greyer.
SKIN_CHROMA = (0.4, 0.1)
# Position of the lips' mean luma and colour, relative to the skin, between the source's (0) and the target's (1).
# The limit of their colour ensures that lips are neither bluer nor less red than the skin.
LIP_SHARE = 0.4
LIP_TINT = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Relight:
    """The transform from a source texel to the target's colour.

    field: float32 [64,64,4]: offsets of luma, Cb ratio and Cr ratio, and the gain of luma. mix: float32 [64,64,4]:
    share of the source's own chroma contrast, the target's luma, where the slopes apply (not on the lips), and where
    shadows may be deep (on brows, eyes, nostrils, lips). bare: float32 [64,64,4]: the target's light without its
    relief, and where skin should have that light; the last two channels have no meaning (four are looked up fastest).
    slopes: change of the target's chroma ratios with luma. headroom: maximum distance of luma from the target's, as a
    fraction of it.
    """

    field: Floats
    mix: Floats
    bare: Floats
    slopes: tuple[float, float]
    headroom: float


class Relighter:
    """Moves a source into the light of targets; immutable."""

    def __init__(self, source: SourceTexture, meter: SkinMeter) -> None:
        self._traits = source.traits
        # Planes instead of channels, because numpy is fastest on contiguous planes.
        self._light = np.ascontiguousarray(np.moveaxis(pool_light(source.ycc, source.light_weight), -1, 0))
        self._skin = shrink(source.weight, LIGHT_SIZE)
        # The matrix that enlarges a line of the light by linear interpolation.
        self._enlarge = enlarge(np.eye(LIGHT_SIZE, dtype=np.float32), LIGHT_SIZE, FIELD_SIZE)
        masks = meter.masks
        nose = masks.polygon(NOSE)
        self._features = shrink(np.maximum(blur(nose, 4), blur(masks.protected, 1.5)), FIELD_SIZE)
        self._lips = shrink(masks.lips_soft, FIELD_SIZE)
        self._deep = shrink(masks.protected, FIELD_SIZE)
        self._around_eyes = shrink(masks.around_eyes, FIELD_SIZE)

    def relight(self, light: Floats, traits: SkinTraits, turned: float) -> Relight:
        """Return the transform for a target's pooled light float32 [32,32,4], its traits and its turn 0..1."""
        light = np.ascontiguousarray(np.moveaxis(light, -1, 0))
        both = np.empty((2, 4, LIGHT_SIZE, LIGHT_SIZE), np.float32)
        np.multiply(light, self._skin, out=both[0])
        # The source's light includes the rim of the face; otherwise its shadows there would remain as a grey edge.
        np.multiply(self._light, np.float32(0.15) + np.float32(0.85) * light[3], out=both[1])
        wide, fine = smooth_lights(both)
        target_tone, source_tone = (_saturation(part, both[0, 3]) for part in wide)
        wide, fine = (np.asarray(self._enlarge @ part @ self._enlarge.T, np.float32) for part in (wide, fine))
        (target, *target_chroma), (own, *own_chroma) = wide + (fine - wide) * self._relief(turned)
        colourful = float(np.clip((target_tone - 1.5) / 4, 0, 1))
        skin_chroma = SKIN_CHROMA[0] + (SKIN_CHROMA[1] - SKIN_CHROMA[0]) * turned
        skin_chroma *= colourful * float(np.clip(1.3 * target_tone / max(source_tone, 1.0), 0.3, 1.0))
        lip_ratio = (1.2 * traits.lip_contrast + 0.015) / (self._traits.lip_contrast + 1e-3)
        lip_chroma = colourful * float(np.clip(lip_ratio, 0.3, 1.0))
        contrast = float(np.clip((traits.contrast / max(self._traits.contrast, 1e-3)) ** 0.6, 0.55, 1.15))
        gain = np.clip((target + 4) / (own + 4), 0.4, 2.5)
        gain = np.clip(gain**0.8, 0.4, 1.35) * np.float32(contrast)
        chroma = self._lips * np.float32(lip_chroma - skin_chroma) + np.float32(skin_chroma)
        added = []
        shifts = self._lip_shift(lip_chroma, traits)
        for aim, source, shift in zip(target_chroma, own_chroma, shifts, strict=True):
            ratio = aim / (target + CHROMA_FLOOR)
            ratio -= chroma * source / (own + CHROMA_FLOOR)
            ratio += self._lips * np.float32(colourful * shift)
            added.append(ratio)
        lifted = target * (1 + self._lips * np.float32(self._lip_lift(contrast, traits)))
        field = cv2.merge([lifted - own * gain, *added, gain])
        mix = cv2.merge([chroma, target, 1 - self._lips, self._deep])
        # Near glasses, brows and lids must look like skin, too: darker or lighter pixels may belong to the frame.
        varied = self._deep * (1 - np.float32(traits.glasses) * self._around_eyes)
        bare = cv2.merge([wide[0, 0], 1 - varied, varied, varied])
        slopes = (traits.shadow_blue, traits.shadow_red)
        headroom = HEADROOM * max(traits.contrast, 0.04)
        return Relight(cast(Floats, field), cast(Floats, mix), cast(Floats, bare), slopes, headroom)

    def _relief(self, turned: float) -> Floats:
        plain = PLAIN_RELIEF[0] + (PLAIN_RELIEF[1] - PLAIN_RELIEF[0]) * turned
        feature = FEATURE_RELIEF[0] + (FEATURE_RELIEF[1] - FEATURE_RELIEF[0]) * turned
        return np.float32(plain) + np.float32(feature - plain) * self._features

    def _lip_lift(self, contrast: float, traits: SkinTraits) -> float:
        """Return the fraction of the light by which to lift the lips, so that their mean luma fits the target's."""
        own = 1 + contrast * (self._traits.lip_luma - 1)
        return LIP_SHARE * (traits.lip_luma - own)

    def _lip_shift(self, lip_chroma: float, traits: SkinTraits) -> tuple[float, float]:
        """Return the offsets of the lips' chroma ratios, Cb and Cr, so that their mean fits the target's skin.

        Lips of a warm, orange face are less red than its skin; in paler skin that difference would turn them lilac.
        """
        blue, red = lip_chroma * self._traits.lip_blue, lip_chroma * self._traits.lip_red
        goal_blue = min(blue + LIP_SHARE * (traits.lip_blue - blue), max(LIP_TINT, traits.lip_blue))
        goal_red = max(red + LIP_SHARE * (traits.lip_red - red), min(LIP_TINT, traits.lip_red))
        return goal_blue - blue, goal_red - red


def paint(texture: Bytes | Floats, field: Floats, mix: Floats, relight: Relight) -> Floats:
    """Return source pixels in the target's light: float32 [h,w,3] BGR, from BGR texture, field and mix per pixel."""
    own, *chroma = cast(list[Floats], cv2.split(to_ycc(texture)))
    base = np.ascontiguousarray(mix[..., 1])
    luma = own * field[..., 3]
    luma += field[..., 0]
    luma = _limit_luma(luma, base, mix[..., 3], relight.headroom)
    own += CHROMA_FLOOR
    factor = np.divide(mix[..., 0], own, out=own)
    denominator = luma + CHROMA_FLOOR
    # The linear approximation of the logarithm; skin in shadow is more saturated.
    np.maximum(base, 0, out=base)
    base += CHROMA_FLOOR
    tone = np.divide(denominator, base, out=base)
    tone -= 1
    np.clip(tone, *TONE_RANGE, out=tone)
    tone *= mix[..., 2]
    for number, (colour, slope) in enumerate(zip(chroma, relight.slopes, strict=True), 1):
        colour *= factor
        colour += field[..., number]
        colour += np.float32(slope) * tone
        colour *= denominator
    return np.asarray(cv2.transform(cv2.merge([luma, *chroma]), YCC_TO_BGR), np.float32)


def _limit_luma(luma: Floats, light: Floats, features: Floats, headroom: float) -> Floats:
    """Return luma with its distance from the target's light limited by soft knees; never below 0.

    Highlights are limited everywhere, shadows only outside ``features`` (brows, eyes, nostrils, lips), which are dark
    in any light. Skin darker than the limit is at the edge of hair or reflects the light of the source's scene.
    """
    distance = luma - light
    room = light * np.float32(headroom)
    np.maximum(room, 8, out=room)
    limited = room * distance
    room += np.abs(distance)
    limited /= room
    # The rest of the distance: in features, shadows keep it.
    distance -= limited
    np.minimum(distance, 0, out=distance)
    distance *= features
    limited += distance
    limited += light
    return np.maximum(limited, 0, out=limited)


def _saturation(light: Floats, weight: Floats) -> float:
    """Return the mean absolute chroma of the light [3,32,32] on visible skin."""
    solid = weight > 0.3
    return float(np.abs(light[1:, solid]).mean()) if solid.any() else 10.0


def turning(degrees: float) -> float:
    """Return how far a face is turned away: 0 up to 20 degrees, 1 from 50 degrees on.

    Beyond 50 degrees, the texture of a frontal source is stretched.
    """
    return smooth_number((degrees - 20) / 30)
