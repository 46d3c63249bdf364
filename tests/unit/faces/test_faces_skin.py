from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import draw_face, face_texture
from fakes.face_chunks import face_at
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from facefusion.faces.atlas import smooth_step
from facefusion.faces.skin import (
    BGR_TO_YCC,
    SKIN,
    TRAIT_COUNT,
    YCC_TO_BGR,
    SkinMeter,
    SkinTraits,
    linked_skin,
    pack_light,
    pool_light,
    smooth_light,
    smooth_lights,
    to_ycc,
    unpack_light,
)
from facefusion.faces.topology import load_topology
from facefusion.media.frame import PixelFrame

METER = SkinMeter(load_topology())
FACE = face_at(200, 200, 70)
TONE = (110, 140, 190)
colours = st.tuples(*[st.integers(20, 235)] * 3)


def plain(colour):
    return PixelFrame(np.full((400, 400, 3), colour, np.uint8))


@given(colours)
@settings(max_examples=15, deadline=None)
def test_face_of_one_colour_has_that_colour_as_light(colour):
    sample = METER.measure(plain(colour), FACE)
    seen = sample['light'][..., 3] > 40
    assert 0.2 < seen.mean() < 0.9
    y, cb, cr = BGR_TO_YCC @ np.array(colour, np.float32)
    mean = sample['light'][seen][:, :3].astype(float) - [0, 128, 128]
    np.testing.assert_allclose(mean, np.broadcast_to([y, cb, cr], mean.shape), atol=1.01)
    # The skin is uncovered. The face has no features and no contrast, and its lips have the colour of the skin.
    assert sample['free'][6:9, 26:38].min() > 230 and sample['free'][19:22, 19:22].max() < 140
    flat = dict.fromkeys(SkinTraits._fields, 0.0) | {'forehead': 1.0, 'lip_luma': 1.0}
    np.testing.assert_allclose(sample['traits'], list(flat.values()), atol=0.005)


def test_values_have_the_documented_shapes():
    sample = METER.measure(draw_face(FACE, face_texture(TONE)), FACE)
    assert sample['light'].shape == (32, 32, 4) and sample['light'].dtype == np.uint8
    assert sample['free'].shape == (64, 64) and sample['free'].dtype == np.uint8
    assert sample['traits'].shape == (TRAIT_COUNT,) and sample['traits'].dtype == np.float32
    # The skin is mottled by six percent, and the lips are red.
    assert 0.02 < sample['traits'][1] < 0.15 and sample['traits'][2] > 0.02


@pytest.mark.parametrize('value', SKIN.values, ids=lambda value: value.name)
def test_smoothing_depends_on_reach_frames(value):
    """When chunks are linked, this number of frames of the adjacent chunks is added."""
    frames, at = 101, 50
    still = np.full((frames, *value.shape), 100, value.dtype)
    moved = still.copy()
    moved[at] = 250
    changed = (value.smooth(moved) != value.smooth(still)).reshape(frames, -1).any(1)
    assert value.reach > 0
    assert np.flatnonzero(changed).tolist() == list(range(at - value.reach, at + value.reach + 1))


def test_linked_skin_has_shares_and_named_traits():
    light, visibility = np.full((32, 32, 4), 0.5, np.float16), np.full((64, 64), 255, np.uint8)
    visibility[0, 0] = 51
    traits = np.arange(TRAIT_COUNT, dtype=np.float32)
    skin = linked_skin({'other': visibility, 'light': light, 'free': visibility, 'traits': traits})
    assert skin.light.dtype == skin.visibility.dtype == np.float32 and (skin.light == 0.5).all()
    assert skin.visibility[0, 0] == pytest.approx(0.2) and (skin.visibility[1:] == 1).all()
    assert skin.traits == SkinTraits(*range(TRAIT_COUNT)) and skin.traits.glasses == 8
    assert linked_skin({}) is None and linked_skin({'other': visibility}) is None


def covered_share(sample, box) -> float:
    """Return the covered share of the atlas within ``box`` (x0, y0, x1, y1 in 0..1)."""
    x0, y0, x1, y1 = (round(64 * share) for share in box)
    inside = METER.grid.inside[::2, ::2][y0:y1, x0:x1] > 0
    return float((sample['free'][y0:y1, x0:x1][inside] < 128).mean())


def test_dark_patch_from_outside_is_coverage():
    """The patch is like a hand over a cheek that extends beyond the outline."""
    frame = draw_face(FACE, face_texture(TONE))
    clean = METER.measure(frame, FACE)
    frame.pixels[180:290, 60:165] = (20, 25, 30)
    sample = METER.measure(frame, FACE)
    x_left, x_right = (0.1, 0.25), (0.75, 0.9)
    assert covered_share(clean, (x_left[0], 0.45, x_left[1], 0.6)) < 0.1
    assert covered_share(sample, (x_left[0], 0.45, x_left[1], 0.6)) > 0.8
    assert covered_share(sample, (x_right[0], 0.45, x_right[1], 0.6)) < 0.1
    # The light of covered skin is not measured.
    seen = sample['light'][..., 3] > 100
    assert seen.sum() < (clean['light'][..., 3] > 100).sum()
    assert (sample['light'][seen][:, 0] < 60).mean() < 0.01


