from __future__ import annotations

import math

import numpy as np
import pytest
from quality_measures import (
    ATLAS,
    BAND,
    FaceRuler,
    Flicker,
    count_holes,
    expression_kept,
    identity_gain,
    is_swapped,
    overpainted,
    own_skin,
    psnr,
    rim_difference,
    ssim,
)

from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS, load_topology
from facefusion.media.frame import PixelFrame

SKIN = (140, 165, 205)


@pytest.fixture(scope='module')
def topology():
    return load_topology()


@pytest.fixture(scope='module')
def ruler(topology):
    return FaceRuler(topology)


@pytest.fixture(scope='module')
def landmarks(topology):
    """The landmarks of a frontal face with an eye distance of 80 in an image of 320x320."""
    points = topology.mean_shape * 80
    points[:, :2] += 160 - (points[:, :2].min(0) + points[:, :2].max(0)) / 2
    return points.astype(np.float32)


def picture(offset=(0, 0, 0)):
    """Return an image of skin with a gradient and fine texture, and with ``offset`` added to B, G, R."""
    random = np.random.default_rng(0)
    shade = np.linspace(0.8, 1.1, 320)[None, :, None]
    pixels = np.array(SKIN) * shade + random.normal(0, 2, (320, 320, 1)) + np.array(offset)
    return PixelFrame(np.clip(pixels + 0.5, 0, 255).astype(np.uint8))


def rim_of(ruler, landmarks, before, after):
    target, result = ruler.unroll(before, landmarks), ruler.unroll(after, landmarks)
    skin = own_skin(target, ruler.skin & ruler.seen(before, landmarks), ruler.centre)
    return rim_difference(target, result, ruler.band & skin, ruler.sector)


def test_rim_of_unchanged_image_is_zero(ruler, landmarks):
    rim = rim_of(ruler, landmarks, picture(), picture())
    assert (rim.y, rim.cb, rim.cr, rim.worst) == (0, 0, 0, 0)
    assert rim.sectors >= 10


def test_rim_difference_is_the_added_offset(ruler, landmarks):
    # Added grey changes only luma; added blue changes Y, Cb and Cr by 0.114, 0.5 and -0.081 of its value (BT.601).
    grey = rim_of(ruler, landmarks, picture(), picture((10, 10, 10)))
    assert grey.signed_y == pytest.approx(10, abs=0.05)
    assert abs(grey.signed_cb) < 0.05 and abs(grey.signed_cr) < 0.05
    blue = rim_of(ruler, landmarks, picture(), picture((20, 0, 0)))
    assert (blue.signed_y, blue.signed_cb, blue.signed_cr) == pytest.approx((2.28, 10, -1.62), abs=0.05)
    assert blue.cr == pytest.approx(1.62, abs=0.05)


