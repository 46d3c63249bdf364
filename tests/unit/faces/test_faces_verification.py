"""Tests with the real models: faces are found in difficult images; wrong meshes and objects are rejected."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from fakes.scenes import scene

from facefusion.faces.analyser import SPARE_FACES, FaceAnalyser
from facefusion.faces.face import Detection
from facefusion.faces.landmarks.face_mesh import region_from_landmarks
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.measurement_types import Measurements, Meters
from facefusion.faces.options import FaceDetectorOptions, FaceSelectorOptions
from facefusion.faces.topology import eye_distance
from facefusion.faces.track import ChunkTracker, still_chunk
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.pipeline.tracking import Tracker

pytestmark = pytest.mark.network


@pytest.fixture(scope='module')
def analyser(sessions):
    return FaceAnalyser(sessions)


@pytest.fixture(scope='module')
def portrait(example_portrait):
    return read_image(example_portrait).pixels


@pytest.fixture(scope='module')
def group(example_group):
    return read_image(example_group).pixels


def found(analyser, pixels) -> list:
    return analyser.find(PixelFrame(np.ascontiguousarray(pixels)))


def turned(pixels, degrees: float):
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 0.8)
    return cv2.warpAffine(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_AREA)


def lit(pixels, blue: float, green: float, red: float):
    return np.clip(pixels * np.array([blue, green, red]), 0, 255).astype(np.uint8)


def noisy(pixels, deviation: float):
    return np.clip(pixels + np.random.default_rng(1).normal(0, deviation, pixels.shape), 0, 255).astype(np.uint8)


def with_glasses(pixels, faces, thickness: int):
    painted = pixels.copy()
    for face in faces:
        five, size = five_points(face.landmarks), eye_distance(face.landmarks)
        for eye in five[:2]:
            cv2.circle(painted, tuple(map(int, eye)), int(0.38 * size), (20, 20, 30), thickness, cv2.LINE_AA)
    return painted


VARIANTS = {
    'dark': lambda pixels: lit(pixels, 0.15, 0.15, 0.15),
    'warm': lambda pixels: lit(pixels, 0.55, 0.9, 1.3),
    'grey': lambda pixels: np.repeat(pixels.mean(2, keepdims=True), 3, 2).astype(np.uint8),
    'noise': lambda pixels: noisy(pixels, 25),
    'turned 15': lambda pixels: turned(pixels, 15),
    'turned -30': lambda pixels: turned(pixels, -30),
    'turned -40': lambda pixels: turned(pixels, -40),
    'mirrored': lambda pixels: pixels[:, ::-1],
}


@pytest.mark.parametrize('name', VARIANTS)
def test_faces_are_found_in_hard_images(name, analyser, portrait, group):
    assert len(found(analyser, VARIANTS[name](portrait))) == 1
    assert len(found(analyser, VARIANTS[name](group))) == 6


@pytest.mark.parametrize('pixels', [40, 24])
def test_small_faces_are_found(pixels, analyser, portrait):
    (face,) = found(analyser, portrait)
    shrink = pixels / max(face.box[2:] - face.box[:2])
    (small,) = found(analyser, cv2.resize(portrait, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
    assert max(small.box[2:] - small.box[:2]) == pytest.approx(pixels, rel=0.12)


@pytest.mark.parametrize('thickness', [4, -1])
def test_faces_with_glasses_are_found(thickness, analyser, group):
    faces = found(analyser, group)
    assert len(found(analyser, with_glasses(group, faces, thickness))) == 6


def test_mesh_of_a_face_half_outside_may_leave_the_frame(analyser, portrait):
    (face,) = found(analyser, portrait)
    x, y = face.landmarks[:, :2].mean(0).astype(int)
    for half in (portrait[:, x:], portrait[:, :x], portrait[y:], portrait[:y]):
        faces = found(analyser, half)
        assert len(faces) <= 1 and all(np.isfinite(other.landmarks).all() for other in faces)
    (right,) = found(analyser, portrait[:, x:])
    assert right.box[0] < -20 and np.abs(right.box - face.box + (x, 0, x, 0)).max() < 20


def test_image_and_mirror_image_are_two_faces(analyser, portrait):
    left, right = sorted(found(analyser, np.hstack([portrait, portrait[:, ::-1]])), key=lambda face: face.box[0])
    assert left.box[2] < 512 < right.box[0]
    frame = PixelFrame(np.hstack([portrait, portrait[:, ::-1]]))
    assert still_chunk(frame, analyser, Meters()).track.tolist() == [0, 1]


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_turned_faces_have_no_upside_down_mesh(turns, sessions, analyser, group):
    picture = np.rot90(group, turns)
    for face in found(analyser, picture):
        roll = math.degrees(region_from_landmarks(face.landmarks).angle)
        assert abs((roll + 90 * turns + 180) % 360 - 180) < 50
    asked = FaceAnalyser(sessions, FaceDetectorOptions(face_detector_angles=(0, 90, 180, 270)))
    assert len(found(asked, picture)) == 6


def test_upside_down_mesh_is_rejected(analyser, portrait):
    frame = PixelFrame(portrait)
    (face,) = analyser.find(frame)
    # This detection confuses chin and forehead.
    middle = face.landmarks[:, :2].mean(0)
    points = 2 * middle - five_points(face.landmarks)
    wrong = analyser.from_detection(frame, Detection(face.box, points.astype(np.float32), 0.9))
    assert wrong is not None and wrong.presence > 0.9 and wrong.residual < 0.06
    assert abs(region_from_landmarks(wrong.landmarks).angle - region_from_landmarks(face.landmarks).angle) > 3
    assert not analyser.is_sure(frame, wrong) and analyser.is_sure(frame, face)


def drawn_animal() -> np.ndarray:
    """Return a drawn bear with two round eyes, a muzzle and ears."""
    picture = np.full((400, 400, 3), 210, np.uint8)
    for centre, radius in (((120, 110), 45), ((280, 110), 45), ((200, 210), 120)):
        cv2.circle(picture, centre, radius, (60, 110, 170), -1, cv2.LINE_AA)
    cv2.circle(picture, (200, 255), 50, (170, 210, 235), -1, cv2.LINE_AA)
    for centre in ((155, 185), (245, 185), (200, 235)):
        cv2.circle(picture, centre, 14, (20, 25, 30), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (200, 262), (24, 14), 0, 20, 160, (30, 40, 60), 4, cv2.LINE_AA)
    return picture


def test_drawn_animal_is_rejected_even_if_detected(analyser, sessions):
    picture = PixelFrame(drawn_animal())
    points = np.array([[155, 185], [245, 185], [200, 235], [180, 270], [220, 270]], np.float32)
    detection = Detection(np.array([100, 110, 300, 320], np.float32), points, 0.9)
    faces, left_out = analyser.find_some(picture, [detection])
    assert faces == [] and left_out == 0
    eager = FaceAnalyser(sessions, FaceDetectorOptions(face_detector_score=0.2))
    assert eager.find(picture) == []


def test_patterns_are_no_faces(analyser):
    random = np.random.default_rng(5)
    for number in range(6):
        picture = PixelFrame(np.dstack([scene(number + k, 480, 360) for k in range(3)]))
        reported = []
        for _ in range(8):
            middle, size = random.uniform([80, 80], [400, 280]), random.uniform(20, 60)
            shape = np.array([[-0.5, -0.4], [0.5, -0.4], [0, 0.1], [-0.4, 0.6], [0.4, 0.6]])
            points = (middle + size * shape).astype(np.float32)
            reported.append(Detection(np.concatenate([points.min(0), points.max(0)]), points, 0.9))
        assert analyser.find_some(picture, reported)[0] == []


def cut_out(pixels, face, height: float):
    """Return an image of 200x220 with a face ``height`` pixels high in its middle, and the matte of the face."""
    x0, y0, x1, y1 = face.box
    scale = height / (y1 - y0)
    matrix = np.array([[scale, 0, 100 - scale * (x0 + x1) / 2], [0, scale, 110 - scale * (y0 + y1) / 2]])
    crop = cv2.warpAffine(pixels, matrix, (200, 220), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    cover = np.zeros((220, 200), np.float32)
    cv2.ellipse(cover, (100, 105), (72, 98), 0, 0, 360, 1, -1)
    return crop, cv2.GaussianBlur(cover, (0, 0), 3)


def paste(picture, cut, x: float, y: float):
    size = picture.shape[1], picture.shape[0]
    matrix = np.array([[1.0, 0, x - 100], [0, 1, y - 110]])
    cover = cv2.warpAffine(cut[1], matrix, size)[..., None]
    return (picture * (1 - cover) + cv2.warpAffine(cut[0], matrix, size) * cover).astype(np.uint8)


def test_crossing_people_have_one_mesh_each(analyser, portrait, group):
    in_front = cut_out(portrait, found(analyser, portrait)[0], 130)
    behind = cut_out(group, max(found(analyser, group), key=lambda face: face.score), 130)
    back = np.dstack([scene(k, 640, 360) for k in range(3)])
    tracker = ChunkTracker(analyser, Meters())
    for number in range(55):
        x_front, x_behind = 100 + 8 * number, 540 - 8 * number
        picture = paste(paste(back, behind, x_behind, 185), in_front, x_front, 180)
        tracker.add(PixelFrame(picture, number=number))
    chunk = tracker.finish(None)
    for number in range(55):
        middles = chunk.landmarks[chunk.frame == number][:, :, 0].mean(1)
        offsets = np.abs(middles[:, None] - [100 + 8 * number, 540 - 8 * number])
        owners = offsets.argmin(1).tolist()
        assert offsets.min(1).max() < 30 and len(owners) == len(set(owners))
        # While one face hides the other, there is only one mesh.
        assert len(owners) == 2 or 21 <= number <= 34
    # Its number in the chunk changes with the crossing; link joins the parts.
    (linked,) = Tracker(Measurements()).track([chunk])
    (front,) = {int(track) for track in linked.track[linked.frame == 27]}
    assert linked.frame[linked.track == front].tolist() == list(range(55))


class CountingSessions:
    """A pool that counts the runs of another pool's sessions by model."""

    def __init__(self, sessions) -> None:
        self.sessions = sessions
        self.runs: dict[str, int] = {}

    def at(self, threads: int):
        return self

    def session(self, name: str):
        inner, counts = self.sessions.session(name), self.runs

        class Counting:
            def __getattr__(self, attribute):
                return getattr(inner, attribute)

            def run(self, *arguments):
                counts[name] = counts.get(name, 0) + 1
                return inner.run(*arguments)

        return Counting()


