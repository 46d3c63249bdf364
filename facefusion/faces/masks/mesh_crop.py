"""Masks of an aligned crop from the mesh: the uncovered part of a face, and its regions.

They replace the published occluders and parsers, whose weights may be missing.
"""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.atlas import SHIFT, fixed_point
from facefusion.faces.face import Floats
from facefusion.faces.masks.mesh_masks import BROW_GROWTH, REGION_RINGS, REGION_SIGMA
from facefusion.faces.raster import atlas_coordinates, paint_triangles
from facefusion.faces.topology import BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT, OVAL, MeshTopology

# The side at which the mesh is rasterised; visibility is coarser than this.
_RASTER_SIZE = 128
_OUTSIDE_SIGMA = 5.0


def visible_part(topology: MeshTopology, landmarks: Floats, visibility: Floats, size: int) -> Floats:
    """Return the uncovered part of a face, float32 [size,size] in 0..1.

    landmarks: float32 [468,3] in pixels of the crop. visibility: float32 [64,64] in atlas layout, from the skin
    measurement. Pixels outside the mesh have the value of the nearest pixel of the mesh, because an object that covers
    the rim of a face continues beyond it.
    """
    points = np.asarray((landmarks[:, :2] + 0.5) * (_RASTER_SIZE / size) - 0.5, np.float32)
    index = paint_triangles(topology, points, landmarks[:, 2], _RASTER_SIZE, _RASTER_SIZE)
    outside = (index < 0).astype(np.uint8)
    if outside.all():
        return np.ones((size, size), np.float32)
    u, v = atlas_coordinates(topology, index, points, len(visibility))
    values = np.asarray(cv2.remap(visibility, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    _, labels = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    nearest = np.zeros(int(labels.max()) + 1, np.float32)
    nearest[labels[index >= 0]] = values[index >= 0]
    # Outside, the nearest pixels change abruptly from one direction to the next.
    soft = cv2.GaussianBlur(nearest[labels], (0, 0), _OUTSIDE_SIGMA)
    mask = np.where(index >= 0, nearest[labels], soft).astype(np.float32)
    return np.clip(np.asarray(cv2.resize(mask, (size, size)), np.float32), 0, 1)


def region_part(landmarks: Floats, regions: tuple[str, ...], size: int) -> Floats:
    """Return 1 in the chosen regions, with soft borders, float32 [size,size]; the mesh does not include glasses.

    landmarks: float32 [468,3] in pixels of the crop. Skin ends at the oval of the mesh.
    """
    extent = float(np.ptp(landmarks[:, :2], axis=0).max())
    mask = np.zeros((size, size), np.float32)
    cv2.fillPoly(mask, [_corners(landmarks, OVAL)], float('skin' in regions), shift=SHIFT)
    for region, ring in REGION_RINGS.items():
        chosen, corners = float(region in regions), _corners(landmarks, ring)
        cv2.fillPoly(mask, [corners], chosen, shift=SHIFT)
        if ring in (BROW_IMAGE_LEFT, BROW_IMAGE_RIGHT):
            cv2.polylines(mask, [corners], True, chosen, max(round(2 * BROW_GROWTH * extent), 1), shift=SHIFT)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(REGION_SIGMA * extent, 0.5)), np.float32)


def _corners(landmarks: Floats, ring: tuple[int, ...]) -> cv2.typing.MatLike:
    return fixed_point(landmarks[list(ring), :2])
