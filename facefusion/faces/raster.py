"""Painting a face mesh into a picture: which triangle is seen at each pixel, and which atlas texel belongs to it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import SHIFT
from facefusion.faces.face import Floats
from facefusion.faces.topology import MeshTopology, eye_distance

Ints = npt.NDArray[np.int32]

# Triangles under this signed area (square pixels, twice) are back faces or slivers, whose affine maps explode into
# white specks.
LARGEST_AREA = -0.6
# Atlas coordinate of pixels that no triangle covers.
OUTSIDE = -9000.0


def paint_triangles(topology: MeshTopology, points: Floats, depth: Floats, width: int, height: int) -> Ints:
    """The front-most triangle at each pixel, int32 [height,width], -1 where there is none.

    points: float32 [468,2] in picture pixels; depth: [468], larger is farther. Painted from far to near, which is
    all that self-occlusion needs here.
    """
    index = np.full((height, width), -1, np.int32)
    corners = points[topology.triangles]
    area = signed_areas(corners)
    order = np.argsort(-depth[topology.triangles].mean(1), kind='stable')
    fixed = np.round(corners * (1 << SHIFT)).astype(np.int32)
    for number in order[area[order] < LARGEST_AREA].tolist():
        cv2.fillConvexPoly(index, fixed[number], number, lineType=8, shift=SHIFT)
    return index


def signed_areas(corners: Floats) -> Floats:
    """Twice the signed areas of triangles [n,3,2]; negative faces the camera (y down)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])


def atlas_coordinates(topology: MeshTopology, index: Ints, points: Floats, size: int) -> tuple[Floats, Floats]:
    """Atlas pixel coordinates u, v of an atlas of ``size`` at each pixel of ``index``, OUTSIDE where it is -1."""
    places = (topology.atlas * size - 0.5)[topology.triangles]
    corners = points[topology.triangles]
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    f1, f2 = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)
    rows = []
    for axis in (0, 1):
        by_x = (f1[:, axis] * e2[:, 1] - f2[:, axis] * e1[:, 1]) / area
        by_y = (f2[:, axis] * e1[:, 0] - f1[:, axis] * e2[:, 0]) / area
        rows += [by_x, by_y, places[:, 0, axis] - by_x * corners[:, 0, 0] - by_y * corners[:, 0, 1]]
    # One more row, found by index -1, sends uncovered pixels OUTSIDE.
    affine = np.vstack([np.stack(rows, 1), [0, 0, OUTSIDE, 0, 0, OUTSIDE]]).astype(np.float32)[index]
    x = np.arange(index.shape[1], dtype=np.float32)[None]
    y = np.arange(index.shape[0], dtype=np.float32)[:, None]
    return affine[..., 0] * x + affine[..., 1] * y + affine[..., 2], affine[..., 3] * x + affine[..., 4] * y + affine[
        ..., 5
    ]


def visible_triangles(topology: MeshTopology, landmarks: Floats) -> Floats:
    """1 for each triangle [898] that the camera sees, else 0.

    Painted at 256 pixels; a triangle counts when it faces the camera and is front-most at its centre, or less than
    0.15 eye distances behind what is.
    """
    low = landmarks[:, :2].min(0)
    scale = 256 / max(float(np.ptp(landmarks[:, :2], axis=0).max()), 1.0)
    points = ((landmarks[:, :2] - low) * scale + 4).astype(np.float32)
    index = paint_triangles(topology, points, landmarks[:, 2], 264, 264)
    corners = points[topology.triangles]
    centres = np.clip(np.round(corners.mean(1)).astype(int), 0, 263)
    hit = index[centres[:, 1], centres[:, 0]]
    depth = landmarks[topology.triangles, 2].mean(1)
    front = np.where(hit >= 0, depth[hit], 0)
    near = (hit == np.arange(len(hit))) | (depth - front < 0.15 * eye_distance(landmarks))
    return np.asarray((signed_areas(corners) < 0) & near, np.float32)
