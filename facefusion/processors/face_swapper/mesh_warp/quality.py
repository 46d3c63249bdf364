"""Rate the images of the source per texel, and choose the image for each part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facefusion.faces.atlas import blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter
from facefusion.faces.topology import (
    BROW_IMAGE_LEFT,
    BROW_IMAGE_RIGHT,
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    NOSTRILS,
    OUTER_LIPS,
)
from facefusion.processors.face_swapper.mesh_warp.obstacles import Obstacles
from facefusion.processors.face_swapper.mesh_warp.views import CHART_SIZE, UnrolledView

# Parts that each come from a single view, because halves of two smiles do not fit together.
PARTS = ((*BROW_IMAGE_LEFT, *EYE_IMAGE_LEFT), (*BROW_IMAGE_RIGHT, *EYE_IMAGE_RIGHT), (*NOSTRILS, *OUTER_LIPS))
# More pixels than this do not increase the merit.
ENOUGH_PIXELS = 512
# Another view replaces the best one only in parts where its merit is higher by this factor.
BEST_VIEW_BONUS = 1.25
# Exponent of the merits; a larger one narrows the transition between views.
SHARPNESS_OF_CHOICE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Appraisal:
    """Merit of a view per texel, float32 [256,256] in 0..1, and its mean over the face as ``score``."""

    merit: Floats
    score: float


def appraise(view: UnrolledView, obstacles: Obstacles, meter: SkinMeter) -> Appraisal:
    """Rate a view by visibility, sharpness, light and obstacles."""
    luma = view.ycc[..., 0]
    seen = shrink(view.seen, ATLAS_SIZE)
    skin = meter.masks.skin * seen * shrink(obstacles.visibility, ATLAS_SIZE) > 0.3
    # Light is relative to the lit side of the face, so that dark skin rates like light skin.
    lit = float(np.percentile(luma[skin], 80)) if skin.any() else 128.0
    near = blur(luma, 3)
    relative = np.asarray((near / max(lit, 1.0) - 0.15) / 0.5, np.float32)
    exposure = smooth_step(relative) * (1 - 0.8 * smooth_step(np.asarray((near - 225) / 25, np.float32)))
    exposure = enlarge(np.asarray(exposure * min(lit / 60, 1.0), np.float32), CHART_SIZE, CHART_SIZE)
    detail = float(np.sqrt(min(view.extent * view.sharpness, ENOUGH_PIXELS) / ENOUGH_PIXELS))
    merit = view.seen * obstacles.visibility * (0.05 + 0.95 * exposure) * detail
    inside = enlarge(meter.grid.inside, CHART_SIZE, CHART_SIZE) > 0.5
    return Appraisal(np.asarray(merit, np.float32), float(merit[inside].mean()))


def choose(appraisals: Sequence[Appraisal], meter: SkinMeter) -> list[Floats]:
    """Return the share float32 [256,256] of each view in each texel; the shares sum to 1."""
    merits = np.stack([appraisal.merit for appraisal in appraisals])
    best = int(np.argmax([appraisal.score for appraisal in appraisals]))
    merits[best] *= BEST_VIEW_BONUS
    for part in PARTS:
        hull = enlarge(_part_mask(part, meter), CHART_SIZE, CHART_SIZE)
        mean = (merits * hull).sum((1, 2)) / hull.sum()
        merits += (mean[:, None, None] - merits) * hull
    # Texels that no view shows come from the best view.
    merits[best] += 1e-3
    strength = (merits / merits.max(0)) ** SHARPNESS_OF_CHOICE
    shares = np.stack([blur(layer, 3) for layer in strength / strength.sum(0)])
    shares /= shares.sum(0)
    return list(shares.astype(np.float32))


def _part_mask(part: tuple[int, ...], meter: SkinMeter) -> Floats:
    """Return a soft mask float32 [128,128] around the hull of a part."""
    points = (meter.topology.atlas[list(part)] * ATLAS_SIZE).astype(np.int32)
    mask = np.zeros((ATLAS_SIZE, ATLAS_SIZE), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points), 1.0)
    return blur(np.asarray(cv2.dilate(mask, np.ones((5, 5), np.uint8)), np.float32), 2)
