"""Types of a face in one frame, and the geometry of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.role import NO_ROLE, FaceRole

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

MESH_POINTS = 468
# Points of a published landmarker: 68, five for alignment, two corners of the detector's box, five of the detector.
LANDMARKER_POINTS = 80
BOX_CORNERS = slice(73, 75)


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face reported by a detector, in frame pixels.

    box: float32 [4] x0, y0, x1, y1. points: float32 [5,2] eye at image left, eye at image right, nose tip, mouth
    corner at image left, mouth corner at image right. score: 0..1.
    """

    box: Floats
    points: Floats
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face with its landmarks.

    landmarks: float32 [468,3] in frame pixels, z in the same unit and smaller towards the camera; or the 80 points of
    a published landmarker (``landmarks.subsets``), with z 0. presence: 0..1, reported by the landmarker. residual:
    distance to the mean shape in eye distances. score: that of its detection, 0..1. box: float32 [4] x0, y0, x1, y1
    around the landmarks.
    """

    landmarks: Floats
    presence: float
    residual: float
    score: float
    box: Floats = field(init=False)

    def __post_init__(self) -> None:
        # The box is stored because boxes are compared far more often than faces are created.
        object.__setattr__(self, 'box', landmark_box(self.landmarks))

    @property
    def size(self) -> float:
        """The height of the box in pixels, by which the largest face of a source is chosen."""
        return float(np.ptp(self.landmarks[:, 1]))


@dataclass(frozen=True, slots=True, eq=False)
class LinkedFace:
    """A face as rendering reads it: smoothed over time, with its measurements.

    track: number of the track in the run. landmarks: float32 [n,3]. score: the detector's score. values: the required
    measurements by the names of ``FaceValue`` and ``TrackMeasurement``. is_filled: whether the landmarks are
    interpolated. presence: the landmarker's score, 0..1. role: its person and sources.
    """

    track: int
    landmarks: Floats
    score: float
    is_filled: bool = False
    values: Mapping[str, Values] = field(default_factory=dict)
    presence: float = 1.0
    role: FaceRole = NO_ROLE

    @property
    def box(self) -> Floats:
        """float32 [4] x0, y0, x1, y1 around the landmarks."""
        return landmark_box(self.landmarks)


def landmark_box(landmarks: Floats) -> Floats:
    """float32 [...,4] x0, y0, x1, y1 around landmarks [...,n,3]; the detector's box if the landmarks include it."""
    if landmarks.shape[-2] == LANDMARKER_POINTS:
        landmarks = landmarks[..., BOX_CORNERS, :]
    # min and max along the last axis of a contiguous array are seven times as fast as along the second last axis.
    sides = np.ascontiguousarray(np.moveaxis(landmarks[..., :2], -2, -1))
    return np.concatenate([sides.min(-1), sides.max(-1)], -1).astype(np.float32)


def box_overlap(a: Floats, b: Floats) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = float(width * height)
    total = float((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])) - shared
    return shared / total if total > 0 else 0.0


def longer_side(box: Floats) -> float:
    """The larger of width and height of a box x0, y0, x1, y1."""
    return float(max(box[2] - box[0], box[3] - box[1]))
