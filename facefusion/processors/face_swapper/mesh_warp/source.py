"""The source identity of ``mesh_warp``: a relightable texture of one face in atlas layout, from one or more images.

The method and constants come from embedded-swap.md section 3, with the differences stated here. A beard, a moustache
and make-up are part of the face and stay in the texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.atlas import blur, enlarge, pyramid, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter, SkinTraits, pool_light, smooth_light, to_ycc
from facefusion.processors.face_swapper.mesh_warp.fitness import find_flaws
from facefusion.processors.face_swapper.mesh_warp.obstacles import Obstacles, find_obstacles, paint_out
from facefusion.processors.face_swapper.mesh_warp.quality import Appraisal, appraise, choose
from facefusion.processors.face_swapper.mesh_warp.views import (
    CHART_SIZE,
    TEXTURE_SIZE,
    SourceChart,
    SourceView,
    UnrolledView,
    unroll,
)

Bytes = npt.NDArray[np.uint8]

__all__ = ['MIP_LEVELS', 'TEXTURE_SIZE', 'SourceTexture', 'SourceView', 'build_source']

MIP_LEVELS = 5
# Texels whose visibility is below MIN_SEEN are inpainted within the distance RIDGE_REACH from the middle of the face.
MIN_SEEN = 0.15
RIDGE_REACH = 0.14


@dataclass(frozen=True, slots=True, eq=False)
class SourceTexture:
    """The source data for rendering.

    mips: uint8 [1024 >> k, 1024 >> k, 3] BGR textures. ycc: float32 [128,128,3] of the small texture. weight: float32
    [128,128] usable skin; light_weight: the same up to the rim, for the source's own light. opacity: float32 [128,128]
    of the texture. traits: traits of its skin. flaws: flaws that all images share, each a sentence with advice.
    """

    mips: tuple[Bytes, ...]
    ycc: Floats
    weight: Floats
    light_weight: Floats
    opacity: Floats
    traits: SkinTraits
    flaws: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Joined:
    """The joined views: texture uint8 [1024,1024,3]; seen and visibility as in UnrolledView and Obstacles."""

    texture: Bytes
    seen: Floats
    visibility: Floats


def build_source(views: Sequence[SourceView], meter: SkinMeter) -> SourceTexture:
    """Unroll the images of one person's face into one texture, each part from the image that shows it best.

    Parts under hair, hands or glasses come from another image, from the other half of the face or from inpainting;
    where that is impossible, ``opacity`` decreases, and the target shows through.
    """
    if not views:
        raise InternalError('source-no-views', 'mesh_warp received no image of the source')
    chart = SourceChart(meter.topology)
    unrolled = [unroll(view, chart) for view in views]
    obstacles = [find_obstacles(view, chart, meter) for view in unrolled]
    appraisals = [appraise(view, found, meter) for view, found in zip(unrolled, obstacles, strict=True)]
    joined = _fill_from_mirror(_join(unrolled, obstacles, appraisals, meter), meter)
    texture = _fill_ridge(joined, meter)
    ycc = to_ycc(np.asarray(cv2.resize(texture, (ATLAS_SIZE, ATLAS_SIZE), interpolation=cv2.INTER_AREA), np.float32))
    seen, visibility = shrink(joined.seen, ATLAS_SIZE), shrink(joined.visibility, ATLAS_SIZE)
    faded = blur(smooth_step(np.asarray(cv2.erode(seen, np.ones((3, 3), np.uint8)), np.float32) / 0.5), 1.5)
    weight = meter.masks.skin * seen * visibility
    forehead = max(found.forehead for found in obstacles)
    return SourceTexture(
        mips=pyramid(texture, MIP_LEVELS),
        ycc=ycc,
        weight=weight,
        light_weight=meter.masks.skin_to_rim * np.maximum(seen, 0.1) * visibility,
        # The centre is never faded, because the target's nostrils would show through.
        opacity=visibility * np.maximum(faded, meter.masks.central_disc()),
        traits=meter.find_traits(ycc, weight, pool_light(ycc, weight), np.ones_like(seen), forehead),
        flaws=find_flaws(views, unrolled, obstacles, meter),
    )


def _join(
    views: Sequence[UnrolledView], obstacles: Sequence[Obstacles], appraisals: Sequence[Appraisal], meter: SkinMeter
) -> _Joined:
    """Join each part from the view that shows it best, all in the light of the best view."""
    textures = [paint_out(view.texture, found.painted) for view, found in zip(views, obstacles, strict=True)]
    if len(views) == 1:
        return _Joined(textures[0], views[0].seen, obstacles[0].visibility)
    shares = choose(appraisals, meter)
    best = max(range(len(views)), key=lambda number: appraisals[number].score)
    # Where the best view is dark or covered, its light is extrapolated from its other parts.
    goal = smooth_light(
        pool_light(shrink(views[best].chart, ATLAS_SIZE), shrink(appraisals[best].merit, ATLAS_SIZE) * meter.masks.skin)
    )
    total = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE, 3), np.float32)
    for view, found, texture, share in zip(views, obstacles, textures, shares, strict=True):
        bare = shrink(view.seen * found.visibility, ATLAS_SIZE) * meter.masks.skin
        own = smooth_light(pool_light(shrink(view.chart, ATLAS_SIZE), np.maximum(bare, 1e-3 * meter.grid.inside)))
        total += texture * _gain(own, goal) * enlarge(share, TEXTURE_SIZE, TEXTURE_SIZE)[..., None]
    nothing = np.zeros_like(shares[0])
    seen = sum((share * view.seen for share, view in zip(shares, views, strict=True)), nothing)
    visibility = sum((share * found.visibility for share, found in zip(shares, obstacles, strict=True)), nothing)
    return _Joined(np.clip(total + 0.5, 0, 255).astype(np.uint8), seen, visibility)


def _fill_from_mirror(joined: _Joined, meter: SkinMeter) -> _Joined:
    """Fill parts that are turned away or covered from the other half of the face, in the light of this half."""
    texture = joined.texture
    # The visibility is eroded, so that the transition lies where both halves are clearly visible.
    own = np.asarray(cv2.erode(joined.seen * joined.visibility, np.ones((7, 7), np.uint8)), np.float32)
    other = own[:, ::-1]
    # Each half keeps its own texels unless the other half is far more visible, because blended halves are never sharp.
    part = np.asarray(own / (own + other + 1e-3), np.float32)
    share = np.maximum(smooth_step((part - 0.2) / 0.3), smooth_step(own / 0.6))
    share = blur(np.where(other < 0.05, 1, share).astype(np.float32), 1.5)
    small = np.asarray(cv2.resize(texture, (ATLAS_SIZE, ATLAS_SIZE), interpolation=cv2.INTER_AREA), np.float32)
    weight = np.maximum(shrink(own, ATLAS_SIZE) * meter.masks.skin, 1e-3 * meter.grid.inside)
    light = smooth_light(pool_light(small, weight))
    missing = enlarge(1 - share, TEXTURE_SIZE, TEXTURE_SIZE)
    rows, columns = (slice(*_span(missing, axis)) for axis in (1, 0))
    blend = missing[rows, columns, None]
    mirrored = texture[:, ::-1][rows, columns] * _gain(light[:, ::-1], light)[rows, columns]
    filled = texture.copy()
    filled[rows, columns] = np.clip(texture[rows, columns] * (1 - blend) + mirrored * blend + 0.5, 0, 255)
    seen = joined.seen * share + joined.seen[:, ::-1] * (1 - share)
    visibility = joined.visibility * share + joined.visibility[:, ::-1] * (1 - share)
    return _Joined(filled, seen, visibility)


def _fill_ridge(joined: _Joined, meter: SkinMeter) -> Bytes:
    """Inpaint texels in the middle of the face that neither half shows, along the outline of a strongly turned face.

    The image shows the background at these texels, and the mirrored texels are not usable either.
    """
    column = np.abs(np.linspace(-0.5, 0.5, CHART_SIZE, dtype=np.float32))[None]
    rim = enlarge(meter.masks.rim, CHART_SIZE, CHART_SIZE)
    hidden = ((joined.seen < MIN_SEEN) & (column < RIDGE_REACH) & (rim > 0.02)).astype(np.uint8)
    return paint_out(joined.texture, hidden) if hidden.any() else joined.texture


def _span(missing: Floats, axis: int) -> tuple[int, int]:
    """Return the range of rows or columns with missing texels; at least one."""
    used = np.flatnonzero((missing > 1 / 512).any(axis))
    return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)


def _gain(own: Floats, goal: Floats) -> Floats:
    """Return the factor float32 [1024,1024,3] from the light ``own`` float32 [32,32,3] BGR to the light ``goal``."""
    ratio = np.clip((goal + 8) / (own + 8), 0.5, 2)
    return enlarge(ratio, TEXTURE_SIZE, TEXTURE_SIZE)
