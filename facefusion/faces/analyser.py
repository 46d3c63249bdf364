"""Find the faces of a single frame: run the detector, the mesh on each detection, and the mesh again on its result."""

from __future__ import annotations

import math

import numpy as np

from facefusion.faces.face import Detection, Face, Floats, box_overlap, landmark_box, longer_side
from facefusion.faces.landmarks.face_mesh import Region, region_from_detection, region_from_landmarks
from facefusion.faces.networks import make_detector, make_mesh
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.topology import load_topology, shape_residual
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame

# A mesh farther than this from the mean shape, in eye distances, does not show a face.
LARGEST_RESIDUAL = 0.12
# Two meshes that overlap this much show the same face.
SAME_FACE_OVERLAP = 0.5
# A mesh whose edges moved by more than this fraction of its size is run again.
SECOND_LOOK = 0.12
# Shifts (fractions of the region's side) and scales over which the landmarks of an image are averaged.
STILL_VIEWS = ((0.0, 0.0, 1.0), (0.02, 0.0, 1.03), (-0.02, 0.0, 0.97), (0.0, -0.02, 1.0))

# The four crops that verify a new face: shifted up and down by a fraction of the region's side, wider, and closer.
# Measured on 424 faces, in about 30 variants of 9 images (an eighth of the light, noise, turned by 60 degrees, 24
# pixels, painted glasses, cut in half): the mean presence logit is at least 3.2, and at least 4.2 for 99.5 % of them.
# All 600 meshes placed by hand on six photos of animals fail this check; of 548 on drawn animals and on a wooden
# face, 123 pass it, and 54 of these also pass the check of turned crops (TURNED_LOGIT).
SURE_VIEWS = ((0.0, 0.06, 1.0), (0.0, -0.06, 1.0), (0.0, 0.0, 1.25), (0.0, 0.0, 0.85))
SURE_LOGIT = 2.0
# A mesh can fit a face upside down with a good shape and presence; 153 of 405 meshes placed upside down did. The
# presence logit of the crop turned by 180 degrees is then higher by at least 2.8; for a correct mesh it is higher by at
# most 0.8. One of the 153 still passes: a face whose lower half is covered. Of 810 meshes placed a quarter turn off, 14
# pass the check of shifted crops (SURE_VIEWS) and none passes this one.
TURNED_LOGIT = 1.5
QUARTER_TURNS = (math.pi, math.pi / 2, -math.pi / 2)
# Detections examined beyond ``--max-faces``, so that link can choose among faces of about the same size.
SPARE_FACES = 8
LARGEST_LOGIT = 30.0


class FaceFinder:
    """Finds faces in frames. This base class finds none: it serves runs in which no processor needs faces.

    ``most``: the maximum number of detections examined per frame.
    """

    most = 0

    def detect(self, frame: Frame) -> list[Detection]:
        """Return the detections in the whole frame, best first."""
        return []

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None:
        """Return the face at a detection, or None if the mesh finds none there."""
        return None

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        """Return the face near ``landmarks`` of a neighbouring frame, or None if it is lost."""
        return None

    def is_sure(self, frame: Frame, face: Face) -> bool:
        """Whether a new face passes verification."""
        return False

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        """Return the faces among an image's detections, and the number of detections beyond ``most``."""
        return [], 0

    def find(self, frame: Frame) -> list[Face]:
        """Return the faces of an image, best detection first."""
        return self.find_some(frame, self.detect(frame))[0]


