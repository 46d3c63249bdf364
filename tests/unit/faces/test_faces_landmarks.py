from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from fakes.face_chunks import MEAN_SHAPE, face_at
from fakes.model_sessions import TensorSession
from hypothesis import given
from hypothesis import strategies as st

from facefusion.faces.align import dlib_chip_matrix
from facefusion.faces.embed import CHIP_SIZE, FaceEmbedder
from facefusion.faces.face import Detection
from facefusion.faces.landmarks.face_mesh import (
    CROP,
    MARGIN,
    FaceMesh,
    Region,
    _crop_matrices,
    region_from_detection,
    region_from_landmarks,
)
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.similarity import fit_similarity
from facefusion.media.frame import PixelFrame

regions = st.builds(
    Region, st.floats(-500, 4000), st.floats(-500, 4000), st.floats(8, 3000), st.floats(-math.pi, math.pi)
)


def turn(points, degrees, centre=(0.0, 0.0)):
    angle = math.radians(degrees)
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return ((points - centre) @ rotation + centre).astype(np.float32)


def turned_face(x, y, size, degrees):
    face = face_at(x, y, size)
    face[:, :2] = turn(face[:, :2], degrees, (x, y))
    return face


@given(regions)
def test_crop_matrices_are_inverse(region):
    forward, backward = _crop_matrices(region)
    points = np.array([[0, 0], [CROP, 0], [CROP / 2, CROP / 2], [17, 150]])
    there = points @ backward[:, :2].T + backward[:, 2]
    again = there @ forward[:, :2].T + forward[:, 2]
    np.testing.assert_allclose(again, points, atol=CROP * 2e-3 * max(1.0, 100 / region.side))


@given(regions)
def test_crop_contains_its_region(region):
    forward, _ = _crop_matrices(region)
    centre = forward[:, :2] @ [region.centre_x, region.centre_y] + forward[:, 2]
    np.testing.assert_allclose(centre, CROP / 2, atol=1e-6)
    upper_right = np.array([region.centre_x, region.centre_y]) + turn(
        np.array([[region.side / 2, -region.side / 2]]), math.degrees(region.angle)
    )
    np.testing.assert_allclose(upper_right[0] @ forward[:, :2].T + forward[:, 2], [CROP, 0], atol=1e-2 * CROP)


