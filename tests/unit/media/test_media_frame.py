from __future__ import annotations

import av
import cv2
import numpy as np
import pytest

from facefusion.errors import InternalError
from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame, Window
from facefusion.media.planes import PLANE_FORMATS, plane_views

BT709 = ColorSpec('bt709', False, 1, 1)
FORMATS = ['yuv420p', 'yuv422p', 'yuv444p', 'yuv420p10le', 'yuv422p10le', 'yuv444p12le']


def make_frame(pix_fmt: str, width: int = 201, height: int = 121, color: ColorSpec = BT709) -> PlaneFrame:
    video = av.VideoFrame(width, height, pix_fmt)
    random = np.random.default_rng(1)
    for index, plane in enumerate(plane_views(video)):
        low, high = (112, 144) if index else (70, 180)  # colours within the range of BGR
        noise = random.uniform(0, 255, plane.shape).astype(np.float32)
        smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, low, high, cv2.NORM_MINMAX)
        plane[...] = smooth * (1 << (PLANE_FORMATS[pix_fmt].bits - 8))
    return PlaneFrame(video, 0, 0, color)


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_a_pixel_is_the_same_in_every_window(pix_fmt: str) -> None:
    frame = make_frame(pix_fmt)
    whole = frame.read(frame.window)
    random = np.random.default_rng(2)
    for _ in range(60):
        x0, y0 = int(random.integers(0, 200)), int(random.integers(0, 120))
        window = Window(x0, y0, int(random.integers(x0 + 1, 202)), int(random.integers(y0 + 1, 122)))
        assert np.array_equal(frame.read(window), whole[window.y0 : window.y1, window.x0 : window.x1])


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_writing_back_unchanged_pixels_changes_no_sample(pix_fmt: str) -> None:
    frame = make_frame(pix_fmt)
    original = [plane.copy() for plane in frame.planes]
    decoder = frame.planes
    window = Window(31, 17, 100, 90)
    frame.write(window, frame.read(window))
    assert all(np.array_equal(a, b) for a, b in zip(frame.planes, original, strict=True))
    assert frame.is_touched
    frame.write(window, np.zeros((73, 69, 3), np.uint8))
    assert all(np.array_equal(a, b) for a, b in zip(decoder, original, strict=True))
    assert not np.array_equal(frame.planes[0], original[0])


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_only_samples_inside_the_window_change(pix_fmt: str) -> None:
    frame = make_frame(pix_fmt)
    original = [plane.copy() for plane in frame.planes]
    window = Window(31, 17, 100, 90)
    changed = cv2.add(frame.read(window), np.full((73, 69, 3), 9, np.uint8))
    frame.write(window, changed)
    _, sub_x, sub_y = PLANE_FORMATS[pix_fmt]
    for plane, before, fx, fy in zip(frame.planes, original, (1, sub_x, sub_x), (1, sub_y, sub_y), strict=True):
        inside = np.zeros(plane.shape, bool)
        inside[17 // fy : -(-90 // fy), 31 // fx : -(-100 // fx)] = True
        assert np.array_equal(plane[~inside], before[~inside])


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_a_smooth_change_reads_back_as_it_was_written(pix_fmt: str) -> None:
    frame = make_frame(pix_fmt)
    window = Window(150, 80, 201, 121)  # up to the odd border
    before = frame.read(window)
    wanted = cv2.add(before, np.full(before.shape, 12, np.uint8))
    frame.write(window, wanted, before)
    assert np.abs(frame.read(window).astype(int) - wanted).max() <= 3


def test_a_ten_bit_frame_keeps_its_low_bits_where_nothing_changed() -> None:
    frame = make_frame('yuv420p10le')
    assert (frame.planes[0] % 4 != 0).any()
    original = frame.planes[0].copy()
    before = frame.read(frame.window)
    after = before.copy()
    after[40:80, 40:80] = 128
    frame.write(frame.window, after, before)
    frame_luma = frame.planes[0]
    assert np.array_equal(frame_luma[:40], original[:40])
    assert not np.array_equal(frame_luma[40:80, 40:80], original[40:80, 40:80])


@pytest.mark.parametrize('pix_fmt', FORMATS)
@pytest.mark.parametrize('scale', [1.4, 0.8, 0.3])
def test_warp_equals_the_warp_of_the_whole_frame(pix_fmt: str, scale: float) -> None:
    frame = make_frame(pix_fmt, 400, 300)
    matrix = np.array([[scale, 0.1 * scale, -20], [-0.1 * scale, scale, -10]])
    whole = frame.read(frame.window)
    if scale < 0.5:
        whole = cv2.GaussianBlur(whole, (0, 0), 0.8)
    expected = cv2.warpAffine(whole, matrix, (96, 80), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(frame.warp(matrix, 96, 80).astype(int) - expected).mean() < 1.5


def test_warp_outside_the_frame_repeats_its_border() -> None:
    frame = make_frame('yuv420p')
    far = frame.warp(np.array([[1.0, 0, 5000], [0, 1.0, 5000]]), 8, 8)
    assert np.abs(far.astype(int) - frame.read(Window(0, 0, 1, 1))).max() <= 2


def test_shrinking_a_fine_pattern_does_not_alias() -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[::2] = 255
    small = PixelFrame(pixels).warp(np.array([[0.2, 0, 0], [0, 0.2, 0]]), 40, 40)
    assert small.min() > 110 and small.max() < 145


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_sample_equals_a_remap_of_the_whole_frame(pix_fmt: str) -> None:
    frame = make_frame(pix_fmt)
    map_x, map_y = np.meshgrid(np.arange(60, dtype=np.float32) * 1.3 + 70.3, np.arange(50, dtype=np.float32) * 1.3 + 9)
    expected = cv2.remap(frame.read(frame.window), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(frame.sample(map_x, map_y, 1.3).astype(int) - expected).max() <= 4


def test_resized_and_thumbnail_have_the_requested_size() -> None:
    frame = make_frame('yuv420p10le')
    assert frame.resized(64, 36).shape == (36, 64, 3)
    assert frame.luma_thumbnail(32, 18).shape == (18, 32)
    full = cv2.resize(frame.read(frame.window), (64, 36), interpolation=cv2.INTER_AREA)
    assert np.abs(frame.resized(64, 36).astype(int) - full).mean() < 1


def test_luma_is_added_at_the_frames_own_depth() -> None:
    frame = make_frame('yuv420p10le')
    before = frame.planes[0].astype(int)
    frame.add_luma(np.full((121, 201), 1.25, np.float32))
    assert np.array_equal(frame.planes[0], before + 5)


@pytest.mark.parametrize('pix_fmt', FORMATS)
def test_shifting_luma_is_adding_the_difference_and_stops_at_both_ends(pix_fmt: str) -> None:
    random = np.random.default_rng(4)
    up, down = random.integers(0, 5, (2, 121, 201), np.uint8)
    up[random.random(up.shape) < 0.5] = 0
    down[up > 0] = 0
    shifted, added = make_frame(pix_fmt), make_frame(pix_fmt)
    decoder = shifted.planes[0]
    original = decoder.copy()
    shifted.shift_luma(up, down)
    added.add_luma(up.astype(np.float32) - down)
    assert all(np.array_equal(a, b) for a, b in zip(shifted.planes, added.planes, strict=True))
    assert np.array_equal(decoder, original)
    assert shifted.is_touched
    every, none = np.full_like(up, 255), np.zeros_like(up)
    shifted.shift_luma(every, none)
    assert shifted.planes[0].max() == (1 << PLANE_FORMATS[pix_fmt].bits) - 1
    shifted.shift_luma(none, every)
    shifted.shift_luma(none, every)
    assert shifted.planes[0].max() == 0


def test_shifting_luma_of_an_image_shifts_every_channel_of_a_copy() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)
    frame = PixelFrame(pixels.copy())
    source = frame.pixels
    up, down = np.zeros((40, 60), np.uint8), np.zeros((40, 60), np.uint8)
    up[:20], down[20:] = 3, 2
    frame.shift_luma(up, down)
    assert np.array_equal(source, pixels)
    assert np.array_equal(frame.pixels, np.clip(pixels.astype(int) + up[..., None] - down[..., None], 0, 255))


@pytest.mark.parametrize('full_range', [False, True])
@pytest.mark.parametrize('matrix', ['bt601', 'bt709', 'bt2020'])
@pytest.mark.parametrize('bits', [8, 10, 12])
def test_color_matrices_are_inverse(matrix: str, full_range: bool, bits: int) -> None:
    spec = ColorSpec(matrix, full_range, 1, 1)  # type: ignore[arg-type]
    bgr = np.random.default_rng(3).uniform(0, 255, (50, 3))
    codes = np.c_[bgr, np.ones(50)] @ spec.from_bgr(bits).T.astype(np.float64)
    back = np.c_[codes, np.ones(50)] @ spec.to_bgr(bits).T.astype(np.float64)
    assert np.abs(back - bgr).max() < 0.3


def test_reference_colors_of_bt709() -> None:
    # ITU-R BT.709 yellow, limited range: R = G = 255, B = 0 gives Y 219, Cb 16, Cr 138.
    codes = BT709.from_bgr(8) @ np.array([0, 255, 255, 1], np.float32)
    assert np.rint(codes).tolist() == [219, 16, 138]


def test_a_window_outside_the_frame_is_refused() -> None:
    with pytest.raises(InternalError, match='exceeds a frame'):
        make_frame('yuv420p').read(Window(-1, 0, 10, 10))


def test_pixel_frame_copies_on_the_first_write() -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    frame = PixelFrame(pixels)
    frame.write(Window(2, 3, 5, 6), np.full((3, 3, 3), 7, np.uint8))
    assert not pixels.any()
    assert frame.read(Window(2, 3, 5, 6)).min() == 7
