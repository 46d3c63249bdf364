"""Subsets of the 468 landmarks: five points for alignment, and the classic 68."""

from __future__ import annotations

import numpy as np

from facefusion.faces.face import LANDMARKER_POINTS, Floats

# Eye centres are the mean of corners and lids; the nose tip is between vertices 1 and 4 (embedded-models.md
# section 3).
_EYE_IMAGE_LEFT = (33, 133, 159, 145, 158, 153, 160, 144)
_EYE_IMAGE_RIGHT = (263, 362, 386, 374, 385, 380, 387, 373)
_NOSE = (1, 4)
_MOUTH_CORNERS = (61, 291)

# The 68-point layout: jaw, brows, nose ridge, nostrils, eyes, outer lips, inner lips.
MESH_68 = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
    *(78, 82, 13, 312, 308, 317, 14, 87),
)


def five_points(landmarks: Floats) -> Floats:
    """Return float32 [5,2] for alignment of landmarks [468,3] or [80,3]: eye centres at image left and right, nose tip,
    mouth corners at image left and right."""
    flat = landmarks[:, :2]
    if len(flat) == LANDMARKER_POINTS:
        return np.ascontiguousarray(flat[68:73], np.float32)
    eyes = [flat[list(_EYE_IMAGE_LEFT)].mean(0), flat[list(_EYE_IMAGE_RIGHT)].mean(0)]
    corners = [flat[vertex] for vertex in _MOUTH_CORNERS]
    return np.stack([*eyes, flat[list(_NOSE)].mean(0), *corners]).astype(np.float32)


def sixty_eight_points(landmarks: Floats) -> Floats:
    """Return float32 [68,2] of landmarks [468,3] or [80,3], in the classic order."""
    if len(landmarks) == LANDMARKER_POINTS:
        return np.ascontiguousarray(landmarks[:68, :2], np.float32)
    return np.asarray(landmarks[list(MESH_68), :2], np.float32)


def detector_points(landmarks: Floats) -> Floats:
    """Return float32 [5,2]: the five points of the detector, or those of the mesh for [468,3]."""
    if len(landmarks) == LANDMARKER_POINTS:
        return np.ascontiguousarray(landmarks[75:80, :2], np.float32)
    return five_points(landmarks)
