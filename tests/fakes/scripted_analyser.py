"""An analyser that finds scripted faces, for tests of tracking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fakes.face_chunks import face_at, reduced
from fakes.scenes import scene

from facefusion.faces.face import MESH_POINTS, Detection, Face, box_overlap, landmark_box
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.measurement_types import Measurements, Meters
from facefusion.faces.skin import SKIN, TRAIT_COUNT
from facefusion.media.frame import PixelFrame

# The minimum overlap of a face between two frames at which the mesh follows it.
FOLLOWED_OVERLAP = 0.5


def frame_at(number: int, shot: int = 90) -> PixelFrame:
    """Return a frame of 320x180 with the scene ``shot``."""
    return PixelFrame(np.dstack([scene(shot, 320, 180)] * 3), number=number)


@dataclass(frozen=True)
class Actor:
    """A face that the mesh finds in the frames ``seen``, and the detector in ``detected`` (None: also in ``seen``)."""

    seen: frozenset[int]
    detected: frozenset[int] | None = None
    place: Callable[[int], tuple[float, float]] = lambda frame: (100.0, 90.0)
    score: float = 0.9
    size: float = 25.0
    points: int = MESH_POINTS

    def landmarks(self, frame: int) -> np.ndarray:
        return face_at(*self.place(frame), self.size)

    def box(self, frame: int) -> np.ndarray:
        return landmark_box(self.landmarks(frame))


class ScriptedAnalyser:
    """An analyser that records the frames of the detector in ``detections``, and those of the mesh in ``looks``."""

    def __init__(self, *actors: Actor, most: int = 72, is_sure: Callable[[Face], bool] = lambda face: True) -> None:
        self.actors = actors
        self.most = most
        self._is_sure = is_sure
        self.detections: list[int] = []
        self.looks: list[int] = []
        # The frames in which a face was verified.
        self.second_looks: list[int] = []
        # Additional boxes that the detector finds, by frame.
        self.ghosts: dict[int, np.ndarray] = {}

    def detect(self, frame) -> list[Detection]:
        self.detections.append(frame.number)
        found = [
            Detection(actor.box(frame.number), five_points(actor.landmarks(frame.number)), actor.score)
            for actor in self.actors
            if frame.number in (actor.seen if actor.detected is None else actor.detected)
        ]
        ghost = self.ghosts.get(frame.number)
        if ghost is not None:
            found.append(Detection(ghost, np.zeros((5, 2), np.float32), 0.6))
        return sorted(found, key=lambda detection: -detection.score)

    def from_detection(self, frame, detection: Detection) -> Face | None:
        return self._nearest(frame, detection.box, detection.score, 0.05)

    def follow(self, frame, landmarks: np.ndarray, score: float) -> Face | None:
        self.looks.append(frame.number)
        return self._nearest(frame, landmark_box(landmarks), score, FOLLOWED_OVERLAP)

    def is_sure(self, frame, face: Face) -> bool:
        self.second_looks.append(frame.number)
        return self._is_sure(face)

    def find_some(self, frame, detections: list[Detection]) -> tuple[list[Face], int]:
        found = [self.from_detection(frame, detection) for detection in detections[: self.most]]
        return [face for face in found if face is not None], max(0, len(detections) - self.most)

    def _nearest(self, frame, box: np.ndarray, score: float, least: float) -> Face | None:
        visible = [actor for actor in self.actors if frame.number in actor.seen]
        near = [(box_overlap(actor.box(frame.number), box), -k) for k, actor in enumerate(visible)]
        if not near or max(near)[0] < least:
            return None
        actor = visible[-max(near)[1]]
        return Face(reduced(actor.landmarks(frame.number), actor.points), 0.99, 0.05, score)


class NumberingMeter:
    """A meter that stores the frame number and the face's position as traits, so that tests can distinguish rows."""

    def measure(self, frame, landmarks: np.ndarray) -> dict[str, np.ndarray]:
        traits = np.zeros(TRAIT_COUNT, np.float32)
        traits[:2] = frame.number, landmarks[:, 0].mean()
        light, free = np.zeros((32, 32, 4), np.uint8), np.full((64, 64), 255, np.uint8)
        return {'light': light, 'free': free, 'traits': traits}


NUMBERING = Meters(Measurements((SKIN,)), (NumberingMeter(),))
