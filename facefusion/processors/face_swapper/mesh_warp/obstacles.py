"""What lies over the face of a source picture and must not become part of its texture: hair, hands, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.glasses import GlassesFinder, line_contrast, soften
from facefusion.faces.skin import ATLAS_SIZE, BGR_TO_YCC, SkinMeter
from facefusion.faces.topology import BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT
from facefusion.processors.face_swapper.mesh_warp.views import CHART_SIZE, TEXTURE_SIZE, SourceChart, UnrolledView

Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

# Strands are looked for at this size: they are lost at the 128 texels of the skin measurements.
STRAND_SIZE = 512
# In texels of that size, the widest strand and its shortest length. Contrasts are logarithms of luma: foreheads
# without strands have lines of 0.14, wrinkled ones too; dark hair on skin reaches 0.5.
STRAND_WIDTH = 13
STRAND_LENGTH = 24
STRAND_CORE = 0.25
STRAND_EDGE = 0.10
# Longer than this, lines beside strands are strands, too.
CHEEK_STRAND_LENGTH = 60
# Sigma, in texels of CHART_SIZE, within which strands count as dense.
STRAND_REACH = 6
# When so much of the inner face is covered, it is by a hand or the like: fingers are found in pieces, whose gaps of
# up to so many texels of ATLAS_SIZE are filled.
PIECES_SHARE = 0.04
WIDEST_GAP = 25
# Share of eyes, nose and mouth that do not look like any: up to 0.11 on the example faces in all lights, with their
# surroundings behind painted hands 0.12 to 1.03, but for one of 0.04.
LARGEST_HIDDEN = 0.12
# A fringe that leaves so little of the forehead bare lies over the brows as well, which hair cannot be told from: 0 to
# 0.28 under painted ones, 0.55 under that of the example portrait, which ends above them.
HIDDEN_BROWS = 0.3
# Share of the forehead under strands from which on they are a fringe of the skin's colour: 0.24 and 0.36 under painted
# ones, single strands up to 0.15.
FRINGE_STRANDS = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Obstacles:
    """free: float32 [256,256], 1 where the view shows bare skin. painted: bool [512,512] of thin things that are
    painted over from their sides. forehead: the share of the forehead that looks like skin. strands, glasses: whether
    there are any. covered: the share of the seen face below the brows, away from the rim, that something covers.
    hidden: the share of eyes, nose and mouth that do not look like any.
    """

    visibility: Floats
    painted: Bools
    forehead: float
    strands: bool
    glasses: bool
    covered: float
    hidden: float


def find_obstacles(view: UnrolledView, chart: SourceChart, meter: SkinMeter) -> Obstacles:
    """Looks for everything at the resolution at which it can be seen."""
    coverage = meter.coverage.find(view.ycc, meter.masks.skin, view.normals, threshold=0.95, grow=9)
    covered = _covered_share(view, coverage.visibility, meter)
    bare = _close_gaps(coverage.visibility) if covered > PIECES_SHARE else coverage.visibility
    visibility = enlarge(bare, CHART_SIZE, CHART_SIZE)
    painted = strands = _find_strands(view, bare, meter)
    if strands.any():
        # Between dense strands little skin is left to paint over them from.
        dense = blur(shrink(strands.astype(np.float32), CHART_SIZE), STRAND_REACH)
        visibility = visibility * (1 - smooth_step((dense - 0.10) / 0.15))
    visible, hidden = meter.visible_features(view.ycc, shrink(view.seen, ATLAS_SIZE))
    if hidden > LARGEST_HIDDEN:
        # What hides a feature lies on the skin around it, too.
        around = np.asarray(cv2.erode(visible, np.ones((7, 7), np.uint8)), np.float32)
        visibility = visibility * enlarge(blur(around, 1.0), CHART_SIZE, CHART_SIZE)
    forehead = enlarge(meter.masks.forehead.astype(np.float32), STRAND_SIZE, STRAND_SIZE) > 0.5
    if coverage.forehead < HIDDEN_BROWS or float(strands[forehead].mean()) > FRINGE_STRANDS:
        brows = np.maximum(*(meter.masks.polygon(ring, 4) for ring in (BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT)))
        visibility = visibility * (1 - enlarge(blur(brows, 1.5), CHART_SIZE, CHART_SIZE))
    glasses = GlassesFinder(chart.topology, CHART_SIZE).find(view.chart, view.seen)
    if glasses is not None:
        visibility = visibility * (1 - soften(glasses.mask, 6))
        frame = cv2.resize(glasses.frame.astype(np.uint8), (STRAND_SIZE, STRAND_SIZE), interpolation=cv2.INTER_NEAREST)
        painted = strands | (frame > 0)
    return Obstacles(visibility, painted, coverage.forehead, bool(strands.any()), glasses is not None, covered, hidden)


def paint_out(texture: Bytes, mask: npt.NDArray[np.bool_] | Bytes) -> Bytes:
    """The texture uint8 [1024,1024,3] with what ``mask`` marks ([n,n]) replaced by what lies beside it (Telea 2004).

    What is filled in is computed at the size of the mask.
    """
    marked = np.asarray(mask, np.uint8)
    if not marked.any():
        return texture
    size = (TEXTURE_SIZE, TEXTURE_SIZE)
    small = cv2.resize(texture, marked.shape, interpolation=cv2.INTER_AREA)
    grown = cv2.dilate(marked, np.ones((3, 3), np.uint8))
    filled = cv2.resize(cv2.inpaint(small, grown, 4, cv2.INPAINT_TELEA), size, interpolation=cv2.INTER_CUBIC)
    share = enlarge(blur(grown.astype(np.float32), 1), *size)
    # The blurred edge must not bring back half of a line's own edge.
    share = np.minimum(share * 1.6, 1)[..., None]
    return np.asarray(np.clip(texture * (1 - share) + filled * share + 0.5, 0, 255), np.uint8)


def _find_strands(view: UnrolledView, visibility: Floats, meter: SkinMeter) -> Bools:
    """Thin dark or light lines on the forehead: bool [512,512].

    Lines that stay further down are the skin's own: those of a smile are as dark as a strand.
    """
    size = (STRAND_SIZE, STRAND_SIZE)
    half = cv2.resize(view.texture, size, interpolation=cv2.INTER_AREA)
    luma = np.asarray(cv2.transform(half, BGR_TO_YCC[:1]), np.float32)
    masks = meter.masks
    ground = masks.skin_to_rim * (1 - masks.protected) * shrink(view.seen, ATLAS_SIZE)
    forehead = enlarge(masks.below_forehead, *size) < 0.5
    bare = (enlarge(ground, *size) > 0.5) & (enlarge(visibility, *size) > 0.5)
    found = np.zeros(size, np.bool_)
    for lines in line_contrast(luma, STRAND_WIDTH):
        weak = ((lines > STRAND_EDGE) & bare).astype(np.uint8)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
        core = np.bincount(labels[(lines > STRAND_CORE) & forehead], minlength=len(stats))
        reach = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
        kept = (core >= STRAND_LENGTH) & (reach >= STRAND_LENGTH)
        kept[0] = False
        if kept.any():
            # Whoever has strands on the forehead has them on the cheeks.
            strong = np.bincount(labels[lines > STRAND_CORE], minlength=len(stats))
            kept |= (strong >= CHEEK_STRAND_LENGTH) & (reach >= CHEEK_STRAND_LENGTH)
            kept[0] = False
        found |= kept[labels]
    return found


def _close_gaps(visibility: Floats) -> Floats:
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDEST_GAP, WIDEST_GAP))
    closed = cv2.morphologyEx((visibility < 0.5).astype(np.uint8), cv2.MORPH_CLOSE, shape)
    return np.minimum(visibility, 1 - blur(closed.astype(np.float32), 1.5))


def _covered_share(view: UnrolledView, visibility: Floats, meter: SkinMeter) -> float:
    masks = meter.masks
    inner = (masks.rim > 0.14) & (masks.below_forehead > 0.5) & (shrink(view.seen, ATLAS_SIZE) > 0.5)
    return float((visibility[inner] < 0.5).mean()) if inner.any() else 0.0
