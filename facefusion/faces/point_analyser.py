"""Find faces with a published landmarker of 68 points, in place of the mesh.

A face has 80 landmarks: the 68 points, five points for alignment, two corners of the detector's box, and the detector's
five points. The points for alignment are computed from the 68 if the landmarker is sure of them; otherwise they are
those of the detector (peer-models.md section 5). All 80 are followed and smoothed in the same way.
"""

from __future__ import annotations

import numpy as np

from facefusion.faces.analyser import SPARE_FACES, FaceAnalyser, FaceFinder, largest_detections
from facefusion.faces.face import BOX_CORNERS, Detection, Face, Floats, landmark_box
from facefusion.faces.landmarks.sixty_eight import (
    CropLandmarker,
    PointEstimator,
    Scored,
    face_angle,
    find_points,
    five_of_68,
)
from facefusion.faces.landmarks.subsets import detector_points
from facefusion.faces.networks import Detector, make_detector, make_point_landmarker
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame


class PointAnalyser(FaceFinder):
    """Detector, estimator of 68 points, and landmarker; a landmarker score of 0 disables the landmarker."""

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
        """Return the face at a detection; every detection counts as a face."""
        estimated = self._estimator.run(detection.points)
        if self._score == 0:
            return _face(Scored(estimated, 0.0), detection.points, detection.box, detection.points, detection.score)
        found = find_points(frame, detection.box, face_angle(estimated), self._landmarker)
        five = five_of_68(found.points) if found.score > self._score else detection.points
        return _face(found, five, detection.box, detection.points, detection.score)

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        """Return the face near ``landmarks`` of a neighbouring frame, or None if the landmarker is not sure of it."""
        if self._score == 0:
            return None
        points = landmarks[:68, :2]
        found = find_points(frame, landmark_box(landmarks), face_angle(points), self._landmarker)
        if found.score <= self._score:
            return None
        box, five = _moved(landmarks[BOX_CORNERS, :2], points, found.points), detector_points(landmarks)
        return _face(found, five_of_68(found.points), box.ravel(), _moved(five, points, found.points), score)

    def is_sure(self, frame: Frame, face: Face) -> bool:
        """Return True: every detection counts as a face."""
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
    """Return the finder with the networks that the options select. Raises ModelError, ProviderError."""
    networks = make_point_landmarker(landmarker, sessions)
    if networks is None:
        return FaceAnalyser(sessions, detector, landmarker, selector=selector)
    return PointAnalyser(make_detector(detector, sessions), *networks, landmarker, selector)


def _face(found: Scored, five: Floats, box: Floats, detected: Floats, score: float) -> Face:
    flat = np.concatenate([found.points, five, np.reshape(box, (2, 2)), detected]).astype(np.float32)
    return Face(np.concatenate([flat, np.zeros((len(flat), 1), np.float32)], 1), found.score, 0.0, score)


def _moved(points: Floats, before: Floats, after: Floats) -> Floats:
    """Shift and scale points by the transform from the extent of the landmarks ``before`` to that of ``after``."""
    low, low_after = before.min(0), after.min(0)
    scale = np.ptp(after, axis=0) / np.maximum(np.ptp(before, axis=0), 1e-3)
    return np.asarray((points - low) * scale + low_after, np.float32)
