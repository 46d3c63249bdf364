from __future__ import annotations

import numpy as np
import pytest
from fakes.face_chunks import MEAN_SHAPE, face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.pose import head_rotation, turned_away, yaw
from facefusion.faces.topology import INNER_LIPS, load_topology

TOPOLOGY = load_topology()
NOSE_TIP, SIDES = 4, [234, 454]
turns = st.floats(-75, 75)


def rotation(yaw_degrees: float = 0, pitch_degrees: float = 0, roll_degrees: float = 0) -> np.ndarray:
    """Return a rotation: to the image's right by yaw, down by pitch, then clockwise in the image (y down) by roll."""
    a, b, c = np.radians([yaw_degrees, pitch_degrees, roll_degrees])
    about_y = [[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]]
    about_x = [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    about_z = [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def turned(matrix: np.ndarray, size: float = 70, place: tuple[float, float] = (200, 150)) -> np.ndarray:
    return (face_at(0, 0, size) @ matrix.T + [*place, 0]).astype(np.float32)


@given(turns, turns, st.floats(-180, 180), st.floats(5, 900), st.tuples(st.floats(-500, 4000), st.floats(-500, 4000)))
@settings(max_examples=30, deadline=None)
def test_rotation_is_recovered_at_any_size_and_position(yaw_degrees, pitch, roll, size, place):
    made = rotation(yaw_degrees, pitch, roll)
    found = head_rotation(TOPOLOGY, turned(made, size, place))
    assert found.shape == (3, 3) and found.dtype == np.float64
    # At coordinates of thousands of pixels, float32 has only four digits left for a small face.
    np.testing.assert_allclose(found, made, atol=2e-3)


@given(turns, st.floats(5, 900))
@settings(max_examples=20, deadline=None)
def test_yaw_is_the_angle_of_the_turn_to_the_side(degrees, size):
    landmarks = turned(rotation(degrees), size)
    assert yaw(TOPOLOGY, landmarks) == pytest.approx(degrees, abs=0.1)
    assert turned_away(TOPOLOGY, landmarks) == pytest.approx(abs(degrees), abs=0.1)


def test_yaw_is_positive_towards_the_images_right():
    landmarks = turned(rotation(30))
    assert landmarks[NOSE_TIP, 0] > landmarks[SIDES, 0].mean() + 10
    assert yaw(TOPOLOGY, landmarks) == pytest.approx(30, abs=0.1)
    assert yaw(TOPOLOGY, turned(rotation(-30))) == pytest.approx(-30, abs=0.1)


@pytest.mark.parametrize('degrees', [-40, 25, 60])
def test_pitch_turns_away_without_yaw(degrees):
    landmarks = turned(rotation(0, degrees))
    assert turned_away(TOPOLOGY, landmarks) == pytest.approx(abs(degrees), abs=0.1)
    assert yaw(TOPOLOGY, landmarks) == pytest.approx(0, abs=0.1)


def test_yaw_and_pitch_combine():
    both = np.degrees(np.arccos(np.cos(np.radians(30)) * np.cos(np.radians(40))))
    assert turned_away(TOPOLOGY, turned(rotation(30, 40))) == pytest.approx(both, abs=0.1)
    assert yaw(TOPOLOGY, turned(rotation(30, 40))) == pytest.approx(30, abs=0.1)


@pytest.mark.parametrize('roll', [-150, -45, 20, 90])
def test_roll_does_not_turn_a_face_away(roll):
    assert turned_away(TOPOLOGY, turned(rotation(35, 10, roll))) == pytest.approx(
        turned_away(TOPOLOGY, turned(rotation(35, 10))), abs=0.1
    )
    assert turned_away(TOPOLOGY, turned(rotation(0, 0, roll))) == pytest.approx(0, abs=0.1)


def test_profile_is_90_degrees_and_larger_turns_are_more():
    assert turned_away(TOPOLOGY, turned(rotation(90))) == pytest.approx(90, abs=0.1)
    assert yaw(TOPOLOGY, turned(rotation(120))) == pytest.approx(120, abs=0.1)


def test_open_mouth_does_not_turn_the_head():
    """The pose uses no vertices that expressions move."""
    landmarks = turned(rotation(20, 15))
    before = head_rotation(TOPOLOGY, landmarks)
    landmarks[list(INNER_LIPS), 1] += 40
    landmarks[152, 1] += 60
    np.testing.assert_array_equal(head_rotation(TOPOLOGY, landmarks), before)


def test_any_points_give_a_rotation():
    """Noise, a flat face and a mirrored face also give a rotation without mirroring or stretching."""
    flat = face_at(200, 200, 70)
    flat[:, 2] = 0
    noise = np.random.default_rng(0).normal(0, 50, (468, 3)).astype(np.float32)
    for landmarks in (flat, noise, (MEAN_SHAPE * [1, 1, -1] * 70).astype(np.float32), np.zeros((468, 3), np.float32)):
        found = head_rotation(TOPOLOGY, landmarks)
        np.testing.assert_allclose(found @ found.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(found) == pytest.approx(1)
        assert 0 <= turned_away(TOPOLOGY, landmarks) <= 180
