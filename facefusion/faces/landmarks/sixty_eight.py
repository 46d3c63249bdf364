"""The published landmarkers of 68 points: 2DFAN4 (Bulat & Tzimiropoulos 2017), Peppa-Pig WUTZ, and an estimator.

The estimator finds the 68 points from five. Crops, scores and the choice of the better result are as in FaceFusion 3.8
(peer-models.md section 5).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.templates import Matrix, crop_frame, template_matrix
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels

CROP = 256
# The larger side, in crop pixels, of the box around a face.
_FACE_SIDE = 195
# The networks return points in units of a grid of this size.
_GRID = 64
# Crops darker than this mean lightness (0..255) get more contrast.
_DARK = 30
# Peppa-Pig replaces 2DFAN4 only if its score is higher by this much.
_ADVANTAGE = 0.2


class Scored(NamedTuple):
    """Landmarks float32 [68,2] in frame pixels, and a score, 0..1."""

    points: Floats
    score: float


class CropLandmarker(Protocol):
    """Finds 68 points in an upright crop."""

    def run(self, crop: Pixels) -> Scored:
        """Return points in crop pixels for a crop uint8 [256,256,3] BGR."""
        ...


class TwoDFan4:
    """Returns 68 points and heat maps; the session takes ``[1,3,256,256]`` float32 BGR 0..1."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, crop: Pixels) -> Scored:
        """Return the points and a score, which reaches 1 at a mean heat of 0.9."""
        points, heat = self._session.run(None, {self._input: _tensor(crop)})[:2]
        highest = heat.reshape(heat.shape[0], 68, -1).max(-1).mean()
        return Scored(points[0, :, :2] / _GRID * CROP, float(np.clip(highest / 0.9, 0, 1)))


class PeppaWutz:
    """Returns 68 points with a score each; the session takes ``[1,3,256,256]`` float32 BGR 0..1."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, crop: Pixels) -> Scored:
        """Return the points and a score, which reaches 1 at a mean score of 0.95."""
        rows = self._session.run(None, {self._input: _tensor(crop)})[0].reshape(-1, 3)
        return Scored(rows[:, :2] / _GRID * CROP, float(np.clip(rows[:, 2].mean() / 0.95, 0, 1)))


class Best:
    """Runs 2DFAN4 and Peppa-Pig, and returns the points of the better one."""

    def __init__(self, first: CropLandmarker, second: CropLandmarker) -> None:
        self._first = first
        self._second = second

    def run(self, crop: Pixels) -> Scored:
        """Return the points of the first network unless the second has a clearly higher score."""
        first, second = self._first.run(crop), self._second.run(crop)
        return first if first.score > second.score - _ADVANTAGE else second


class PointEstimator:
    """Estimates 68 points from five; the session takes ``[1,5,2]`` float32, aligned to ffhq_512, 0..1."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, five: npt.NDArray[np.floating]) -> Floats:
        """Return float32 [68,2] in frame pixels."""
        matrix = template_matrix(five, 'ffhq_512', 1)
        aligned = cv2.transform(np.asarray(five, np.float64).reshape(1, -1, 2), matrix).astype(np.float32)
        points = self._session.run(None, {self._input: aligned})[0]
        back = cv2.invertAffineTransform(matrix)
        return np.asarray(cv2.transform(points.reshape(1, -1, 2), back)[0], np.float32)


def find_points(frame: Frame, box: Floats, angle: int, network: CropLandmarker) -> Scored:
    """Run a landmarker on the face in ``box`` (x0, y0, x1, y1), turned upright by ``angle`` (0, 90, 180, 270)."""
    scale = _FACE_SIDE / max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0)
    shift = (CROP - (box[:2] + box[2:]) * scale) / 2
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    crop = crop_frame(frame, matrix, (CROP, CROP), cv2.BORDER_CONSTANT)
    turn = turn_matrix(angle)
    if angle:
        crop = np.asarray(cv2.warpAffine(crop, turn, (CROP, CROP)), np.uint8)
    found = network.run(lightened(crop))
    points: npt.NDArray[np.float64] = np.asarray(found.points, np.float64).reshape(1, -1, 2)
    for back in (cv2.invertAffineTransform(turn), cv2.invertAffineTransform(matrix)):
        points = np.asarray(cv2.transform(points, back), np.float64)
    return Scored(np.asarray(points[0], np.float32), found.score)


def face_angle(points: npt.NDArray[np.floating]) -> int:
    """Return the rotation of a face in degrees, 0, 90, 180 or 270, from the ends of the jaw in points [68,2]."""
    across = points[16] - points[0]
    degrees = math.degrees(math.atan2(float(across[1]), float(across[0]))) % 360
    return round(degrees / 90) % 4 * 90


def five_of_68(points: npt.NDArray[np.floating]) -> Floats:
    """Return float32 [5,2]: both eyes as means, the nose tip and the corners of the mouth."""
    eyes = (points[36:42].mean(0), points[42:48].mean(0))
    return np.asarray(np.stack([*eyes, points[30], points[48], points[54]]), np.float32)


def turn_matrix(angle: int) -> Matrix:
    """Return the matrix float64 [2,3] that turns a crop counter-clockwise by a right angle."""
    return np.asarray(cv2.getRotationMatrix2D((CROP / 2, CROP / 2), angle, 1), np.float64)


def lightened(crop: Pixels) -> Pixels:
    """Return a dark crop with more contrast.

    As in FaceFusion 3.8, BGR is treated as RGB in the conversion to Lab and back.
    """
    lab = cv2.cvtColor(crop, cv2.COLOR_RGB2Lab)
    if lab[..., 0].mean() < _DARK:
        lab[..., 0] = cv2.createCLAHE(clipLimit=2).apply(lab[..., 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.uint8)


def _tensor(crop: Pixels) -> Floats:
    return np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
