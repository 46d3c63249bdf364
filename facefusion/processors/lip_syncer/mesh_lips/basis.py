"""How the mesh follows the lips and the jaw: weights per vertex, computed from the mean shape.

No table is learned. A weight is given at some vertices (lips, chin, nose) and continued over the surface so that it
bends as little as possible: the sum of the squared Laplacians is minimal (biharmonic; Botsch and Kobbelt 2004).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_number
from facefusion.faces.face import Floats
from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS, OVAL, VERTEX_COUNT, MeshTopology

Doubles = npt.NDArray[np.float64]

RING = np.array(INNER_LIPS)
OUTER_RING = np.array(OUTER_LIPS)
# The two rings of vertices between them, from the inner to the outer one, in the same order.
MIDDLE_RINGS = np.array(
    (
        (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
        (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    )
)
# Positions in RING: both corners, and the lower and the upper lip, each from the image's left to its right.
CORNERS = np.array([0, 10])
LOWER = np.arange(1, 10)
UPPER = np.arange(19, 10, -1)
# The axis of the jaw, in the mean shape: through both joints in front of the ears. y and z in eye distances.
HINGE = np.array([0.05, 0.90])
# Vertices above this y in the mean shape never move: the nose ends at 0.19.
NOSE_END = 0.20
# The jaw carries everything below CHIN_TOP; along the outline it carries nothing above JAW_TOP.
CHIN_TOP = 0.86
JAW_TOP, JAW_END = 0.25, 0.75
# Share of the inner lips' motion at the outer edge of the lips: they are stretched less than the skin around them.
OUTER_SHARE = 0.95
# Share of the jaw's motion at the corners of the mouth.
CORNER_SHARE = 0.35


class MouthBasis:
    """The weights of one topology; immutable.

    jaw: float32 [468], the share of a vertex in the rotation of the jaw. follow: float32 [468,20], its share in the
    displacement of each vertex of the inner lips. lower_face: float32 [468], 1 around the mouth, 0 above the nose:
    where the own articulation of a face is replaced.
    """

    def __init__(self, topology: MeshTopology) -> None:
        self._mean = mean = topology.mean_shape
        energy = surface_energy(topology)
        still = np.flatnonzero(mean[:, 1] < NOSE_END)
        self.follow = self._follow(energy, still)
        self.jaw = self._jaw(energy, still)
        self.lower_face = self._lower_face(energy, still)

    def _follow(self, energy: Doubles, still: npt.NDArray[np.int64]) -> Floats:
        fixed = np.union1d(still, OVAL)
        known = np.concatenate([fixed, RING, OUTER_RING])
        lips = np.eye(len(RING))
        goal = np.vstack([np.zeros((len(fixed), len(RING))), lips, OUTER_SHARE * lips])
        return continued(energy, known, goal)

    def _jaw(self, energy: Doubles, still: npt.NDArray[np.int64]) -> Floats:
        mean = self._mean
        weights: dict[int, float] = dict.fromkeys(still.tolist(), 0.0)
        for vertex in OVAL:
            weights[vertex] = smooth_number(float(mean[vertex, 1] - JAW_TOP) / (JAW_END - JAW_TOP))
        chin = (mean[:, 1] > CHIN_TOP) & (np.abs(mean[:, 0]) < 0.5)
        weights |= dict.fromkeys(np.flatnonzero(chin).tolist(), 1.0)
        half = float(mean[RING[CORNERS], 0].max())
        for place, vertex in enumerate(RING.tolist()):
            side = min((mean[vertex, 0] / half) ** 2, 1.0)
            centre = 1.0 if place in LOWER else 0.0
            weights[vertex] = CORNER_SHARE * side + centre * (1 - side)
        return np.clip(continued(energy, np.array(list(weights)), np.array(list(weights.values()))), 0, 1)

    def _lower_face(self, energy: Doubles, still: npt.NDArray[np.int64]) -> Floats:
        mean = self._mean
        weights: dict[int, float] = dict.fromkeys(still.tolist(), 0.0)
        for vertex in OVAL:
            weights[vertex] = smooth_number(float(mean[vertex, 1] - JAW_TOP) / (1.1 - JAW_TOP))
        weights |= dict.fromkeys([*INNER_LIPS, *OUTER_LIPS], 1.0)
        chin = (mean[:, 1] > CHIN_TOP) & (np.abs(mean[:, 0]) < 0.5)
        weights |= dict.fromkeys(np.flatnonzero(chin).tolist(), 1.0)
        return np.clip(continued(energy, np.array(list(weights)), np.array(list(weights.values()))), 0, 1)


def continued(energy: Doubles, known: npt.NDArray[np.int64], goal: Doubles) -> Floats:
    """The values of all vertices with the least ``energy``, given those of ``known`` vertices: float32 [468,...]."""
    free = np.setdiff1d(np.arange(VERTEX_COUNT), known)
    values = np.zeros((VERTEX_COUNT, *goal.shape[1:]))
    values[known] = goal
    inner = energy[np.ix_(free, free)]
    inner[np.diag_indices(len(free))] += 1e-9
    values[free] = np.linalg.solve(inner, -energy[np.ix_(free, known)] @ goal)
    return values.astype(np.float32)


def surface_energy(topology: MeshTopology) -> Doubles:
    """The matrix [468,468] of the sum of the squared Laplacians of values per vertex."""
    bend = _laplacian(topology)
    return np.asarray(bend.T @ bend)


def _laplacian(topology: MeshTopology) -> Doubles:
    """The Laplacian of the surface, [468,468], with weights by the inverse lengths of the edges of the mean shape."""
    matrix = np.zeros((VERTEX_COUNT, VERTEX_COUNT))
    for a, b in ((0, 1), (1, 2), (2, 0)):
        start, end = topology.surface[:, a], topology.surface[:, b]
        length = np.linalg.norm(topology.mean_shape[start] - topology.mean_shape[end], axis=1)
        matrix[start, end] = matrix[end, start] = 1 / np.maximum(length, 1e-3)
    matrix /= matrix.sum(1, keepdims=True)
    return np.asarray(np.eye(VERTEX_COUNT) - matrix)
