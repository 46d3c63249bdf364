"""The direction of a head, from its mesh."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.similarity import scale_and_rotation
from facefusion.faces.topology import MeshTopology


def head_rotation(topology: MeshTopology, landmarks: Floats) -> npt.NDArray[np.float64]:
    """The rotation float64 [3,3] that turns the mean shape to the landmarks [468,3].

    Its last column points from the face into the head; for a frontal face it is (0, 0, 1), away from the camera. The x
    axis points to the image's right, the y axis down.
    """
    return scale_and_rotation(topology.mean_shape[topology.rigid], landmarks[topology.rigid])[1]


def turned_away(topology: MeshTopology, landmarks: Floats) -> float:
    """Degrees between the face's direction and the camera, yaw and pitch combined: 0 is frontal, 90 a profile.

    Like the faces that it was computed from, the mean shape is not exactly level, so frontal faces measure 2 to
    12 degrees.
    """
    depth = float(np.clip(head_rotation(topology, landmarks)[2, 2], -1, 1))
    return float(np.degrees(np.arccos(depth)))


def yaw(topology: MeshTopology, landmarks: Floats) -> float:
    """Degrees by which the head is turned to the side, positive towards the image's right."""
    rotation = head_rotation(topology, landmarks)
    return float(np.degrees(np.arctan2(-rotation[0, 2], rotation[2, 2])))
