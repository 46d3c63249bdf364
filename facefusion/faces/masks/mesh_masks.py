"""The face masks of the mesh, as one fixed image in atlas layout.

Types, areas and regions are those of FaceFusion 3.8, and the smallest value of all masks applies (peer-models.md
section 8). FaceFusion 3.8 measures masks in the crop of each frame; in the atlas every part of every face has the same
position, so a mask is created once per run. Left and right are those of the image of an upright face.
"""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import SHIFT, blur, fixed_point, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import MESH_68
from facefusion.faces.masks.crop_masks import AREA_POINTS
from facefusion.faces.masks.options import FaceMaskOptions, mesh_types
from facefusion.faces.options import expand_sides
from facefusion.faces.topology import (
    BROW_IMAGE_LEFT,
    BROW_IMAGE_RIGHT,
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    NOSE,
    OUTER_LIPS,
    MeshTopology,
)

# At this blur the swapper's own edges have their tuned width.
TUNED_BLUR = 0.3
# The share of the tuned widths at blur 0: about two texels of the opacity, which avoids jagged edges.
LEAST_WIDTH = 0.1
# An area fades beyond its landmarks over this fraction of the atlas, which is close to the smoothing of FaceFusion
# 3.8 (sigma 5 in 256).
AREA_EDGE = 0.04
# Sigma of the borders between regions, as a fraction of the atlas; the sigma of FaceFusion 3.8 would nearly erase thin
# lips.
REGION_SIGMA = 0.008
# The hair of a brow extends beyond its ring by about this fraction of the atlas.
BROW_GROWTH = 0.008

# Each ring follows the outer edge of a lip and returns along its inner edge. OUTER_LIPS and INNER_LIPS run from corner
# 0 to corner 10 along the lower lip.
_UPPER_LIP = (*OUTER_LIPS[10:], OUTER_LIPS[0], INNER_LIPS[0], *reversed(INNER_LIPS[10:]))
_LOWER_LIP = (*OUTER_LIPS[:11], *reversed(INNER_LIPS[:11]))
# Texels outside these rings are skin.
REGION_RINGS = MappingProxyType(
    {
        'nose': NOSE,
        'left-eyebrow': BROW_IMAGE_LEFT,
        'right-eyebrow': BROW_IMAGE_RIGHT,
        'left-eye': EYE_IMAGE_LEFT,
        'right-eye': EYE_IMAGE_RIGHT,
        'mouth': INNER_LIPS,
        'upper-lip': _UPPER_LIP,
        'lower-lip': _LOWER_LIP,
    }
)


def uses_occlusion(options: FaceMaskOptions) -> bool:
    """Whether the mesh keeps objects that cover the target's face in front of it."""
    return 'occlusion' in mesh_types(options)


def edge_width(options: FaceMaskOptions) -> float:
    """The width of the swapper's soft edges relative to the tuned width: 1 at the default blur and without a box.

    It is proportional to the blur, from 0.1 at blur 0 to 3.33 at blur 1.
    """
    if 'box' not in options.face_mask_types:
        return 1.0
    return max(options.face_mask_blur / TUNED_BLUR, LEAST_WIDTH)


def mask_atlas(options: FaceMaskOptions, topology: MeshTopology, size: int) -> Floats:
    """The factor of the swapper's opacity, float32 [size,size] in 0..1, all 1 at the default options.

    It is the minimum of the selected masks box, area and region. The swapper itself softens the edge of the face; see
    ``edge_width``.
    """
    mask = np.ones((size, size), np.float32)
    if 'box' in options.face_mask_types:
        mask = np.minimum(mask, _box(options, topology, size))
    if 'area' in options.face_mask_types:
        mask = np.minimum(mask, _areas(options.face_mask_areas, topology, size))
    if 'region' in mesh_types(options):
        mask = np.minimum(mask, _regions(options.face_mask_regions, topology, size))
    return mask


def _box(options: FaceMaskOptions, topology: MeshTopology, size: int) -> Floats:
    """0 inside the padding, in percent of the face's extent in the atlas; soft edges are centred on its border."""
    top, right, bottom, left = (side / 100 for side in expand_sides(options.face_mask_padding or (0,)))
    places = (np.arange(size, dtype=np.float32) + 0.5) / size
    low, high = topology.atlas.min(0), topology.atlas.max(0)
    x, y = ((places - low[axis]) / (high[axis] - low[axis]) for axis in (0, 1))
    softness = options.face_mask_blur
    columns = _side(x, left, softness) * _side(1 - x, right, softness)
    rows = _side(y, top, softness) * _side(1 - y, bottom, softness)
    return np.asarray(rows[:, None] * columns[None], np.float32)


def _side(inwards: Floats, padding: float, softness: float) -> Floats:
    """Opacity along an axis [n] from one side of the face at 0 to the other at 1.

    The edge is as wide as 4 sigma of the Gaussian of FaceFusion 3.8: half the blur. A padding narrower than half
    this width narrows the edge, because the swapper has its own edge at the rim and a padding of 0 must have no effect.
    """
    if padding == 0:
        return np.ones_like(inwards)
    width = max(min(0.5 * softness, 2 * padding), 2 / len(inwards))
    return smooth_step((inwards - padding) / width + 0.5)


def _areas(areas: tuple[str, ...], topology: MeshTopology, size: int) -> Floats:
    """1 in the convex hull of the points of all areas, falling to 0 outside; 0 without areas."""
    vertices = [MESH_68[number] for area in areas for number in AREA_POINTS[area]]
    if not vertices:
        return np.zeros((size, size), np.float32)
    outside = np.ones((size, size), np.uint8)
    cv2.fillConvexPoly(outside, cv2.convexHull(_texels(vertices, topology, size)), 0, shift=SHIFT)
    distance = np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)
    return 1 - smooth_step(distance / (AREA_EDGE * size))


def _regions(regions: tuple[str, ...], topology: MeshTopology, size: int) -> Floats:
    """1 in the chosen regions, with soft borders to the others; skin extends beyond the outline."""
    mask = np.full((size, size), float('skin' in regions), np.float32)
    for region, ring in REGION_RINGS.items():
        chosen, points = float(region in regions), _texels(ring, topology, size)
        cv2.fillPoly(mask, [points], chosen, shift=SHIFT)
        if ring in (BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT):
            cv2.polylines(mask, [points], True, chosen, round(2 * BROW_GROWTH * size) or 1, shift=SHIFT)
    # Cutting off the Gaussian's tails gives exactly 0 and 1 away from the borders.
    return np.asarray(np.clip((blur(mask, REGION_SIGMA * size) - 0.01) / 0.98, 0, 1), np.float32)


def _texels(vertices: list[int] | tuple[int, ...], topology: MeshTopology, size: int) -> npt.NDArray[np.int32]:
    """Coordinates of vertices in an atlas of ``size``, int32 [n,2] with SHIFT fractional bits."""
    return fixed_point(topology.texels(size)[list(vertices)])