@pytest.fixture(scope='module')
def crowd(group):
    """An image with 216 faces."""
    return np.tile(cv2.resize(group, (400, 277), interpolation=cv2.INTER_AREA), (6, 6, 1))


def test_cost_of_a_crowd_is_limited_by_the_processed_faces(sessions, crowd):
    counting = CountingSessions(sessions)
    options = FaceDetectorOptions(face_detector_size='1280x1280')
    few = FaceAnalyser(counting, options, selector=FaceSelectorOptions(max_faces=4))
    frame = PixelFrame(crowd)
    detections = len(few.detect(frame))
    assert detections > 200
    chunk = still_chunk(frame, few, Meters())
    most = 4 + SPARE_FACES
    assert len(chunk.frame) == most and chunk.left_out.tolist() == [detections - most]
    # The mesh runs twice for the detection, eight times for the verification and four times for the average.
    assert counting.runs['face_mesh'] <= 14 * most
    # In a clip, the mesh runs only for followed faces, even in frames with a detection.
    tracker = ChunkTracker(few, Meters())
    tracker.add(PixelFrame(crowd, number=9))
    before = counting.runs['face_mesh']
    for number in (10, 11, 12):
        tracker.add(PixelFrame(crowd, number=number))
    assert len(tracker.faces) == most and counting.runs['face_mesh'] - before == 3 * most
    assert tracker.finish(None).left_out.tolist() == [detections - most] * 4
