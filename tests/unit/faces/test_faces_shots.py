"""Tests of the detection of cuts, and of the motion of the image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facefusion.faces.shots import THUMBNAIL, compare_frames

WIDTH, HEIGHT = THUMBNAIL


def scene(seed: int) -> np.ndarray:
    """Return a blurred random image that is larger than a thumbnail."""
    noise = np.random.default_rng(seed).uniform(0, 255, (HEIGHT + 40, WIDTH + 40)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 3)
    return (blurred - blurred.min()) / (blurred.max() - blurred.min()) * 255


def view(picture: np.ndarray, x: int, y: int) -> np.ndarray:
    return picture[20 - y : 20 - y + HEIGHT, 20 - x : 20 - x + WIDTH].astype(np.uint8)


@pytest.mark.parametrize(('x', 'y'), [(0, 0), (4, 0), (-9, 3), (12, -5)])
def test_pan_is_measured_and_is_no_cut(x, y):
    change = compare_frames(view(scene(1), 0, 0), view(scene(1), x, y))
    assert not change.is_cut
    np.testing.assert_allclose(change.shift * THUMBNAIL, [x, y], atol=0.6)


def test_another_scene_is_a_cut_without_motion():
    change = compare_frames(view(scene(1), 0, 0), view(scene(2), 0, 0))
    assert change.is_cut and not change.shift.any()


def test_flash_and_noise_are_no_cuts():
    before = view(scene(3), 0, 0)
    assert not compare_frames(before, np.clip(before.astype(int) + 70, 0, 255).astype(np.uint8)).is_cut
    noise = np.random.default_rng(4).normal(0, 6, before.shape)
    assert not compare_frames(before, np.clip(before + noise, 0, 255).astype(np.uint8)).is_cut


@pytest.mark.parametrize(('a', 'b', 'is_cut'), [(16, 16, False), (16, 120, False), (0, 4, False), (0, 255, True)])
def test_flat_images_have_finite_changes(a, b, is_cut):
    """A jump in brightness is a flash; a change from or to black is a cut."""
    change = compare_frames(np.full((HEIGHT, WIDTH), a, np.uint8), np.full((HEIGHT, WIDTH), b, np.uint8))
    assert change.is_cut is is_cut and np.isfinite(change.shift).all()


def test_thumbnails_are_not_modified():
    before, after = (view(scene(6), x, 0).astype(np.float32) for x in (0, 2))
    kept = before.copy(), after.copy()
    compare_frames(before, after)
    np.testing.assert_array_equal(before, kept[0])
    np.testing.assert_array_equal(after, kept[1])


def test_black_to_image_is_a_cut():
    assert compare_frames(np.zeros((HEIGHT, WIDTH), np.uint8), view(scene(5), 0, 0)).is_cut
