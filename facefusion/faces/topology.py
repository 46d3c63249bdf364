"""The 468-point face mesh as a surface: triangles, rings, mirror pairs, mean shape and atlas layout.

Vertex numbers are those of the MediaPipe face mesh. "Image left" is the left side of the image, which is the
person's right. ``scripts/make_face_tables.py`` generates the tables in ``mesh_tables.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from facefusion.faces.face import Floats, Ints
from facefusion.faces.similarity import fit_similarity

VERTEX_COUNT = 468

# Closed rings in order. Lids and lips start at one corner, run along the lower edge to the other corner and back
# along the upper edge.
OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
EYE_IMAGE_LEFT = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
EYE_IMAGE_RIGHT = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
BROW_IMAGE_LEFT = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
BROW_IMAGE_RIGHT = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
# The ring around the nose: from the root between the brows down one side, along the wings, and up the other side.
NOSE = (168, 122, 188, 174, 217, 126, 129, 98, 97, 2, 326, 327, 358, 355, 437, 399, 412, 351)
NOSTRILS = (1, 2, 98, 97, 326, 327, 4, 48, 278, 64, 294)


@dataclass(frozen=True, slots=True)
class MeshTopology:
    """The static tables of the mesh.

    triangles: int32 [898,3], the mesh's 852 and those that fill both eyes and the mouth, all facing the camera.
    surface: int32 [852,3], the mesh alone. mirror: int32 [468], the vertex on the other side.
    mean_shape: float32 [468,3], eye distance 1, x to the image's right, y down, z away from the camera.
    atlas: float32 [468,2] in 0..1, positions on the unrolled face. rigid: int32 [n], vertices that expressions move
    least. fans: int32 [468,m], the surface triangles around a vertex, padded with 852.
    """

    triangles: Ints
    surface: Ints
    mirror: Ints
    mean_shape: Floats
    atlas: Floats
    rigid: Ints
    fans: Ints

    def texels(self, size: int) -> Floats:
        """Pixel coordinates float32 [468,2] of the vertices in an atlas of ``size``."""
        return self.atlas * size - 0.5

    def eyes(self, size: int) -> tuple[Floats, Floats]:
        """Eye centres [2,2] in an atlas of ``size``, and x of the inner eye corners [2]; image left first."""
        texels = self.texels(size)
        return np.stack([texels[[33, 133]].mean(0), texels[[263, 362]].mean(0)]), texels[[133, 362], 0]


@cache
def load_topology() -> MeshTopology:
    """Read the tables of the package."""
    tables = json.loads((Path(__file__).parent / 'mesh_tables.json').read_text(encoding='utf-8'))
    surface = np.array(tables['triangles'], np.int32)
    atlas = np.array(tables['atlas'], np.float32)
    holes = [(EYE_IMAGE_LEFT, 8), (EYE_IMAGE_RIGHT, 8), (INNER_LIPS, 10)]
    fill = np.array([triangle for ring, half in holes for triangle in _fill_ring(ring, half)], np.int32)
    return MeshTopology(
        # The mesh's own triangles already face the camera; a few at the lip corners are folded in the atlas.
        triangles=np.vstack([surface, _face_front(fill, atlas)]),
        surface=surface,
        mirror=np.array(tables['mirror'], np.int32),
        mean_shape=np.array(tables['mean_shape'], np.float32),
        atlas=atlas,
        rigid=_rigid_vertices(atlas),
        fans=_fans(surface),
    )


def vertex_normals(topology: MeshTopology, landmarks: Floats) -> Floats:
    """Unit normals [468,3] of landmarks [468,3]; z is negative where the surface faces the camera."""
    points = np.ascontiguousarray(landmarks.T)
    a, b, c = (points[:, topology.surface[:, k]] for k in range(3))
    (x1, y1, z1), (x2, y2, z2) = b - a, c - a
    faces = np.zeros((3, len(topology.surface) + 1), np.float32)
    faces[:, :-1] = y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2
    # The fans have one row per vertex; sums over entire rows of the transposed table are fastest.
    normals = faces[:, topology.fans.T].sum(1)
    normals /= np.maximum(np.sqrt((normals * normals).sum(0)), 1e-6)
    return np.ascontiguousarray(normals.T, np.float32)


def eye_distance(landmarks: Floats) -> float:
    """Distance of the eye centres (means of the lid corners) in the image, in pixels."""
    span = (landmarks[33, :2] + landmarks[133, :2] - landmarks[263, :2] - landmarks[362, :2]) / 2
    return float(np.hypot(span[0], span[1]))


def signed_areas(corners: Floats) -> Floats:
    """Twice the signed areas of triangles [n,3,2]; a triangle with a negative area faces the camera (y down)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])


def shape_residual(topology: MeshTopology, landmarks: Floats) -> float:
    """Mean 3-D distance of the rigid vertices to the mean shape after the best similarity fit.

    The unit is the eye distance of the mean shape. The distance is about 0.05 for faces, and hardly ever above 0.12.
    """
    goal = topology.mean_shape[topology.rigid].astype(np.float64)
    points = landmarks[topology.rigid].astype(np.float64)
    size = float(((points - points.mean(0)) ** 2).sum())
    if size < 1e-6 or not np.isfinite(size):
        return float('inf')
    matrix = fit_similarity(points, goal)
    away = points @ matrix[:, :3].T
    away += matrix[:, 3]
    away -= goal
    return float(np.sqrt((away * away).sum(1)).mean())


def _fill_ring(ring: tuple[int, ...], half: int) -> list[tuple[int, int, int]]:
    """Triangles that close a hole between its lower chain ``ring[:half+1]`` and its upper chain."""
    lower = list(ring[: half + 1])
    upper = [ring[0], *reversed(ring[half + 1 :]), ring[half]]
    triangles = []
    i = j = 0
    while i < len(lower) - 1 or j < len(upper) - 1:
        if j >= len(upper) - 1 or (i < len(lower) - 1 and i <= j):
            triangles.append((lower[i], lower[i + 1], upper[j]))
            i += 1
        else:
            triangles.append((lower[i], upper[j + 1], upper[j]))
            j += 1
    return [triangle for triangle in triangles if len(set(triangle)) == 3]


def _face_front(triangles: Ints, atlas: Floats) -> Ints:
    """Orient triangles like the mesh's own, so that their areas in the atlas are negative (y down)."""
    is_back = signed_areas(atlas[triangles]) > 0
    return np.where(is_back[:, None], triangles[:, [0, 2, 1]], triangles)


def _rigid_vertices(atlas: Floats) -> Ints:
    """Vertices away from lips, jaw, lids and brows; the bounds are those of embedded-swap.md section 1."""
    moving = {*OUTER_LIPS, *INNER_LIPS, *EYE_IMAGE_LEFT, *EYE_IMAGE_RIGHT, *BROW_IMAGE_LEFT, *BROW_IMAGE_RIGHT}
    mouth = atlas[list(INNER_LIPS)].mean(0)
    reach = np.linalg.norm((atlas - mouth) / [1.4, 1.0], axis=1)
    rigid = [v for v in range(VERTEX_COUNT) if v not in moving and atlas[v, 1] < 0.62 and reach[v] > 0.11]
    return np.array(rigid, np.int32)


def _fans(surface: Ints) -> Ints:
    around: list[list[int]] = [[] for _ in range(VERTEX_COUNT)]
    for number, triangle in enumerate(surface.tolist()):
        for vertex in triangle:
            around[vertex].append(number)
    widest = max(len(fan) for fan in around)
    return np.array([fan + [len(surface)] * (widest - len(fan)) for fan in around], np.int32)
