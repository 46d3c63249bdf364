"""Find faces with a published landmarker of 68 points, in place of the mesh.

A face has 73 landmarks: the 68, and behind them the five points of its alignment. Those are the means of the 68 where
the landmarker is sure of them, otherwise the points of the detector (peer-models.md section 5). All 73 are followed and
smoothed alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facefusion.faces.analyser import SPARE_FACES, FaceAnalyser, FaceFinder, largest_detections
from facefusion.faces.face import Detection, Face, Floats
from facefusion.faces.landmarks.sixty_eight import CropLandmarker, PointEstimator, face_angle, find_points, five_of_68
from facefusion.faces.networks import Detector, make_detector, make_point_landmarker
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame

# The box of a detector reaches above the brows by this fraction of the height of the 68 points.
_FOREHEAD = 0.25


class PointAnalyser(FaceFinder):
    """Detector, estimator of 68 points, and landmarker; the estimator alone with a landmarker score of 0."""

    def __init__(
        self,
        detector: Detector,
        estimator: PointEstimator,
        landmarker: CropLandmarker,
        options: FaceLandmarkerOptions,
        selector: FaceSelectorOptions,
    ) -> None:
        self._detector = detector
        self._estimator = estimator
        self._landmarker = landmarker
        self._score = options.face_landmarker_score
        self.most = selector.max_faces + SPARE_FACES

    def detect(self, frame: Frame) -> list[Detection]:
        return self._detector.detect(frame)

    def from_detection(self, frame: Frame, detection: Detection) -> Face:
        """Return the face at a detection; every detection is one."""
        estimated = self._estimator.run(detection.points)
        if self._score == 0:
            return _face(estimated, detection.points, 0.0, detection.score)
        found = find_points(frame, detection.box, face_angle(estimated), self._landmarker)
        five = five_of_68(found.points) if found.score > self._score else detection.points
        return _face(found.points, five, found.score, detection.score)

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        """Return the face near ``landmarks`` of a neighbouring frame, or None if the landmarker is not sure of it."""
        if self._score == 0:
            return None
        points = landmarks[:68, :2]
        angle = face_angle(points)
        found = find_points(frame, _detector_box(points, angle), angle, self._landmarker)
        if found.score <= self._score:
            return None
        return _face(found.points, five_of_68(found.points), found.score, score)

    def is_sure(self, frame: Frame, face: Face) -> bool:
        """Whether a new face passes verification: the detector alone decides."""
        return True

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        examined = largest_detections(detections, self.most)
        return [self.from_detection(frame, each) for each in examined], len(detections) - len(examined)


def make_analyser(
    sessions: SessionPool,
    detector: FaceDetectorOptions,
    landmarker: FaceLandmarkerOptions,
    selector: FaceSelectorOptions,
) -> FaceFinder:
    """Return the finder with the networks that the options name. Raises ModelError, ProviderError."""
    networks = make_point_landmarker(landmarker, sessions)
    if networks is None:
        return FaceAnalyser(sessions, detector, landmarker, selector=selector)
    return PointAnalyser(make_detector(detector, sessions), *networks, landmarker, selector)


def _face(points: Floats, five: npt.NDArray[np.floating], presence: float, score: float) -> Face:
    flat = np.concatenate([points, five]).astype(np.float32)
    return Face(np.concatenate([flat, np.zeros((len(flat), 1), np.float32)], 1), presence, 0.0, score)


def _detector_box(points: Floats, angle: int) -> Floats:
    """The box float32 [4] that a detector would report for these 68 points."""
    low, high = points.min(0), points.max(0)
    # Index of the axis and of the end of the box at which the forehead lies.
    axis = 1 if angle in (0, 180) else 0
    forehead = _FOREHEAD * float(high[axis] - low[axis])
    if angle in (0, 270):
        low[axis] -= forehead
    else:
        high[axis] += forehead
    return np.asarray(np.concatenate([low, high]), np.float32)