def test_opposite_errors_on_cheeks_do_not_cancel(ruler):
    target = np.zeros((ATLAS, ATLAS, 3), np.float32)
    target[...] = (150, -10, 15)
    result = target.copy()
    result[:, : ATLAS // 2, 0] += 6
    result[:, ATLAS // 2 :, 0] -= 6
    rim = rim_difference(target, result, ruler.band, ruler.sector)
    assert rim.signed_y == pytest.approx(0, abs=0.7)
    assert rim.y > 5


def test_rim_excludes_the_middle_of_the_face(ruler):
    target = np.full((ATLAS, ATLAS, 3), 100, np.float32)
    result = target.copy()
    result[ruler.centre] += 50
    assert rim_difference(target, result, ruler.band, ruler.sector).y == 0
    assert BAND[1] <= 0.2


def test_rim_excludes_texels_that_are_not_skin(ruler, landmarks):
    covered = picture()
    covered.pixels[:, 200:] = (60, 30, 20)
    target = ruler.unroll(covered, landmarks)
    skin = own_skin(target, ruler.skin & ruler.seen(covered, landmarks), ruler.centre)
    right = skin[:, int(ATLAS * 0.8) :]
    assert not right.any()
    assert skin[:, : ATLAS // 2].sum() > 1000


def test_rim_is_nan_without_visible_skin(ruler):
    empty = np.zeros((ATLAS, ATLAS), np.bool_)
    values = np.zeros((ATLAS, ATLAS, 3), np.float32)
    rim = rim_difference(values, values, empty, ruler.sector)
    assert math.isnan(rim.y) and rim.sectors == 0


def test_texels_outside_the_frame_are_not_seen(ruler, landmarks):
    frame = picture()
    inside = ruler.seen(frame, landmarks).sum()
    half_outside = landmarks + np.array([-landmarks[:, 0].mean(), 0, 0], np.float32)
    assert 0.3 * inside < ruler.seen(frame, half_outside).sum() < 0.7 * inside


def test_overpainted_is_the_changed_share_of_the_cover(ruler, landmarks):
    before, after = picture(), picture()
    cover = np.zeros((320, 320), np.uint8)
    cover[:, 160:] = 255
    covered = ruler.unroll_mask(cover, landmarks)
    assert covered.sum() == pytest.approx(ruler.inside.sum() / 2, rel=0.05)
    target = ruler.unroll(before, landmarks)
    assert overpainted(target, target, covered) == 0
    after.pixels[:160, 160:] = np.clip(after.pixels[:160, 160:] + 20.0, 0, 255).astype(np.uint8)
    after.pixels[:, :160] = 0
    share = overpainted(target, ruler.unroll(after, landmarks), covered)
    upper = ruler.unroll_mask(np.where(np.arange(320)[:, None] < 160, cover, 0).astype(np.uint8), landmarks)
    assert share == pytest.approx(upper.sum() / covered.sum(), abs=0.03)
    assert math.isnan(overpainted(target, target, np.zeros_like(covered)))


def test_identity_gain_is_positive_towards_the_source():
    source, target = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    halfway = np.array([0.6, 0.8], np.float32)
    assert identity_gain(source, target, halfway) == pytest.approx((0, 0.6, 0.6))
    assert identity_gain(source, halfway, target)[2] == pytest.approx(-0.6)
    assert identity_gain(source, target, target)[2] == 0


def test_expression_is_in_percent_of_the_eye_distance(landmarks):
    assert expression_kept(landmarks, landmarks).all == 0
    moved = landmarks.copy()
    moved[list({*INNER_LIPS, *OUTER_LIPS}), 0] += 0.8
    kept = expression_kept(landmarks, moved)
    assert kept.lips == pytest.approx(1, rel=0.02)
    assert kept.lids == 0 and kept.mouth == pytest.approx(0, abs=1e-3)
    opened = landmarks.copy()
    opened[14, 1] += 4
    assert expression_kept(landmarks, opened).mouth == pytest.approx(5, rel=0.02)


def frames(values, seen=None):
    flicker = Flicker()
    everywhere = np.ones((4, 4), np.bool_) if seen is None else seen
    for number, target, result in values:
        lumas = (np.full((4, 4), value, np.float32) for value in (target, result))
        flicker.add(0, number, *lumas, everywhere)
    return flicker


def test_a_constant_clip_has_flicker_ratio_one():
    flicker = frames([(0, 100, 90), (1, 100, 90), (2, 100, 90)])
    assert flicker.ratio == 1 and flicker.target == 0


def test_flicker_compares_changes_of_result_and_target():
    flicker = frames([(0, 100, 100), (1, 101, 98), (2, 100, 100)])
    assert (flicker.target, flicker.result) == (1, 2)
    assert flicker.ratio == pytest.approx(2.1 / 1.1)
    assert flicker.worst_jump == 1


def test_flicker_has_no_step_across_a_missing_frame():
    flicker = frames([(0, 100, 100), (2, 180, 180), (3, 180, 181)])
    assert (flicker.target, flicker.result) == (0, 1)
    assert math.isnan(frames([(0, 1, 1)]).ratio)


def test_flicker_ignores_hidden_texels():
    seen = np.zeros((4, 4), np.bool_)
    assert math.isnan(frames([(0, 1, 1), (1, 9, 9)], seen).target)


def test_unchanged_face_is_not_swapped():
    target = np.full((8, 8, 3), 100, np.float32)
    seen = np.ones((8, 8), np.bool_)
    assert not is_swapped(target, target + 0.3, seen)
    assert is_swapped(target, target + 3, seen)
    assert not is_swapped(target, target + 3, ~seen)


def test_holes_are_frames_without_swap_between_swaps():
    assert count_holes([]) == 0
    assert count_holes([3, 4, 5]) == 0
    assert count_holes([3, 5, 8]) == 3


def lumas():
    """Return the luma of a textured image, float32 [64,64]."""
    return np.random.default_rng(3).normal(120, 30, (64, 64)).clip(0, 255).astype(np.float32)


def test_psnr_follows_from_the_mean_squared_error():
    luma = lumas()
    assert psnr(luma, luma + 5) == pytest.approx(20 * math.log10(255 / 5), abs=1e-3)


def test_ssim_of_equal_pictures_is_1():
    assert ssim(lumas(), lumas()) == pytest.approx(1, abs=1e-4)


def test_ssim_of_flat_pictures_compares_their_brightness():
    dark, bright = np.full((32, 32), 60, np.float32), np.full((32, 32), 120, np.float32)
    assert ssim(dark, bright) == pytest.approx((2 * 60 * 120 + 6.5025) / (60**2 + 120**2 + 6.5025), abs=1e-3)


def test_ssim_of_a_weaker_texture_compares_the_contrast():
    luma = lumas()
    weaker = 120 + 0.5 * (luma - 120)
    # With equal means and half the contrast, each window has 2 * 0.5 / (1 + 0.25), apart from the constants.
    assert ssim(luma, weaker) == pytest.approx(0.8, abs=0.03)
    assert ssim(luma, weaker) == pytest.approx(ssim(weaker, luma), abs=1e-6)
