"""The 468-point face mesh of MediaPipe (Kartynnik et al. 2019), on a rotated square crop."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np

from facefusion.faces.face import Detection, Floats
from facefusion.media.frame import Frame

CROP = 192
# The width of a crop relative to the extent of its points (MediaPipe's margin).
MARGIN = 1.5


class Region(NamedTuple):
    """A rotated square in frame pixels: centre, side, and the angle of its upper edge in radians."""

    centre_x: float
    centre_y: float
    side: float
    angle: float


class FaceMesh:
    """Runs the mesh on regions of a frame.

    The session maps ``[1,192,192,3]`` float32 RGB 0..1 to 1404 values (468 x, y, z in crop pixels) and a presence
    logit.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, frame: Frame, region: Region) -> tuple[Floats, float]:
        """Return landmarks float32 [468,3] in frame pixels, and the presence 0..1 of a face in ``region``."""
        forward, backward = _crop_matrices(region)
        crop = frame.warp(forward, CROP, CROP)
        tensor = np.asarray(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB), np.float32)[None]
        tensor /= 255
        outputs = self._session.run(None, {self._input: tensor})
        points = next(output for output in outputs if output.size == 1404).reshape(468, 3)
        logit = float(next(output for output in outputs if output.size == 1).ravel()[0])
        landmarks = np.empty((468, 3), np.float32)
        landmarks[:, :2] = points[:, :2] @ backward[:, :2].T + backward[:, 2]
        landmarks[:, 2] = points[:, 2] * (region.side / CROP)
        return landmarks, 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def region_from_detection(detection: Detection) -> Region:
    """The first region of a new face, from its five points (embedded-models.md section 3)."""
    eyes, mouth = detection.points[:2].mean(0), detection.points[3:].mean(0)
    across = detection.points[1] - detection.points[0]
    centre = 0.45 * eyes + 0.55 * mouth
    side = 3.2 * max(float(np.hypot(*(mouth - eyes))), float(np.hypot(*across)))
    return Region(float(centre[0]), float(centre[1]), max(side, 8.0), math.atan2(across[1], across[0]))


def region_from_landmarks(landmarks: Floats) -> Region:
    """The region for the next run on a known face: level with the eyes, MARGIN times the extent of the points."""
    across = landmarks[263, :2] - landmarks[33, :2]
    angle = math.atan2(across[1], across[0])
    cos, sin = math.cos(angle), math.sin(angle)
    turned = landmarks[:, :2] @ np.array([[cos, -sin], [sin, cos]], np.float32)
    low, high = turned.min(0), turned.max(0)
    middle = (low + high) / 2
    centre_x = float(middle[0]) * cos - float(middle[1]) * sin
    centre_y = float(middle[0]) * sin + float(middle[1]) * cos
    return Region(centre_x, centre_y, max(float((high - low).max()) * MARGIN, 8.0), angle)


def _crop_matrices(region: Region) -> tuple[np.ndarray[Any, np.dtype[np.float64]], Floats]:
    """Return the matrices from frame to crop (float64 [2,3]) and from crop to frame (float32 [2,3])."""
    scale = CROP / region.side
    cos, sin = math.cos(region.angle) * scale, math.sin(region.angle) * scale
    x, y = region.centre_x, region.centre_y
    forward = np.array([[cos, sin, CROP / 2 - cos * x - sin * y], [-sin, cos, CROP / 2 + sin * x - cos * y]])
    back = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))[:2].astype(np.float32)
    return forward, back