class FaceAnalyser(FaceFinder):
    """Detector, mesh and the rules by which a mesh counts as a face; for images, sources and tracking."""

    def __init__(
        self,
        sessions: SessionPool,
        detector: FaceDetectorOptions | None = None,
        landmarker: FaceLandmarkerOptions | None = None,
        selector: FaceSelectorOptions | None = None,
    ) -> None:
        landmarker = landmarker or FaceLandmarkerOptions()
        self._detector = make_detector(detector or FaceDetectorOptions(), sessions)
        self._mesh = make_mesh(sessions)
        self._minimum_presence = landmarker.face_landmarker_score
        self.topology = load_topology()
        self.most = (selector or FaceSelectorOptions()).max_faces + SPARE_FACES

    def detect(self, frame: Frame) -> list[Detection]:
        return self._detector.detect(frame)

    def from_detection(self, frame: Frame, detection: Detection) -> Face | None:
        landmarks, presence = self._mesh.run(frame, region_from_detection(detection))
        if presence < self._minimum_presence:
            return None
        return self.follow(frame, landmarks, detection.score)

    def follow(self, frame: Frame, landmarks: Floats, score: float) -> Face | None:
        """Return the face near ``landmarks`` of a neighbouring frame, or None if it is lost.

        The mesh may also fit a position that the face has left, so a face that jumped or changed its size is measured
        again where it was found, and is lost if the two results disagree.
        """
        found, presence = self._run_near(frame, landmarks)
        if found is not None and _moved(landmarks, found) > SECOND_LOOK:
            again, presence = self._run_near(frame, found)
            if again is None or _moved(found, again) > SECOND_LOOK:
                return None
            found = again
        if found is None or presence < self._minimum_presence:
            return None
        residual = shape_residual(self.topology, found)
        return Face(found, presence, residual, score) if residual <= LARGEST_RESIDUAL else None

    def is_sure(self, frame: Frame, face: Face) -> bool:
        """Whether shifted and scaled crops show the face too, and no turned crop shows it better.

        Used for faces that were not followed before; runs the mesh up to eight times.
        """
        region = region_from_landmarks(face.landmarks)
        mean = np.mean([self._presence_logit(frame, _moved_region(region, *view)) for view in SURE_VIEWS])
        if mean < _logit(self._minimum_presence) + SURE_LOGIT:
            return False
        upright = self._presence_logit(frame, region)
        return all(
            self._presence_logit(frame, region._replace(angle=region.angle + turn)) < upright + TURNED_LOGIT
            for turn in QUARTER_TURNS
        )

    def find_some(self, frame: Frame, detections: list[Detection]) -> tuple[list[Face], int]:
        """Return the faces among an image's detections, and the number of detections beyond ``most``.

        Landmarks are averaged over four slightly different crops.
        """
        examined = largest_detections(detections, self.most)
        faces: list[Face] = []
        for detection in examined:
            face = self.from_detection(frame, detection)
            if face is None or any(box_overlap(face.box, other.box) >= SAME_FACE_OVERLAP for other in faces):
                continue
            if self.is_sure(frame, face):
                faces.append(self._average_views(frame, face))
        return faces, len(detections) - len(examined)

    def _presence_logit(self, frame: Frame, region: Region) -> float:
        return _logit(self._mesh.run(frame, region)[1])

    def _run_near(self, frame: Frame, landmarks: Floats) -> tuple[Floats | None, float]:
        region = region_from_landmarks(landmarks)
        return self._mesh.run(frame, region) if _is_near(region, frame) else (None, 0.0)

    def _average_views(self, frame: Frame, face: Face) -> Face:
        region = region_from_landmarks(face.landmarks)
        views = [self._mesh.run(frame, _moved_region(region, *view))[0] for view in STILL_VIEWS]
        landmarks = np.stack(views).mean(0, dtype=np.float32)
        return Face(landmarks, face.presence, shape_residual(self.topology, landmarks), face.score)


def largest_detections(detections: list[Detection], most: int) -> list[Detection]:
    """Return the ``most`` detections with the largest boxes, in the order of ``detections``."""
    order = sorted(range(len(detections)), key=lambda k: -longer_side(detections[k].box))
    return [detections[k] for k in sorted(order[:most])]


def _logit(probability: float) -> float:
    """The logit, clipped to -LARGEST_LOGIT..LARGEST_LOGIT."""
    if probability <= 0 or probability >= 1:
        return math.copysign(LARGEST_LOGIT, probability - 0.5)
    return max(-LARGEST_LOGIT, min(LARGEST_LOGIT, math.log(probability / (1 - probability))))


def _moved_region(region: Region, shift_x: float, shift_y: float, scale: float) -> Region:
    """The region, shifted by fractions of its side and scaled."""
    x, y, side, angle = region
    return Region(x + shift_x * side, y + shift_y * side, side * scale, angle)


def _moved(before: Floats, after: Floats) -> float:
    """The largest movement of an edge of the box around a face, as a fraction of its size."""
    box = landmark_box(before)
    return float(np.abs(landmark_box(after) - box).max()) / max(longer_side(box), 1.0)


def _is_near(region: Region, frame: Frame) -> bool:
    """Whether the region's centre is in the frame, or close to it."""
    reach = region.side / 4
    inside_x = -reach < region.centre_x < frame.width + reach
    inside_y = -reach < region.centre_y < frame.height + reach
    return inside_x and inside_y and region.side < 8 * max(frame.width, frame.height)
