"""The mouth of a mesh in the coordinates of the mean shape: opening and width of the inner lips."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.similarity import fit_similarity
from facefusion.faces.topology import MeshTopology

# Vertices of the inner lips: the middle of the upper and of the lower lip, and both corners.
UPPER_MIDDLE, LOWER_MIDDLE = 13, 14
CORNER_LEFT, CORNER_RIGHT = 78, 308
# The teeth are this far behind the lips, in eye distances.
TEETH_BEHIND = 0.05


class HeadPose(NamedTuple):
    """The similarity from the mean shape to a frame: pixels = turn @ point + shift. turn: [3,3]; shift: [3]."""

    turn: Floats
    shift: Floats

    @property
    def scale(self) -> float:
        """Pixels per unit of the mean shape, which is the distance between the eyes."""
        return float(np.linalg.norm(self.turn[:, 0]))


def head_pose(topology: MeshTopology, landmarks: Floats) -> HeadPose:
    """Return the pose of the head by the vertices that expressions move least, of landmarks float32 [468,3]."""
    matrix = fit_similarity(topology.mean_shape[topology.rigid], landmarks[topology.rigid])
    return HeadPose(matrix[:, :3].astype(np.float32), matrix[:, 3].astype(np.float32))


def in_head(pose: HeadPose, landmarks: Floats) -> Floats:
    """Return landmarks [n,3] of a frame in the coordinates of the mean shape."""
    inverse = np.linalg.inv(pose.turn.astype(np.float64))
    return np.asarray((landmarks - pose.shift) @ inverse.T, np.float32)


def teeth_depth(lip: Floats, x: Floats) -> Floats:
    """Return z of the teeth at each x, of any shape: behind a lip, float32 [n,3] from the image's left to its right."""
    depth = np.interp(x.ravel(), lip[:, 0], lip[:, 2]) + TEETH_BEHIND
    return np.asarray(depth.reshape(x.shape), np.float32)


def lip_gap(shape: Floats) -> float:
    """Distance between the middles of the inner lips of a mesh [468,3], in its unit."""
    return float(np.linalg.norm(shape[UPPER_MIDDLE] - shape[LOWER_MIDDLE]))


def mouth_width(shape: Floats) -> float:
    """Distance between the corners of the inner lips of a mesh [468,3], in its unit."""
    return float(np.linalg.norm(shape[CORNER_LEFT] - shape[CORNER_RIGHT]))
