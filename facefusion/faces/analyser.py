"""Finding the faces of a single picture: detection, then the mesh from the detection and once more from itself."""

from __future__ import annotations

import numpy as np

from facefusion.faces.detect.centerface import MODEL_ID as DETECTOR_ID
from facefusion.faces.detect.centerface import CenterFace
from facefusion.faces.face import Detection, Face, Floats, box_overlap
from facefusion.faces.landmarks.face_mesh import MODEL_ID as MESH_ID
from facefusion.faces.landmarks.face_mesh import FaceMesh, Region, region_from_detection, region_from_landmarks
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions
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


class FaceAnalyser:
    """Detector, mesh and the rules by which a mesh counts as a face; shared by stills, sources and tracking."""

    def __init__(
        self,
        sessions: SessionPool,
        detector: FaceDetectorOptions | None = None,
        landmarker: FaceLandmarkerOptions | None = None,
        topology: MeshTopology | None = None,
    ) -> None:
        self._detector = CenterFace(sessions.session(DETECTOR_ID), detector or FaceDetectorOptions())
        self._mesh = FaceMesh(sessions.session(MESH_ID))
        self._least_presence = (landmarker or FaceLandmarkerOptions()).face_landmarker_score
        self.topology = topology or load_topology()

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

    def _look(self, frame: Frame, landmarks: Floats) -> tuple[Floats | None, float]:
        region = region_from_landmarks(landmarks)
        return self._mesh.run(frame, region) if _is_near(region, frame) else (None, 0.0)

    def find(self, frame: Frame) -> list[Face]:
        """All faces of a still, best detection first, each averaged over four slightly different crops."""
        faces: list[Face] = []
        for detection in self.detect(frame):
            face = self.from_detection(frame, detection)
            if face is not None and all(box_overlap(face.box, other.box) < SAME_FACE_OVERLAP for other in faces):
                faces.append(self._average_views(frame, face))
        return faces

    def _average_views(self, frame: Frame, face: Face) -> Face:
        region = region_from_landmarks(face.landmarks)
        views = []
        for shift_x, shift_y, scale in STILL_VIEWS:
            centre_x = region.centre_x + shift_x * region.side
            centre_y = region.centre_y + shift_y * region.side
            views.append(self._mesh.run(frame, Region(centre_x, centre_y, region.side * scale, region.angle))[0])
        landmarks = np.stack(views).mean(0, dtype=np.float32)
        return Face(landmarks, face.presence, shape_residual(self.topology, landmarks), face.score)


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
