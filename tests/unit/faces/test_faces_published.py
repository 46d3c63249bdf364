"""Tests of published detectors and landmarkers with fake sessions: the input tensors, and the faces in the outputs."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from facefusion.faces.detect.canvas import Candidates, CanvasDetector
from facefusion.faces.detect.scrfd import STRIDES, Scrfd
from facefusion.faces.detect.yolo_face import YoloFace
from facefusion.faces.detect.yunet import YuNet
from facefusion.faces.face import Detection, landmark_box
from facefusion.faces.landmarks.sixty_eight import (
    Best,
    PeppaWutz,
    PointEstimator,
    Scored,
    TwoDFan4,
    face_angle,
    find_points,
    five_of_68,
    lightened,
)
from facefusion.faces.landmarks.subsets import detector_points, five_points, sixty_eight_points
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.faces.point_analyser import PointAnalyser
from facefusion.faces.recognise import ArcFace
from facefusion.faces.templates import TEMPLATES, template_matrix
from facefusion.media.frame import PixelFrame

BOX = np.array([200, 120, 296, 248], np.float32)
POINTS = np.array([[225, 170], [270, 172], [248, 195], [230, 220], [266, 221]], np.float32)


class FakeSession:
    """A session whose input has a fixed or free side; ``answer`` returns the outputs for an input tensor."""

    def __init__(self, answer, side='side', name='input') -> None:
        self.answer, self.side, self.name = answer, side, name
        self.fed: list[np.ndarray] = []

    def get_inputs(self):
        return [SimpleNamespace(name=self.name, shape=[1, 3, self.side, self.side])]

    def run(self, names, feeds):
        (tensor,) = feeds.values()
        self.fed.append(tensor)
        return self.answer(tensor)


def empty_levels(size: int, per_cell: int, widths: tuple[int, ...]) -> list[list[np.ndarray]]:
    """Return, for each width, one zero tensor per stride."""
    return [[np.zeros(((size // stride) ** 2 * per_cell, width), np.float32) for stride in STRIDES] for width in widths]


def scrfd_answer(score=0.9, size=640, batch_axis=False):
    """Return a function whose output has one face, at the second anchor of a cell of stride 16."""
    scores, boxes, points = empty_levels(size, 2, (1, 4, 10))
    row = (10 * (size // 16) + 15) * 2 + 1
    anchor = np.array([15 * 16, 10 * 16], np.float32)
    scores[1][row] = score
    boxes[1][row] = [*(anchor - BOX[:2]) / 16, *(BOX[2:] - anchor) / 16]
    points[1][row] = ((POINTS - anchor) / 16).ravel()
    outputs = [*scores, *boxes, *points]
    return lambda tensor: [each[None] for each in outputs] if batch_axis else outputs


def yunet_answer(tensor):
    classes, objectness, boxes, points = empty_levels(640, 1, (1, 1, 4, 10))
    row, anchor = 10 * 40 + 15, np.array([15 * 16, 10 * 16], np.float32)
    classes[1][row], objectness[1][row] = 0.8, 0.75
    centre, size = (BOX[:2] + BOX[2:]) / 2, BOX[2:] - BOX[:2]
    boxes[1][row] = [*(centre - anchor) / 16, *np.log(size / 16)]
    points[1][row] = ((POINTS - anchor) / 16).ravel()
    return [each[None] for each in (*classes, *objectness, *boxes, *points)]


def yolo_answer(tensor):
    rows = np.zeros((20, 8400), np.float32)
    centre, size = (BOX[:2] + BOX[2:]) / 2, BOX[2:] - BOX[:2]
    rows[:, 77] = [*centre, *size, 0.6, *np.concatenate([POINTS, np.full((5, 1), 0.9)], 1).ravel()]
    return [rows[None]]


NETWORKS = {
    'scrfd': (Scrfd, scrfd_answer(), 0.9),
    'scrfd with a batch axis': (Scrfd, scrfd_answer(batch_axis=True), 0.9),
    'yunet': (YuNet, yunet_answer, 0.6),
    'yolo': (YoloFace, yolo_answer, 0.6),
}


def coloured(width, height):
    return PixelFrame(np.tile(np.array([10, 100, 200], np.uint8), (height, width, 1)))


def detect(network, answer, frame, **options):
    session = FakeSession(answer, side=640 if network is not Scrfd else 'side')
    detector = CanvasDetector([network(session, 640)], FaceDetectorOptions(**options))
    return detector.detect(frame), session


@pytest.mark.parametrize('name', NETWORKS)
def test_a_face_of_the_canvas_is_a_face_of_the_frame(name):
    network, answer, score = NETWORKS[name]
    (face,), _ = detect(network, answer, coloured(640, 400))
    np.testing.assert_allclose(face.box, BOX, atol=0.001)
    np.testing.assert_allclose(face.points, POINTS, atol=0.001)
    assert face.score == pytest.approx(score)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_frame_is_shrunk_and_never_enlarged(name):
    network, answer, _ = NETWORKS[name]
    (face,), session = detect(network, answer, coloured(1281, 701))
    np.testing.assert_allclose(face.box, BOX * np.tile([1281 / 640, 701 / 350], 2), rtol=1e-4)
    assert session.fed[0].shape == (1, 3, 640, 640)
    (face,), _ = detect(network, answer, coloured(320, 300))
    np.testing.assert_allclose(face.box, BOX, atol=0.001)


@pytest.mark.parametrize('name', NETWORKS)
def test_margins_are_taken_off_again(name):
    network, answer, _ = NETWORKS[name]
    (face,), _ = detect(network, answer, coloured(400, 200), face_detector_margin=(20, 0, 0, 30))
    np.testing.assert_allclose(face.box, BOX - [60, 20, 60, 20], atol=0.001)


@pytest.mark.parametrize(
    ('name', 'colour'),
    [
        ('scrfd', (np.array([200, 100, 10]) - 127.5) / 128),
        ('yolo', np.array([200, 100, 10]) / 255),
        ('yunet', np.array([10, 100, 200])),
    ],
)
def test_each_network_gets_its_colours(name, colour):
    network, answer, _ = NETWORKS[name]
    _, session = detect(network, answer, coloured(640, 400))
    np.testing.assert_allclose(session.fed[0][0, :, 0, 0], colour, atol=1e-5)
    below = {'scrfd': -127.5 / 128}.get(name, 0)
    np.testing.assert_allclose(session.fed[0][0, :, 639, 639], below, atol=1e-5)


@pytest.mark.parametrize('name', NETWORKS)
def test_a_face_below_the_score_is_none(name):
    network, answer, _ = NETWORKS[name]
    assert detect(network, answer, coloured(640, 400), face_detector_score=0.95)[0] == []
    assert len(detect(network, answer, coloured(640, 400), face_detector_score=0.55)[0]) == 1


class Marked:
    """A network that detects a white square, with its box and points inside."""

    size = 640

    def run(self, canvas, threshold):
        rows, columns = np.nonzero(canvas[..., 0] > 128)
        if not len(rows):
            return Candidates(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        points = np.tile(box[:2] + 1, (5, 1))
        return Candidates(box[None], points[None], np.array([0.9], np.float32))


@pytest.mark.parametrize('angle', [0, 90, 180, 270])
def test_faces_of_a_turned_frame_are_turned_back(angle):
    pixels = np.zeros((200, 300, 3), np.uint8)
    pixels[40:70, 50:90] = 255
    (face,) = CanvasDetector([Marked()], FaceDetectorOptions(face_detector_angles=(angle,))).detect(PixelFrame(pixels))
    np.testing.assert_allclose(face.box, [50, 40, 90, 70], atol=1)
    corner = {0: (51, 41), 90: (89, 41), 180: (89, 69), 270: (51, 69)}[angle]
    np.testing.assert_allclose(face.points[0], corner, atol=1.5)


def test_one_face_seen_twice_is_one_face():
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[40:70, 50:90] = 255
    detector = CanvasDetector([Marked(), Marked()], FaceDetectorOptions(face_detector_angles=(0, 90, 180, 270)))
    assert len(detector.detect(PixelFrame(pixels))) == 1


# Landmarkers

UPRIGHT = np.stack([np.linspace(60, 200, 68), 60 + 100 * np.sin(np.linspace(0.3, 2.8, 68))], 1).astype(np.float32)
UPRIGHT[0], UPRIGHT[16] = (60, 120), (200, 120)


def fan_session(score=0.9):
    heat = np.full((1, 68, 64, 64), 0.1, np.float32)
    heat[:, :, 5, 5] = score
    rows = np.concatenate([UPRIGHT / 4, np.ones((68, 1), np.float32)], 1)
    return FakeSession(lambda tensor: [rows[None], heat])


def peppa_session(score):
    rows = np.concatenate([(256 - UPRIGHT) / 4, np.full((68, 1), score, np.float32)], 1)
    return FakeSession(lambda tensor: [rows[None]])


def test_the_crop_of_a_landmarker():
    session = fan_session()
    found = find_points(coloured(640, 400), BOX, 0, TwoDFan4(session))
    scale = 195 / 128
    expected = (UPRIGHT - 128) / scale + (BOX[:2] + BOX[2:]) / 2
    np.testing.assert_allclose(found.points, expected, atol=0.01)
    assert found.score == pytest.approx(1)
    np.testing.assert_allclose(session.fed[0][0, :, 128, 128], np.array([10, 100, 200]) / 255, atol=0.005)


@pytest.mark.parametrize('angle', [90, 180, 270])
def test_a_turned_face_is_shown_upright(angle):
    frame = PixelFrame(np.zeros((400, 640, 3), np.uint8))
    # The upper half of a face that is turned clockwise by the angle is white.
    x0, y0, x1, y1 = (int(side) for side in BOX)
    upper = {
        90: np.s_[y0:y1, (x0 + x1) // 2 : x1],
        180: np.s_[(y0 + y1) // 2 : y1, x0:x1],
        270: np.s_[y0:y1, x0 : (x0 + x1) // 2],
    }
    frame.pixels[upper[angle]] = 255
    session = fan_session()
    find_points(frame, BOX, angle, TwoDFan4(session))
    crop = session.fed[0][0, 0]
    assert crop[90, 128] > 0.9 and crop[166, 128] < 0.1


def test_the_better_landmarker_is_chosen():
    crop = np.zeros((256, 256, 3), np.uint8)
    for fan, peppa, wins in ((0.8, 0.9, 'fan'), (0.5, 0.9, 'peppa'), (0.72, 0.95, 'fan')):
        found = Best(TwoDFan4(fan_session(fan)), PeppaWutz(peppa_session(peppa))).run(crop)
        np.testing.assert_allclose(found.points, UPRIGHT if wins == 'fan' else 256 - UPRIGHT, atol=1e-3)


def test_a_dark_crop_gets_more_contrast():
    dark = np.random.default_rng(2).integers(5, 25, (256, 256, 3), np.uint8)
    assert lightened(dark).mean() > dark.mean() + 3
    light = np.full((256, 256, 3), 120, np.uint8)
    np.testing.assert_allclose(lightened(light).astype(int), light.astype(int), atol=1)


@pytest.mark.parametrize(('degrees', 'angle'), [(0, 0), (44, 0), (46, 90), (180, 180), (-90, 270), (-44, 0)])
def test_the_angle_of_a_face(degrees, angle):
    points = np.zeros((68, 2))
    points[16] = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    assert face_angle(points) == angle


def test_five_points_become_68():
    offsets = np.random.default_rng(1).uniform(-0.2, 0.2, (68, 2)).astype(np.float32)
    session = FakeSession(lambda tensor: [(tensor[0].mean(0) + offsets)[None]])
    five = np.array(TEMPLATES['ffhq_512']) * 80 + (300, 40)
    points = PointEstimator(session).run(five)
    np.testing.assert_allclose(session.fed[0][0], TEMPLATES['ffhq_512'], atol=1e-5)
    np.testing.assert_allclose(points, five.mean(0) + offsets * 80, atol=0.01)


class Landmarks:
    """A landmarker that always finds the same points with the same score."""

    def __init__(self, score: float) -> None:
        self.score = score

    def run(self, crop):
        return Scored(UPRIGHT, self.score)


class Estimate:
    def run(self, five):
        points = np.zeros((68, 2), np.float32)
        points[16, 0] = 1
        return points


class OneFace:
    def detect(self, frame):
        return [Detection(BOX, POINTS, 0.7)]


@pytest.mark.parametrize(('score', 'sure'), [(0.8, True), (0.3, False)])
def test_the_five_points_come_from_the_landmarker_where_it_is_sure(score, sure):
    options = FaceLandmarkerOptions(face_landmarker_model='2dfan4')
    analyser = PointAnalyser(OneFace(), Estimate(), Landmarks(score), options, FaceSelectorOptions())
    frame = coloured(640, 400)
    (face,) = analyser.find(frame)
    points = sixty_eight_points(face.landmarks)
    np.testing.assert_allclose(five_points(face.landmarks), five_of_68(points) if sure else POINTS, atol=1e-3)
    np.testing.assert_array_equal(landmark_box(face.landmarks), BOX)
    np.testing.assert_array_equal(detector_points(face.landmarks), POINTS)
    followed = analyser.follow(frame, face.landmarks, 0.7)
    assert (followed is not None) == sure
    if followed is not None:
        np.testing.assert_allclose(followed.landmarks, face.landmarks, atol=0.01)


def test_a_landmarker_score_of_0_uses_the_detector_alone():
    options = FaceLandmarkerOptions(face_landmarker_model='2dfan4', face_landmarker_score=0.0)
    analyser = PointAnalyser(OneFace(), Estimate(), None, options, FaceSelectorOptions())
    (face,) = analyser.find(coloured(640, 400))
    np.testing.assert_array_equal(five_points(face.landmarks), POINTS)
    assert analyser.follow(coloured(640, 400), face.landmarks, 0.7) is None


def test_the_crop_of_the_recogniser():
    gradient = np.zeros((300, 300, 3), np.uint8)
    gradient[..., 0], gradient[..., 1], gradient[..., 2] = np.arange(300) * 0.8, np.arange(300)[:, None] * 0.8, 50
    five = (np.array(TEMPLATES['arcface_112_v2']) * 112 * 1.5 + (60, 40)).astype(np.float32)
    session = FakeSession(lambda tensor: [np.arange(512, dtype=np.float32)[None]])
    embedding = ArcFace(session).embed(PixelFrame(gradient), five)
    matrix = template_matrix(five, 'arcface_112_v2', 112)
    crop = cv2.warpAffine(gradient, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE)
    np.testing.assert_allclose(session.fed[0][0], crop[:, :, ::-1].transpose(2, 0, 1) / 127.5 - 1, atol=0.01)
    np.testing.assert_array_equal(embedding, np.arange(512))
