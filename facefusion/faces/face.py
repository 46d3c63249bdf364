"""What is known of one face in one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MESH_POINTS = 468


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """A face as a detector reports it, in frame pixels.

    box: float32 [4] x0, y0, x1, y1. points: float32 [5,2] eye at image left, eye at image right, nose tip, mouth
    corner at image left, mouth corner at image right. score: 0..1.
    """

    box: Floats
    points: Floats
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face with its landmarks.

    landmarks: float32 [468,3] in frame pixels, z in the same unit and smaller towards the camera; or the 68 of a
    landmarker, whose z is 0. presence: 0..1,
    the mesh model's own opinion. residual: distance to the mean shape in eye distances. score: of the detection
    that it comes from, 0..1. box: float32 [4] x0, y0, x1, y1 around the landmarks.
    """

    landmarks: Floats
    presence: float
    residual: float
    score: float
    box: Floats = field(init=False)

    def __post_init__(self) -> None:
        # Boxes are compared with each other far more often than faces are made.
        object.__setattr__(self, 'box', landmark_box(self.landmarks))

    @property
    def size(self) -> float:
        """The height of its box in pixels: by this the largest face of a source is found."""
        return float(np.ptp(self.landmarks[:, 1]))


def landmark_box(landmarks: Floats) -> Floats:
    """float32 [...,4] x0, y0, x1, y1 around landmarks [...,n,3]."""
    # Extremes along the last axis of a packed array are found seven times as fast as along the one before.
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


@dataclass(frozen=True, slots=True, eq=False)
class LinkedFace:
    """A face as rendering sees it: smoothed over time, with what was measured of it.

    track: number of the track in the run. landmarks: float32 [n,3]. score: of the detector. values: what processors
    required, by the names of ``FaceValue`` and ``TrackMeasurement``. is_filled: the frame
    itself showed no face here; the landmarks are interpolated.
    """

    track: int
    landmarks: Floats
    score: float
    is_filled: bool = False
    values: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    @property
    def box(self) -> Floats:
        """float32 [4] x0, y0, x1, y1 around the landmarks."""
        return landmark_box(self.landmarks)
