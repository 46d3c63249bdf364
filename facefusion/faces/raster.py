"""Rasterise a face mesh: the visible triangle and the atlas coordinates at each pixel."""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.atlas import SHIFT, fixed_point
from facefusion.faces.face import Bools, Floats, Ints
from facefusion.faces.topology import MeshTopology, eye_distance, signed_areas

# Triangles whose doubled signed area (in square pixels) is above this are back faces or slivers. They are not painted,
# because the affine maps of slivers cause white specks.
LARGEST_AREA = -0.6
# Atlas coordinate of pixels that no triangle covers.
OUTSIDE = -9000.0
# Range of the distances from the camera, relative to the nearest one, at which a mesh is projected.
DEPTH_RANGE = 1e-3


def paint_triangles(
    topology: MeshTopology, points: Floats, depth: Floats, width: int, height: int, part: Bools | None = None
) -> Ints:
    """The front-most triangle at each pixel, int32 [height,width], -1 outside the mesh.

    points: float32 [468,2] in image pixels; depth: [468], larger is farther. Triangles are painted from far to near,
    which is sufficient for self-occlusion. ``part``: bool [898], the triangles to paint; without it, all.
    """
    index = np.full((height, width), -1, np.int32)
    corners = points[topology.triangles]
    area = signed_areas(corners)
    order = np.argsort(-depth[topology.triangles].mean(1), kind='stable')
    fixed = fixed_point(corners)
    is_painted = area < LARGEST_AREA
    if part is not None:
        is_painted &= part
    for number in order[is_painted[order]].tolist():
        cv2.fillConvexPoly(index, fixed[number], number, lineType=8, shift=SHIFT)
    return index


def atlas_coordinates(topology: MeshTopology, index: Ints, points: Floats, size: int) -> tuple[Floats, Floats]:
    """Pixel coordinates u, v in an atlas of ``size`` at each pixel of ``index``, OUTSIDE where it is -1."""
    return mesh_coordinates(topology, index, points, topology.texels(size))


def mesh_coordinates(topology: MeshTopology, index: Ints, points: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Two values per vertex, [468,2], interpolated at each pixel of ``index``; OUTSIDE where it is -1.

    points: float32 [468,2], the vertices in pixels of ``index``.
    """
    goals = values[topology.triangles]
    corners = points[topology.triangles]
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    f1, f2 = goals[:, 1] - goals[:, 0], goals[:, 2] - goals[:, 0]
    area = e1[:, 0] * e2[:, 1] - e1[:, 1] * e2[:, 0]
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)
    rows = []
    for axis in (0, 1):
        by_x = (f1[:, axis] * e2[:, 1] - f2[:, axis] * e1[:, 1]) / area
        by_y = (f2[:, axis] * e1[:, 0] - f1[:, axis] * e2[:, 0]) / area
        rows += [by_x, by_y, goals[:, 0, axis] - by_x * corners[:, 0, 0] - by_y * corners[:, 0, 1]]
    # The extra last row, at index -1, maps uncovered pixels to OUTSIDE.
    affine = np.vstack([np.stack(rows, 1), [0, 0, OUTSIDE, 0, 0, OUTSIDE]]).astype(np.float32)[index]
    x = np.arange(index.shape[1], dtype=np.float32)[None]
    y = np.arange(index.shape[0], dtype=np.float32)[:, None]
    u, v = (affine[..., k] * x + affine[..., k + 1] * y + affine[..., k + 2] for k in (0, 3))
    return u, v


def project_coordinates(
    topology: MeshTopology, points: Floats, depth: Floats, values: Floats, width: int, height: int
) -> tuple[Floats, Floats]:
    """Two values per vertex, [468,2], at each pixel of the visible surface; OUTSIDE where there is none.

    points: [468,2] in image pixels; depth: [468], larger is farther. Returns two float32 [height,width]. OpenCV paints
    the triangles that face the camera with a depth buffer, in a third of the time of ``paint_triangles`` and
    ``mesh_coordinates``. It covers the pixels whose centres are inside a triangle.
    """
    low = depth.min()
    # OpenCV projects from a camera at 0 along -z. The distances differ so little that values stay linear in the image.
    z = 1 + (depth - low) * np.float32(DEPTH_RANGE / max(float(depth.max() - low), 1e-6))
    half = height / 2
    vertices = np.empty((len(points), 3), np.float32)
    vertices[:, 0] = (points[:, 0] + (0.5 - width / 2)) * z / half
    vertices[:, 1] = (half - 0.5 - points[:, 1]) * z / half
    vertices[:, 2] = -z
    colours = np.zeros((len(points), 3), np.float32)
    colours[:, :2] = values
    image, nearest = np.full((height, width, 3), OUTSIDE, np.float32), np.full((height, width), 2, np.float32)
    settings = cv2.TriangleRasterizeSettings()
    settings.setCullingMode(cv2.RASTERIZE_CULLING_CW)
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    camera = np.eye(4, dtype=np.float32)
    cv2.triangleRasterize(vertices, topology.triangles, colours, image, nearest, camera, np.pi / 2, 0.5, 2.0, settings)
    u, v, _ = cv2.split(image)
    return np.asarray(u, np.float32), np.asarray(v, np.float32)


def visible_triangles(topology: MeshTopology, landmarks: Floats) -> Floats:
    """1 for each triangle [898] that is visible to the camera, else 0.

    The mesh is painted at 256 pixels. A visible triangle faces the camera and is front-most at its centre, or less than
    0.15 eye distances behind the front-most triangle.
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
