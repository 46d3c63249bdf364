from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.scenes import scene
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.media.planes import resize_plane

THUMBNAIL = (96, 54)
SOURCES = [(3840, 2160), (1920, 1080), (1920, 1088), (1280, 720), (960, 540), (640, 480), (1918, 1078), (1023, 577)]


def by_area(plane: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return the mean of the area under each sample of the result, summed in double precision."""
    shares = []
    for size, goal in ((plane.shape[0], height), (plane.shape[1], width)):
        edges = np.arange(goal + 1) * size / goal
        low, high = np.maximum(edges[:-1, None], np.arange(size)), np.minimum(edges[1:, None], np.arange(1, size + 1))
        shares.append(np.maximum(high - low, 0) * goal / size)
    return np.einsum('yh,hwc,xw->yxc', shares[0], plane.reshape(*plane.shape[:2], -1), shares[1], optimize=True)


def largest_error(plane: np.ndarray, width: int, height: int) -> float:
    found = resize_plane(plane, width, height)
    assert found.dtype == plane.dtype and found.shape == (height, width, *plane.shape[2:])
    return float(np.abs(found.reshape(height, width, -1) - by_area(plane, width, height)).max())


@pytest.mark.parametrize('size', SOURCES, ids=str)
@pytest.mark.parametrize('goal', [THUMBNAIL, (192, 192), (101, 53)], ids=str)
def test_shrinking_is_the_area_filter(size, goal):
    """The sizes include some whose half or quarter is not a whole number."""
    reference = cv2.resize(scene(3, *size), goal, interpolation=cv2.INTER_AREA).astype(int)
    found = resize_plane(scene(3, *size), *goal)
    assert np.abs(found - reference).max() <= (1 if goal == THUMBNAIL else 2)
    assert np.abs(found - reference).mean() < 0.6


@pytest.mark.parametrize('size', [(640, 480), (384, 216), (300, 162), (97, 61)], ids=str)
@pytest.mark.parametrize('kind', ['8 bits', '10 bits', 'BGR'])
def test_every_kind_of_plane_is_averaged(size, kind):
    pixels = np.dstack([scene(number, *size) for number in range(3)])
    plane = {'8 bits': pixels[..., 0], '10 bits': pixels[..., 0].astype('<u2') * 4, 'BGR': pixels}[kind]
    assert largest_error(plane, 48, 27) <= (8 if kind == '10 bits' else 2)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_integer_ratios_average_even_noise(across, down, seed):
    noise = np.random.default_rng(seed).integers(0, 256, (7 * down, 9 * across), np.uint8)
    assert largest_error(noise, 9, 7) <= 1.3


@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 60), st.integers(1, 60), st.integers(0, 255))
@settings(max_examples=60, deadline=None)
def test_a_uniform_plane_stays_uniform_at_any_size(wide, high, width, height, code):
    found = resize_plane(np.full((high, wide), code, np.uint8), width, height)
    assert found.shape == (height, width) and (found == code).all()


def test_resizing_does_not_shift():
    """A ramp has the same value at the same position however often it is halved."""
    for size in (768, 770, 1200, 97 * 8):
        ramp = np.tile(np.linspace(0, 60000, size), (size // 4, 1)).astype('<u2')
        found = resize_plane(ramp, 97, 30)[15].astype(float)
        places = (np.arange(97) + 0.5) * size / 97 - 0.5
        np.testing.assert_allclose(found, places * 60000 / (size - 1), atol=0.02 * 60000 / 97)


def test_the_same_size_is_a_copy():
    plane = scene(1, 96, 54)
    same = resize_plane(plane, 96, 54)
    np.testing.assert_array_equal(same, plane)
    assert not np.shares_memory(same, plane)


def test_growing_is_linear():
    plane = np.array([[0, 100]], np.uint8)
    np.testing.assert_array_equal(resize_plane(plane, 4, 1), [[0, 25, 75, 100]])
    # Resizing also works when only one side grows.
    assert resize_plane(scene(1, 400, 20), 48, 27).shape == (27, 48)
