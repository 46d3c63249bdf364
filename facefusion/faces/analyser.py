"""Finding the faces of a single picture: detection, then the mesh from the detection and once more from itself."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from facefusion.faces.face import Detection, Face, Floats, box_overlap
from facefusion.faces.landmarks.face_mesh import Region, region_from_detection, region_from_landmarks
from facefusion.faces.networks import make_detector, make_landmarker
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.topology import MeshTopology, load_topology, shape_residual
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame

# Above this distance to the mean shape, in eye distances, the mesh lies on something that is no face.
LARGEST_RESIDUAL = 0.12
# Two meshes that overlap this much are the same face.
SAME_FACE_OVERLAP = 0.5
# A face whose edges moved by more than this fraction of its size is looked at again.
SECOND_LOOK = 0.12
# Small shifts (fractions of the region's side) and scales over which the landmarks of a still are averaged.
STILL_VIEWS = ((0.0, 0.0, 1.0), (0.02, 0.0, 1.03), (-0.02, 0.0, 0.97), (0.0, -0.02, 1.0))

# The second look at a face that was not there before: four crops, moved up and down by a part of the region's side,
# and wider and closer. Measured on 424 faces, in about 30 variants of 9 pictures (an eighth of the light, noise, turned
# by 60 degrees, 24 pixels, painted glasses, cut in half): the mean presence logit is 3.2 or more, in 99.5 % of them 4.2
# or more. Meshes laid by hand on six photos of animals fail the first look (600 of 600); on drawn animals and on a face
# of wood 123 of 548 pass it, and 54 of these the second.
SURE_VIEWS = ((0.0, 0.06, 1.0), (0.0, -0.06, 1.0), (0.0, 0.0, 1.25), (0.0, 0.0, 0.85))
SURE_LOGIT = 2.0
# A mesh can lie upside down on a face with a good shape and presence: 153 of 405, when it was laid so. The crop turned
# by half is then surer by 2.8 or more; on a mesh that lies right, by 0.8 at most. One of the 153 stays, a face whose
# lower half is covered. Laid a quarter turn off, 14 of 810 pass the first look, none the second.
TURNED_LOGIT = 1.5
QUARTER_TURNS = (math.pi, math.pi / 2, -math.pi / 2)
# More faces than are worked on are looked at, so that the link chooses among the ones of about the same size.
SPARE_FACES = 8
LARGEST_LOGIT = 30.0


class FaceFinder(Protocol):
    """Finds the faces of frames; ``most`` is how many of a frame are looked at."""

    most: int

    def detect(self, frame: Frame) -> list[Detection]: ...

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None: ...

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None: ...

    def is_sure(self, frame: Frame, face: Face) -> bool: ...

    def find(self, frame: Frame) -> list[Face]: ...

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]: ...


class NoFaces:
    """Finds none: of runs in which nothing needs faces."""

    most = 0

    def detect(self, frame: Frame) -> list[Detection]:
        return []

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None:
        return None

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        return None

    def is_sure(self, frame: Frame, face: Face) -> bool:
        return False

    def find(self, frame: Frame) -> list[Face]:
        return []

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        return [], 0


class FaceAnalyser:
    """Detector, mesh and the rules by which a mesh counts as a face; shared by stills, sources and tracking.

    ``most`` is how many faces of a frame are looked at.
    """

    def __init__(
        self,
        sessions: SessionPool,
        detector: FaceDetectorOptions | None = None,
        landmarker: FaceLandmarkerOptions | None = None,
        topology: MeshTopology | None = None,
        selector: FaceSelectorOptions | None = None,
    ) -> None:
        self._detector = make_detector(detector or FaceDetectorOptions(), sessions)
        self._mesh = make_landmarker(landmarker or FaceLandmarkerOptions(), sessions)
        self._least_presence = (landmarker or FaceLandmarkerOptions()).face_landmarker_score
        self.topology = topology or load_topology()
        self.most = (selector or FaceSelectorOptions()).max_faces + SPARE_FACES

    def detect(self, frame: Frame) -> list[Detection]:
        """Faces of the whole frame, best first."""
        return self._detector.detect(frame)

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None:
        """The face at a detection, or None when the mesh finds none there."""
        landmarks, presence = self._mesh.run(frame, region_from_detection(detection))
        if presence < self._least_presence:
            return None
        return self.follow(frame, landmarks, detection.score)

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        """The face near ``landmarks`` of a neighbouring frame, or None when it is not there any more.

        The mesh lays itself on anything that a face once filled, so a face that jumped or changed its size is looked
        at again where it was found, and is lost when the two looks do not agree.
        """
        found, presence = self._look(frame, landmarks)
        if found is not None and _moved(landmarks, found) > SECOND_LOOK:
            again, presence = self._look(frame, found)
            if again is None or _moved(found, again) > SECOND_LOOK:
                return None
            found = again
        if found is None or presence < self._least_presence:
            return None
        residual = shape_residual(self.topology, found)
        return Face(found, presence, residual, score) if residual <= LARGEST_RESIDUAL else None

    def is_sure(self, frame: Frame, face: Face) -> bool:
        """The second look at a face: whether crops a little different show one too, and none that is turned shows more.

        For faces that were not followed before; it costs at most eight runs of the mesh.
        """
        region = region_from_landmarks(face.landmarks)
        seen = np.mean([self._logit(frame, _moved_region(region, *view)) for view in SURE_VIEWS])
        if seen < _logit(self._least_presence) + SURE_LOGIT:
            return False
        upright = self._logit(frame, region)
        return all(
            self._logit(frame, region._replace(angle=region.angle + turn)) < upright + TURNED_LOGIT
            for turn in QUARTER_TURNS
        )

    def _logit(self, frame: Frame, region: Region) -> float:
        return _logit(self._mesh.run(frame, region)[1])

    def _look(self, frame: Frame, landmarks: Floats) -> tuple[Floats | None, float]:
        region = region_from_landmarks(landmarks)
        return self._mesh.run(frame, region) if _is_near(region, frame) else (None, 0.0)

    def find(self, frame: Frame) -> list[Face]:
        """The faces of a still, best detection first, each averaged over four slightly different crops.

        Of more than ``most`` detections the largest are looked at.
        """
        return self.find_some(frame, self.detect(frame))[0]

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        """The faces among a still's detections, and how many detections were left out because there are too many."""
        looked_at = largest_detections(detections, self.most)
        faces: list[Face] = []
        for detection in looked_at:
            face = self.from_detection(frame, detection)
            if face is None or any(box_overlap(face.box, other.box) >= SAME_FACE_OVERLAP for other in faces):
                continue
            if self.is_sure(frame, face):
                faces.append(self._average_views(frame, face))
        return faces, len(detections) - len(looked_at)

    def _average_views(self, frame: Frame, face: Face) -> Face:
        region = region_from_landmarks(face.landmarks)
        views = [self._mesh.run(frame, _moved_region(region, *view))[0] for view in STILL_VIEWS]
        landmarks = np.stack(views).mean(0, dtype=np.float32)
        return Face(landmarks, face.presence, shape_residual(self.topology, landmarks), face.score)