def test_dark_patch_in_the_middle_is_part_of_the_face():
    frame = draw_face(FACE, face_texture(TONE))
    clean = METER.measure(frame, FACE)
    frame.pixels[205:225, 140:160] = (20, 25, 30)
    sample = METER.measure(frame, FACE)
    assert (sample['free'][clean['free'] > 250] > 200).all()


def test_strand_of_hair_is_coverage():
    """The strand is narrow, but it reaches the outline."""
    frame = draw_face(FACE, face_texture(TONE))
    frame.pixels[80:150, 180:192] = (20, 25, 30)
    sample = METER.measure(frame, FACE)
    strand = sample['free'][5:18, 22:34]
    assert 0.1 < (strand < 128).mean() < 0.8
    assert (sample['free'][5:18, 40:60] > 200).all()


def test_fringe_lowers_the_share_of_the_forehead():
    frame = draw_face(FACE, face_texture(TONE))
    clean = METER.measure(frame, FACE)
    top = int(FACE[:, 1].min())
    frame.pixels[top - 5 : top + 45] = (20, 25, 30)
    fringe = METER.measure(frame, FACE)
    assert clean['traits'][0] > 0.9 and fringe['traits'][0] < 0.4


def test_hardly_visible_face_counts_as_uncovered():
    sample = METER.coverage.find(np.zeros((128, 128, 3), np.float32), np.zeros((128, 128), np.float32), FACE)
    assert (sample.visibility == 1).all() and sample.forehead == 1


def test_face_partly_outside_the_image_is_measured():
    sample = METER.measure(draw_face(FACE, face_texture(TONE)), face_at(-20, 390, 70))
    assert np.isfinite(sample['traits']).all()


def test_measurement_is_deterministic():
    frame = draw_face(FACE, face_texture(TONE))
    first, second = METER.measure(frame, FACE), METER.measure(frame, FACE)
    for name in ('light', 'free', 'traits'):
        np.testing.assert_array_equal(first[name], second[name])


@given(arrays(np.float32, (2, 2, 3), elements=st.floats(0, 255, width=32)))
def test_colour_matrices_are_inverse(bgr):
    ycc = to_ycc(bgr)
    np.testing.assert_allclose(ycc @ YCC_TO_BGR.T, bgr, atol=0.01)


def test_grey_has_no_chroma():
    np.testing.assert_allclose(to_ycc(np.full((1, 1, 3), 77, np.uint8))[0, 0], [77, 0, 0], atol=0.01)


@given(arrays(np.uint8, (32, 32, 4)))
@settings(max_examples=20, deadline=None)
def test_packed_light_unpacks(packed):
    packed[..., 3] = np.maximum(packed[..., 3], 8)
    np.testing.assert_array_equal(pack_light(unpack_light(packed)), packed)


def test_light_unpacks_frame_by_frame():
    packed = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 4), np.uint8)
    np.testing.assert_array_equal(unpack_light(packed)[3], unpack_light(packed[3]))
    assert unpack_light(packed).dtype == np.float32


def test_pooled_light_is_weighted():
    ycc = np.zeros((128, 128, 3), np.float32)
    ycc[:, :2] = (100, 10, -10)
    ycc[:, 2:4] = (200, 20, -20)
    weight = np.zeros((128, 128), np.float32)
    weight[:, :2] = 1.0
    light = pool_light(ycc, weight)
    np.testing.assert_allclose(light[0, 0], [50, 5, -5, 0.5], atol=1e-4)
    np.testing.assert_allclose(light[0, 1], 0, atol=1e-6)


@pytest.mark.parametrize('patchy', [False, True])
def test_smooth_light_preserves_a_constant_with_little_visible_skin(patchy):
    weight = np.ones((32, 32, 1), np.float32)
    if patchy:
        weight[:, 6:] = 0
    light = np.concatenate([np.broadcast_to([120.0, 8, -12], (32, 32, 3)) * weight, weight], -1).astype(np.float32)
    np.testing.assert_allclose(smooth_light(light), np.broadcast_to([120, 8, -12], (32, 32, 3)), rtol=1e-3)


def test_the_light_is_blurred_as_by_opencv():
    """The blurs by matrices equal Gaussian blurs with zeros around the image."""
    light = np.random.default_rng(3).random((32, 32, 4), dtype=np.float32)
    light[:9] = 0
    floor = light[..., :3].sum((0, 1)) / light[..., 3].sum()

    def blurred(sigma):
        spread = cv2.GaussianBlur(light, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
        return (spread[..., :3] + 1e-4 * floor) / (spread[..., 3:] + 1e-4), spread[..., 3:]

    (wide, support), (narrow, near), (coarse, _) = (blurred(sigma) for sigma in (2, 1, 6))
    fine = wide + (narrow - wide) * smooth_step(near / 0.3)
    expected = [coarse + (part - coarse) * smooth_step(support / 0.15) for part in (wide, fine)]
    np.testing.assert_allclose(smooth_light(light), expected[0], atol=1e-5)
    planes = np.moveaxis(light, -1, 0)
    for found, one in zip(smooth_lights(np.stack([planes, planes[:, ::-1]])), expected, strict=True):
        np.testing.assert_allclose(np.moveaxis(found[0], 0, -1), one, atol=1e-5)
        np.testing.assert_allclose(np.moveaxis(found[1], 0, -1), one[::-1], atol=1e-5)
