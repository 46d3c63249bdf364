from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.smooth import (
    LANDMARK_REACH,
    LIP_REACH,
    LIPS,
    savitzky_golay_weights,
    smooth_landmarks,
    smooth_lights_over_time,
    smooth_mean,
)
from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS

# A point of the skin and a point of the lips, for each number of landmarks.
POINTS = {468: (10, 61), 68: (8, 48)}


def parabola(count: int, points: int) -> np.ndarray:
    t = np.arange(count, dtype=np.float64)[:, None, None]
    vertex = np.arange(points)[None, :, None]
    return (0.05 * t * t + 0.01 * vertex * t - vertex + np.arange(3)).astype(np.float32)


# The coefficients are those of scipy.signal.savgol_coeffs(2 * reach + 1, 2).
@pytest.mark.parametrize(
    ('reach', 'coefficients'),
    [
        (1, [0, 1, 0]),
        (2, np.array([-3, 12, 17, 12, -3]) / 35),
        (3, np.array([-2, 3, 6, 7, 6, 3, -2]) / 21),
    ],
)
def test_weights_are_those_of_savitzky_and_golay(reach, coefficients):
    np.testing.assert_allclose(savitzky_golay_weights(reach), coefficients, atol=1e-6)


@pytest.mark.parametrize('points', POINTS)
@pytest.mark.parametrize('count', [1, 2, 3, 6, 7, 40])
def test_parabola_is_unchanged(count, points):
    np.testing.assert_allclose(smooth_landmarks(parabola(count, points)), parabola(count, points), atol=2e-3)


def test_lips_are_those_of_the_mesh_and_of_the_68_points():
    assert LIPS[468].tolist() == [*OUTER_LIPS, *INNER_LIPS] and LIPS[68].tolist() == list(range(48, 68))


@pytest.mark.parametrize('points', POINTS)
def test_noise_shrinks_and_the_input_is_not_modified(points):
    noise = np.random.default_rng(1).normal(0, 1, (200, points, 3)).astype(np.float32)
    before = noise.copy()
    smooth = smooth_landmarks(noise)
    np.testing.assert_array_equal(noise, before)
    # The remaining variance is the sum of the squared weights: 1/3 for seven frames, 17/35 for five.
    inner = smooth[10:-10]
    lips = LIPS[points]
    others = np.delete(np.arange(points), lips)
    assert inner[:, others].var() == pytest.approx(1 / 3, abs=0.01)
    assert inner[:, lips].var() == pytest.approx(17 / 35, abs=0.02)


def reached(smooth, count: int, at: int, **shape) -> np.ndarray:
    """Return which outputs change when the input at ``at`` changes."""
    values = np.zeros((count, *shape.get('tail', ())), np.float32)
    moved = values.copy()
    moved[at] += 1
    changed = np.abs(smooth(moved) - smooth(values))
    return changed.reshape(count, -1).max(1) > 1e-6


@given(st.integers(1, 12), st.sampled_from(sorted(POINTS)), st.data())
@settings(max_examples=30, deadline=None)
def test_windows_are_symmetric_and_shrink_at_both_ends(count, points, data):
    at = data.draw(st.integers(0, count - 1))
    room = np.minimum(np.arange(count), count - 1 - np.arange(count))
    distance = np.abs(np.arange(count) - at)
    for vertex, reach in zip(POINTS[points], (LANDMARK_REACH, LIP_REACH), strict=True):
        found = reached(lambda values, v=vertex: smooth_landmarks(values)[:, v], count, at, tail=(points, 3))
        # A parabola passes through any three points, so a window of three has no effect.
        window = np.where(np.minimum(room, reach) == 1, 0, np.minimum(room, reach))
        np.testing.assert_array_equal(found, distance <= window)
    found = reached(lambda values: smooth_mean(values, 4), count, at)
    np.testing.assert_array_equal(found, distance <= np.minimum(room, 4))


@given(st.integers(1, 30), st.integers(0, 6))
@settings(max_examples=30, deadline=None)
def test_mean_preserves_constants_and_straight_lines(count, reach):
    constant = np.full((count, 2, 2), 7.25, np.float32)
    np.testing.assert_allclose(smooth_mean(constant, reach), constant, rtol=1e-6)
    line = np.arange(count, dtype=np.float32)
    np.testing.assert_allclose(smooth_mean(line, reach), line, atol=1e-4)


def test_mean_has_triangular_weights():
    values = np.zeros(11, np.float32)
    values[5] = 9
    np.testing.assert_allclose(smooth_mean(values, 2), [0, 0, 0, 1, 2, 3, 2, 1, 0, 0, 0], atol=1e-6)


def test_bytes_are_averaged_without_overflow():
    assert smooth_mean(np.full((9, 4, 4), 250, np.uint8), 2).max() == pytest.approx(250)


def test_flash_does_not_spread_to_adjacent_frames():
    rng = np.random.default_rng(1)
    still = np.concatenate([rng.uniform(60, 140, (32, 32, 3)), np.ones((32, 32, 1))], -1).astype(np.float32)
    lights = np.repeat(still[None], 9, 0)
    lights[4, ..., :3] *= 2
    smooth = smooth_lights_over_time(lights)
    np.testing.assert_allclose(smooth, lights, rtol=1e-2)