def test_network_input_is_the_rotated_square_in_rgb():
    pixels = np.zeros((400, 400, 3), np.uint8)
    cv2.rectangle(pixels, (150, 150), (250, 250), (255, 0, 0), -1)  # blue
    session = TensorSession(np.zeros((1, 1, 1, 1404), np.float32), np.zeros((1, 1, 1, 1), np.float32))
    FaceMesh(session).run(PixelFrame(pixels), Region(200, 200, 200, math.radians(45)))
    (fed,) = session.fed
    assert fed.shape == (1, CROP, CROP, 3) and fed.dtype == np.float32
    assert fed.max() == 1.0 and fed[0, :, :, :2].max() == 0.0
    blue = fed[0, :, :, 2] > 0.5
    # The square is rotated by 45 degrees, so its corners are on the axes, and the corners of the crop are black.
    assert blue[CROP // 2, CROP // 2] and not blue[50, 50] and blue[30 + CROP // 6, CROP // 2]


@pytest.mark.parametrize('logit', [-70.0, -2.0, 0.0, 3.0, 900.0])
def test_landmarks_are_in_frame_pixels(logit):
    expected = turned_face(310, 190, 40, 25)
    region = region_from_landmarks(expected)
    forward, _ = _crop_matrices(region)
    points = np.empty((468, 3), np.float32)
    points[:, :2] = expected[:, :2] @ forward[:, :2].T + forward[:, 2]
    points[:, 2] = expected[:, 2] * CROP / region.side
    # The order of the outputs does not matter.
    session = TensorSession(np.array([[logit]], np.float32), points.reshape(1, 1, 1, 1404))
    found, presence = FaceMesh(session).run(PixelFrame(np.zeros((400, 600, 3), np.uint8)), region)
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert found.dtype == np.float32
    assert presence == pytest.approx(1 / (1 + math.exp(-max(-60, min(60, logit)))))


@pytest.mark.parametrize('degrees', [0, 25, -90, 170])
@pytest.mark.parametrize('size', [20, 200])
def test_next_region_follows_position_size_and_angle(degrees, size):
    face = turned_face(500, 300, size, degrees)
    region = region_from_landmarks(face)
    upright = face_at(0, 0, size)[:, :2]
    assert math.degrees(region.angle) == pytest.approx(degrees, abs=0.5)
    assert region.side == pytest.approx(MARGIN * np.ptp(upright, axis=0).max(), rel=0.01)
    middle = turn((upright.min(0) + upright.max(0))[None] / 2, degrees)[0] + [500, 300]
    np.testing.assert_allclose([region.centre_x, region.centre_y], middle, atol=0.02 * size)


def test_first_region_contains_the_detected_face():
    face = turned_face(400, 300, 60, 15)
    points = five_points(face)
    region = region_from_detection(Detection(np.zeros(4, np.float32), points, 0.9))
    assert math.degrees(region.angle) == pytest.approx(15, abs=1)
    forward, _ = _crop_matrices(region)
    inside = face[:, :2] @ forward[:, :2].T + forward[:, 2]
    assert inside.min() > 0 and inside.max() < CROP
    assert np.ptp(inside, axis=0).max() > CROP / 2


def test_regions_have_a_minimum_size():
    point = np.zeros((468, 3), np.float32)
    assert region_from_landmarks(point).side == 8
    assert region_from_detection(Detection(np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0)).side == 8


def test_subsets_have_the_same_positions():
    face = face_at(300, 200, 100)
    five, many = five_points(face), sixty_eight_points(face)
    assert five.shape == (5, 2) and many.shape == (68, 2) and five.dtype == many.dtype == np.float32
    left_eye, right_eye, nose, left_mouth, right_mouth = five
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    # Of the 68 points, 36 to 41 and 42 to 47 are the eyes, 48 and 54 the mouth corners, 8 the chin, 30 the nose tip.
    np.testing.assert_allclose(many[36:42].mean(0), left_eye, atol=4)
    np.testing.assert_allclose(many[42:48].mean(0), right_eye, atol=4)
    np.testing.assert_allclose(many[[48, 54]], [left_mouth, right_mouth], atol=1)
    assert many[8, 1] == many[:, 1].max() and abs(many[30] - nose).max() < 10
    # The points of the jaw go from image left to image right.
    assert (np.diff(many[:17, 0]) > 0).all()


@given(st.floats(0.05, 20), st.floats(-180, 180), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_is_recovered(scale, degrees, x, y):
    points = MEAN_SHAPE[::7, :2] * 40
    goal = turn(points, degrees) * np.float32(scale) + np.array([x, y], np.float32)
    matrix = fit_similarity(points, goal)
    np.testing.assert_allclose(points @ matrix[:, :2].T + matrix[:, 2], goal, atol=0.02 * max(scale, 1))
    assert np.linalg.det(matrix[:, :2]) > 0


def test_similarity_does_not_mirror():
    points = MEAN_SHAPE[:, :2] * 40
    assert np.linalg.det(fit_similarity(points, points * np.array([-1, 1], np.float32))[:, :2]) > 0


@pytest.mark.parametrize('degrees', [0, 40])
def test_chip_shows_the_face_upright(degrees):
    face = turned_face(400, 300, 80, degrees)
    matrix = dlib_chip_matrix(face, CHIP_SIZE)
    five = five_points(face) @ matrix[:, :2].T + matrix[:, 2]
    assert five.min() > 0 and five.max() < CHIP_SIZE
    assert abs(five[0, 1] - five[1, 1]) < 2 and five[0, 0] < CHIP_SIZE / 2 < five[1, 0]
    assert five[:2, 1].mean() < CHIP_SIZE / 2 < five[3:, 1].mean()


def test_embedding_is_the_unit_mean_of_face_and_mirror_image():
    pixels = np.random.default_rng(2).integers(0, 256, (400, 600, 3), np.uint8)
    outputs = np.zeros((2, 128), np.float32)
    outputs[0, 0], outputs[1, 1] = 3, 4
    session = TensorSession(outputs)
    found = FaceEmbedder(session).embed(PixelFrame(pixels), face_at(300, 200, 60))
    np.testing.assert_allclose(found[:3], [0.6, 0.8, 0], atol=1e-6)
    (fed,) = session.fed
    assert fed.shape == (2, 3, CHIP_SIZE, CHIP_SIZE) and fed.dtype == np.float32
    np.testing.assert_array_equal(fed[0], fed[1][..., ::-1])
    assert 200 < fed.max() <= 255