def largest_detections(detections: list[Detection], most: int) -> list[Detection]:
    """The ``most`` with the largest boxes, in the order of ``detections``."""
    if len(detections) <= most:
        return detections
    order = sorted(range(len(detections)), key=lambda k: -longer_side(detections[k].box))
    return [detections[k] for k in sorted(order[:most])]


def longer_side(box: Floats) -> float:
    """The larger of width and height of a box x0, y0, x1, y1."""
    return float(max(box[2] - box[0], box[3] - box[1]))


def _logit(probability: float) -> float:
    """The logit, no farther from 0 than LARGEST_LOGIT."""
    if probability <= 0 or probability >= 1:
        return math.copysign(LARGEST_LOGIT, probability - 0.5)
    return max(-LARGEST_LOGIT, min(LARGEST_LOGIT, math.log(probability / (1 - probability))))


def _moved_region(region: Region, shift_x: float, shift_y: float, scale: float) -> Region:
    """A region moved by fractions of its side and scaled."""
    return Region(
        region.centre_x + shift_x * region.side,
        region.centre_y + shift_y * region.side,
        region.side * scale,
        region.angle,
    )


def _moved(before: Floats, after: Floats) -> float:
    """How far the middle of a face moved or its edges grew, as a fraction of its size."""
    low, high = before[:, :2].min(0), before[:, :2].max(0)
    low_after, high_after = after[:, :2].min(0), after[:, :2].max(0)
    size = max(float((high - low).max()), 1.0)
    edges = np.concatenate([low_after - low, high_after - high])
    return float(np.abs(edges).max()) / size


def _is_near(region: Region, frame: Frame) -> bool:
    """Whether the region's centre is in the frame, or close beside it."""
    reach = region.side / 4
    inside_x = -reach < region.centre_x < frame.width + reach
    inside_y = -reach < region.centre_y < frame.height + reach
    return inside_x and inside_y and region.side < 8 * max(frame.width, frame.height)
