from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.face_chunks import face_at
from fakes.model_sessions import NamedSessions, TensorSession

from facefusion.faces.analyser import LARGEST_RESIDUAL, FaceAnalyser
from facefusion.faces.embed import SAME_PERSON, FaceEmbedder
from facefusion.faces.face import Detection
from facefusion.faces.landmarks.face_mesh import CROP
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image

FRAME = PixelFrame(np.full((300, 400, 3), 128, np.uint8))
PLACE = face_at(200, 150, 40)
DETECTION = Detection(np.array([140, 90, 260, 220], np.float32), five_points(PLACE), 0.8)


def centred_mesh(logit: float, shape: np.ndarray | None = None) -> TensorSession:
    """Return a mesh network that finds a face in the middle of every crop."""
    points = face_at(CROP / 2, CROP / 2, CROP / 4) if shape is None else shape
    return TensorSession(points.reshape(1, 1, 1, 1404), np.array([[logit]], np.float32))


def analyser(mesh: TensorSession, **options) -> FaceAnalyser:
    empty = TensorSession(*[np.zeros((1, channels, 80, 104), np.float32) for channels in (1, 2, 2, 10)])
    sessions = NamedSessions(centerface=empty, face_mesh=mesh)
    return FaceAnalyser(sessions, FaceDetectorOptions(), FaceLandmarkerOptions(**options))


def test_mesh_runs_twice_on_a_detection():
    mesh = centred_mesh(4.0)
    face = analyser(mesh).from_detection(FRAME, DETECTION)
    assert len(mesh.fed) == 2
    assert face is not None and face.score == 0.8 and face.presence > 0.98 and face.residual < 0.01
    # The second run uses the points of the first one.
    assert abs(face.landmarks[:, :2].mean(0) - PLACE[:, :2].mean(0)).max() < 20


@pytest.mark.parametrize(('logit', 'least', 'is_found'), [(1.0, 0.7, True), (1.0, 0.75, False), (-1.0, 0.25, True)])
def test_minimum_presence_decides(logit, least, is_found):
    probe = analyser(centred_mesh(logit), face_landmarker_score=least)
    assert (probe.from_detection(FRAME, DETECTION) is not None) == is_found
    assert (probe.follow(FRAME, PLACE, 0.8) is not None) == is_found


def test_points_without_face_shape_are_rejected():
    noise = np.random.default_rng(1).uniform(0, CROP, (468, 3)).astype(np.float32)
    assert analyser(centred_mesh(9.0, noise)).from_detection(FRAME, DETECTION) is None
    assert analyser(centred_mesh(9.0, noise)).follow(FRAME, PLACE, 0.8) is None
    assert 0.05 < LARGEST_RESIDUAL < 0.5


@pytest.mark.parametrize(
    ('place', 'is_near'),
    [
        ((200, 150, 40), True),
        ((-20, 150, 40), True),
        ((-200, 150, 40), False),
        ((200, 900, 40), False),
        ((200, 150, 4000), False),
    ],
)
def test_mesh_skips_a_face_far_outside_the_frame(place, is_near):
    mesh = centred_mesh(9.0)
    found = analyser(mesh).follow(FRAME, face_at(*place), 0.8)
    assert (found is not None) == is_near == bool(mesh.fed)


def test_image_without_detections_has_no_faces():
    mesh = centred_mesh(9.0)
    assert analyser(mesh).find(FRAME) == [] and not mesh.fed


@pytest.mark.network
def test_portrait_has_one_face_at_its_position(example_portrait, sessions):
    (face,) = FaceAnalyser(sessions).find(read_image(example_portrait))
    assert face.presence > 0.9 and face.residual < LARGEST_RESIDUAL and face.score > 0.8
    x0, y0, x1, y1 = face.box
    assert 160 < x0 < 210 and 260 < x1 < 310 and 30 < y0 < 90 and 160 < y1 < 210


@pytest.mark.network
def test_group_has_six_faces_best_first(example_group, sessions):
    faces = FaceAnalyser(sessions).find(read_image(example_group))
    assert len(faces) == 6
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)


@pytest.mark.network
def test_landmarks_move_with_the_image(example_portrait, sessions):
    frame = read_image(example_portrait)
    (face,) = FaceAnalyser(sessions).find(frame)
    matrix = cv2.getRotationMatrix2D((256, 256), 20, 0.8)
    turned = PixelFrame(cv2.warpAffine(frame.pixels, matrix, (512, 512), flags=cv2.INTER_AREA))
    (moved,) = FaceAnalyser(sessions).find(turned)
    expected = face.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(moved.landmarks[:, :2] - expected).mean() < 1.5


@pytest.mark.network
def test_face_is_not_followed_onto_plain_background(example_portrait, sessions):
    probe = FaceAnalyser(sessions)
    frame = read_image(example_portrait)
    (face,) = probe.find(frame)
    assert probe.follow(frame, face.landmarks, face.score) is not None
    plain = PixelFrame(np.full_like(frame.pixels, 128))
    assert probe.follow(plain, face.landmarks, face.score) is None


@pytest.mark.network
def test_lying_and_upside_down_faces_are_found_with_angles(example_portrait, sessions):
    upright = read_image(example_portrait).pixels
    for turns in (1, 2, 3):
        frame = PixelFrame(np.ascontiguousarray(np.rot90(upright, turns)))
        all_sides = FaceDetectorOptions(face_detector_angles=(0, 90, 180, 270))
        assert len(FaceAnalyser(sessions, all_sides).find(frame)) == 1


@pytest.mark.network
def test_embeddings_separate_persons(example_portrait, example_group, sessions):
    probe, embedder = FaceAnalyser(sessions), FaceEmbedder(sessions.session('dlib_face_resnet'))
    frame = read_image(example_portrait)
    mirrored = PixelFrame(np.ascontiguousarray(frame.pixels[:, ::-1]))
    one, again = (embedder.embed(view, probe.find(view)[0].landmarks) for view in (frame, mirrored))
    assert np.linalg.norm(one) == pytest.approx(1, abs=1e-5) and one @ again > SAME_PERSON
    group = read_image(example_group)
    people = np.stack([embedder.embed(group, face.landmarks) for face in probe.find(group)])
    alike = people @ people.T
    assert alike[~np.eye(6, dtype=bool)].max() < SAME_PERSON and (people @ one).max() < SAME_PERSON
