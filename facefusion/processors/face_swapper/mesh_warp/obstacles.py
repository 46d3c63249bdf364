"""Find the obstacles over the face of a source image (hair, hands, glasses) that must not enter its texture."""

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

# Strands are searched at this size, because they are lost at the 128 texels of the skin measurements.
STRAND_SIZE = 512
# Maximum width and minimum length of a strand, in texels of that size. Contrasts are in logarithms of luma: lines on
# foreheads without strands, even wrinkled ones, have 0.14; dark hair on skin reaches 0.5.
STRAND_WIDTH = 13
STRAND_LENGTH = 24
STRAND_CORE = 0.25
STRAND_EDGE = 0.10
# If there are strands, other lines of at least this length also count as strands.
CHEEK_STRAND_LENGTH = 60
# Sigma, in texels of CHART_SIZE, of the blur that measures how dense strands are.
STRAND_REACH = 6
# If more than this share of the inner face is covered, the obstacle is probably a hand or the like. Fingers are found
# in pieces, so gaps of up to WIDEST_GAP texels of ATLAS_SIZE between them are filled.
PIECES_SHARE = 0.04
WIDEST_GAP = 25
# Maximum share of eyes, nose and mouth that do not look like features: up to 0.11 on the example faces in any light,
# and 0.12 to 1.03 behind painted hands, except for one hand with 0.04. Hidden surroundings count, too.
MAX_HIDDEN = 0.12
# A fringe that leaves at most this share of the forehead bare also covers the brows, which look like hair: 0 to 0.28
# under painted fringes, 0.55 under that of the example portrait, which ends above the brows.
HIDDEN_BROWS = 0.3
# Minimum share of the forehead under strands for a fringe in the colour of the skin: 0.24 and 0.36 under painted
# fringes, up to 0.15 under single strands.
FRINGE_STRANDS = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Obstacles:
    """The obstacles in one view.

    visibility: float32 [256,256], 1 where the view shows bare skin. painted: bool [512,512], thin obstacles that are
    inpainted from their sides. forehead: share of the forehead that looks like skin. strands, glasses: whether the
    view shows any. covered: share of the visible face below the brows, away from the rim, that is covered. hidden:
    share of eyes, nose and mouth that do not look like features.
    """

    visibility: Floats
    painted: Bools
    forehead: float
    strands: bool
    glasses: bool
    covered: float
    hidden: float


def find_obstacles(view: UnrolledView, chart: SourceChart, meter: SkinMeter) -> Obstacles:
    """Return the obstacles in a view; each kind is searched at the resolution where it is visible."""
    coverage = meter.coverage.find(view.ycc, meter.masks.skin, view.normals, threshold=0.95, grow=9)
    covered = _covered_share(view, coverage.visibility, meter)
    bare = _close_gaps(coverage.visibility) if covered > PIECES_SHARE else coverage.visibility
    visibility = enlarge(bare, CHART_SIZE, CHART_SIZE)
    painted = strands = _find_strands(view, bare, meter)
    if strands.any():
        # Between dense strands there is too little skin for inpainting.
        dense = blur(shrink(strands.astype(np.float32), CHART_SIZE), STRAND_REACH)
        visibility = visibility * (1 - smooth_step((dense - 0.10) / 0.15))
    visible, hidden = meter.visible_features(view.ycc, shrink(view.seen, ATLAS_SIZE))
    if hidden > MAX_HIDDEN:
        # An obstacle over a feature also covers the skin around it.
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
    """Return the texture uint8 [1024,1024,3] with the pixels under ``mask`` [n,n] inpainted (Telea 2004).

    The inpainting runs at the size of the mask.
    """
    marked = np.asarray(mask, np.uint8)
    if not marked.any():
        return texture
    size = (TEXTURE_SIZE, TEXTURE_SIZE)
    small = cv2.resize(texture, marked.shape, interpolation=cv2.INTER_AREA)
    grown = cv2.dilate(marked, np.ones((3, 3), np.uint8))
    filled = cv2.resize(cv2.inpaint(small, grown, 4, cv2.INPAINT_TELEA), size, interpolation=cv2.INTER_CUBIC)
    share = enlarge(blur(grown.astype(np.float32), 1), *size)
    # Without the factor, half of the edge of a painted-out line would show through the blurred edge of the mask.
    x, y, width, height = cv2.boundingRect((share > 0).astype(np.uint8))
    part = slice(y, y + height), slice(x, x + width)
    share = np.minimum(share[part] * 1.6, 1)[..., None]
    painted = texture.copy()
    painted[part] = np.clip(texture[part] * (1 - share) + filled[part] * share + 0.5, 0, 255)
    return painted


def _find_strands(view: UnrolledView, visibility: Floats, meter: SkinMeter) -> Bools:
    """Return thin dark or light lines that touch the forehead: bool [512,512].

    Lines that stay below the forehead count as skin, because the lines of a smile are as dark as a strand.
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
        is_strand = (core >= STRAND_LENGTH) & (reach >= STRAND_LENGTH)
        is_strand[0] = False
        if is_strand.any():
            # Strands on the forehead imply strands on the cheeks.
            strong = np.bincount(labels[lines > STRAND_CORE], minlength=len(stats))
            is_strand |= (strong >= CHEEK_STRAND_LENGTH) & (reach >= CHEEK_STRAND_LENGTH)
            is_strand[0] = False
        found |= is_strand[labels]
    return found


def _close_gaps(visibility: Floats) -> Floats:
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (WIDEST_GAP, WIDEST_GAP))
    closed = cv2.morphologyEx((visibility < 0.5).astype(np.uint8), cv2.MORPH_CLOSE, shape)
    return np.minimum(visibility, 1 - blur(closed.astype(np.float32), 1.5))


def _covered_share(view: UnrolledView, visibility: Floats, meter: SkinMeter) -> float:
    masks = meter.masks
    inner = (masks.rim > 0.14) & (masks.below_forehead > 0.5) & (shrink(view.seen, ATLAS_SIZE) > 0.5)
    return float((visibility[inner] < 0.5).mean()) if inner.any() else 0.0
