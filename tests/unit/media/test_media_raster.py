"""Tests of converting frames between planes and pixels, and of the properties that the conversion preserves."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.errors import InternalError
from facefusion.media.color import ColorSpec
from facefusion.media.frame import Frame, PixelFrame, PlaneFrame, Window
from facefusion.media.picture_extras import PictureExtras
from facefusion.media.planes import PLANE_FORMATS, plane_views

# Luma weights of red and blue: ITU-R BT.601, BT.709, BT.2020.
WEIGHTS = {'bt601': (0.299, 0.114), 'bt709': (0.2126, 0.0722), 'bt2020': (0.2627, 0.0593)}
FORMATS = [name for name in PLANE_FORMATS if not name.startswith('yuvj')]
BT709 = ColorSpec('bt709', False, 1, 1)

colors = st.builds(ColorSpec, st.sampled_from([*WEIGHTS]), st.booleans(), st.just(1), st.just(1))
sides = st.integers(1, 41)
# Some frames are higher than one band of lines, with even and odd heights.
many_sides = st.one_of(sides, st.integers(126, 133))
seeds = st.integers(0, 2**32 - 1)


def ranges(color: ColorSpec, bits: int) -> tuple[float, float, float]:
    """Return the code of black and the sizes of the code ranges of luma and chroma (ITU-T H.273, 8.3)."""
    most = float((1 << bits) - 1)
    scale = float(1 << (bits - 8))
    return (0.0, most, most) if color.full_range else (16 * scale, 219 * scale, 224 * scale)


def planes_of(pixels: np.ndarray, pix_fmt: str, color: ColorSpec) -> list[np.ndarray]:
    """Return BGR as Y, Cb, Cr in float64 by the standard's equations."""
    bits, sub_x, sub_y = PLANE_FORMATS[pix_fmt]
    blue, green, red = np.moveaxis(pixels.astype(float) / np.iinfo(pixels.dtype).max, 2, 0)
    of_red, of_blue = WEIGHTS[color.matrix]
    luma = of_red * red + of_blue * blue + (1 - of_red - of_blue) * green
    black, span, chroma_span = ranges(color, bits)
    found = [black + span * luma]
    for part, weight in ((blue, of_blue), (red, of_red)):
        full = (part - luma) / (2 * (1 - weight)) * chroma_span + (128 << (bits - 8))
        full = np.pad(full, ((0, -full.shape[0] % sub_y), (0, -full.shape[1] % sub_x)), mode='edge')
        found.append(full.reshape(full.shape[0] // sub_y, sub_y, -1, sub_x).mean(axis=(1, 3)))
    return [np.clip(plane, 0, (1 << bits) - 1) for plane in found]


def pixels_of(planes: list[np.ndarray], pix_fmt: str, color: ColorSpec) -> np.ndarray:
    """Return Y, Cb, Cr as BGR 0..1 in float64, interpolating chroma linearly between the centres of its blocks."""
    bits, sub_x, sub_y = PLANE_FORMATS[pix_fmt]
    high, wide = planes[0].shape
    black, span, chroma_span = ranges(color, bits)
    luma = (planes[0] - black) / span
    of_red, of_blue = WEIGHTS[color.matrix]
    found = []
    for plane, weight in ((planes[1], of_blue), (planes[2], of_red)):
        across = (np.arange(wide) + 0.5) / sub_x - 0.5
        down = (np.arange(high) + 0.5) / sub_y - 0.5
        wider = np.stack([np.interp(across, np.arange(plane.shape[1]), line) for line in plane.astype(float)])
        full = np.stack([np.interp(down, np.arange(plane.shape[0]), line) for line in wider.T]).T
        found.append(luma + (full - (128 << (bits - 8))) / chroma_span * 2 * (1 - weight))
    blue, red = found
    green = (luma - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return np.clip(np.dstack([blue, green, red]), 0, 1)


def noise(seed: int, width: int, height: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width, 3), dtype)


def decoded(pix_fmt: str, width: int, height: int, color: ColorSpec = BT709, seed: int = 1) -> PlaneFrame:
    """Return a frame like a decoder's, with random codes of its full depth."""
    video = av.VideoFrame(width, height, pix_fmt)
    random = np.random.default_rng(seed)
    for plane in plane_views(video):
        plane[...] = random.integers(0, 1 << PLANE_FORMATS[pix_fmt].bits, plane.shape)
    return PlaneFrame(video, 7, 1234, color, is_damaged=True)


@given(st.sampled_from(FORMATS), colors, sides, many_sides, st.sampled_from([np.uint8, np.uint16]), seeds)
@settings(max_examples=120, deadline=None)
def test_pixels_become_the_nearest_codes(pix_fmt, color, width, height, dtype, seed):
    pixels = noise(seed, width, height, dtype)
    made = PixelFrame(pixels).to_planes(pix_fmt, (width, height), color)
    for found, wanted in zip(made.planes, planes_of(pixels, pix_fmt, color), strict=True):
        assert np.abs(found - wanted).max() < 0.51
    assert (made.color, made.video.format.name) == (color, pix_fmt)


@given(st.sampled_from(FORMATS), colors, sides, many_sides, seeds)
@settings(max_examples=120, deadline=None)
def test_planes_become_the_nearest_pixels(pix_fmt, color, width, height, seed):
    frame = decoded(pix_fmt, width, height, color, seed)
    whole = frame.whole()
    assert whole.dtype == (np.uint8 if frame.format.bits == 8 else np.uint16)
    wanted = pixels_of(list(frame.planes), pix_fmt, color)
    assert np.abs(whole - wanted * np.iinfo(whole.dtype).max).max() < 0.6
    assert not frame.is_touched


@given(st.sampled_from(FORMATS), colors, seeds)
@settings(max_examples=40, deadline=None)
def test_writing_back_a_whole_frame_stays_within_a_code(pix_fmt, color, seed):
    """Only formats with chroma for every pixel are tested, because subsampling averages different samples."""
    pixels = np.kron(noise(seed, 6, 5, np.uint16), np.ones((8, 8, 1), np.uint16))
    frame = PixelFrame(pixels).to_planes(pix_fmt.replace('420', '444').replace('422', '444'), (48, 40), color)
    again = frame.replaced(frame.whole()).to_planes(frame.video.format.name, (48, 40), color)
    for plane, before in zip(again.planes, frame.planes, strict=True):
        assert np.abs(plane.astype(int) - before).max() <= 1


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_rgb_planes_hold_the_pixels_themselves(dtype):
    pixels = noise(3, 13, 7, dtype)
    made = PixelFrame(pixels).to_planes('gbrp', (13, 7), ColorSpec('rgb', True, 1, 1))
    eight = np.rint(pixels / (np.iinfo(dtype).max / 255)).astype(np.uint8)
    assert np.array_equal(made.read(made.window), eight)
    assert np.array_equal(made.whole(), eight)
    assert np.array_equal(np.dstack([made.planes[1], made.planes[0], made.planes[2]]), eight)


def test_luma_of_rgb_planes_is_added_to_each():
    pixels = np.clip(noise(4, 40, 24), 20, 230)
    still = PixelFrame(pixels.copy())
    frame = still.to_planes('gbrp', (40, 24), ColorSpec('rgb', True, 1, 1))
    assert np.array_equal(frame.luma(), still.luma())
    assert np.array_equal(frame.luma_thumbnail(10, 6), still.luma_thumbnail(10, 6))
    up, down = np.zeros((2, 24, 40), np.uint8)
    up[:12], down[12:] = 5, 4
    for each in (frame, still):
        each.shift_luma(up, down)
        each.add_luma(np.full((24, 40), 2, np.float32))
    assert np.array_equal(frame.whole(), still.pixels)
    frame.write(Window(3, 3, 9, 8), np.full((5, 6, 3), 99, np.uint8))
    assert frame.read(Window(3, 3, 9, 8)).min() == frame.read(Window(3, 3, 9, 8)).max() == 99


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('size', [(10, 8), (40, 32), (20, 30)])
def test_a_uniform_frame_stays_uniform_at_the_output_size(dtype, size):
    plain = np.empty((16, 20, 3), dtype)
    plain[...] = np.array([40, 90, 200]) * (np.iinfo(dtype).max // 255)
    made = PixelFrame(plain, np.full((16, 20), 77, np.uint8)).to_planes('yuv420p', size, BT709)
    assert (made.width, made.height) == size
    assert np.abs(made.read(made.window).astype(int) - [40, 90, 200]).max() <= 2
    assert made.alpha is not None and made.alpha.shape == size[::-1] and (made.alpha == 77).all()
    assert made.scale == (size[0] / 20, size[1] / 16)


@pytest.mark.parametrize('frame', [decoded('yuv420p10le', 33, 21), PixelFrame(noise(1, 33, 21))], ids=['clip', 'still'])
def test_number_time_damage_and_alpha_are_copied(frame: Frame):
    frame.alpha = np.tile(np.linspace(0, 255, 33).astype(np.uint8), (21, 1))
    larger = frame.replaced(noise(2, 66, 42))
    assert (larger.number, larger.pts, larger.is_damaged) == (frame.number, frame.pts, frame.is_damaged)
    assert larger.is_touched and larger.scale == (2, 2)
    assert larger.alpha is not None and larger.alpha.shape == (42, 66)
    assert np.abs(larger.alpha[::2, ::2].astype(int) - frame.alpha).max() <= 4
    # Alpha from a processor replaces that of the frame. At the original size the scale is exactly 1 again.
    own = np.full((21, 33), 9, np.uint8)
    smaller = larger.replaced(noise(3, 33, 21), own)
    assert smaller.scale == (1, 1) and smaller.alpha is own
    planes = smaller.to_planes('yuv444p', (33, 21), BT709)
    assert (planes.number, planes.pts, planes.is_damaged) == (frame.number, frame.pts, frame.is_damaged)
    assert planes.alpha is own


def test_profile_and_exif_of_an_image_are_copied():
    extras = PictureExtras(icc=b'profile', exif=b'exif')
    made = PixelFrame(noise(1, 4, 4), extras=extras).replaced(noise(2, 8, 8))
    assert made.extras == extras


def test_unequal_scales_of_both_sides():
    frame = PixelFrame(noise(1, 33, 21)).replaced(noise(2, 50, 30))
    assert frame.scale == (50 / 33, 30 / 21)
    corners = np.array([[-0.5, -0.5], [32.5, 20.5]], np.float32)
    np.testing.assert_allclose(frame.scale.place(corners), [[-0.5, -0.5], [49.5, 29.5]], atol=1e-5)
    landmark = frame.scale.place(np.array([[16, 10, 3]], np.float32))
    np.testing.assert_allclose(landmark, [[24.5, 14.5, 3 * 50 / 33]], rtol=1e-6)
    assert landmark.dtype == np.float32


def test_a_point_marks_the_same_detail_after_doubling():
    pixels = np.zeros((12, 16, 3), np.uint8)
    pixels[5, 9] = 255
    frame = PixelFrame(pixels)
    doubled = frame.replaced(np.kron(pixels, np.ones((2, 2, 1), np.uint8)))
    x, y = doubled.scale.place(np.array([9.0, 5.0]))
    assert (x, y) == (18.5, 10.5)
    assert (doubled.pixels[10:12, 18:20] == 255).all()


def test_unwritten_samples_of_16_bits_stay_exact():
    pixels = noise(5, 40, 30, np.uint16)
    frame = decoded('yuv420p10le', 40, 30).replaced(pixels.copy())
    window = Window(5, 6, 25, 20)
    before = frame.read(window)
    assert np.abs(before - pixels[6:20, 5:25] / 257).max() <= 0.5
    after = before.copy()
    after[3:6, 4:9] = 200
    frame.write(window, after, before)
    changed = np.zeros((30, 40), bool)
    changed[9:12, 9:14] = True
    assert np.array_equal(frame.pixels[~changed], pixels[~changed])
    assert (frame.read(window)[3:6, 4:9] == 200).all()
    frame.write(window, after)
    assert np.array_equal(frame.pixels[~changed], pixels[~changed])
    frame.write(window, np.full_like(after, 255))
    assert frame.read(window).min() == 255


def test_16_bits_are_read_like_8_bits():
    eight = np.kron(noise(6, 10, 8), np.ones((4, 4, 1), np.uint8))
    low, high = PixelFrame(eight), PixelFrame(eight.astype(np.uint16) * 257)
    map_x, map_y = np.meshgrid(np.linspace(2, 30, 20, dtype=np.float32), np.linspace(1, 28, 16, dtype=np.float32))
    turn = np.array([[0.9, 0.1, 1.0], [-0.1, 0.9, 2.0]])
    for look in (
        lambda frame: frame.luma(),
        lambda frame: frame.resized(20, 16),
        lambda frame: frame.resized(50, 40),
        lambda frame: frame.luma_thumbnail(10, 8),
        lambda frame: frame.warp(turn, 30, 20),
        lambda frame: frame.sample(map_x, map_y, 1.5),
    ):
        assert look(high).dtype == np.uint8
        assert np.abs(look(high).astype(int) - look(low)).max() <= 2
    delta = np.linspace(-300, 300, 32 * 40, dtype=np.float32).reshape(32, 40).round()
    up, down = np.zeros((2, 32, 40), np.uint8)
    up[:, :20], down[:, 20:] = 70, 90
    for frame in (low, high):
        frame.shift_luma(up, down)
    assert np.array_equal(high.pixels, low.pixels.astype(np.uint16) * 257)
    for frame in (low, high):
        frame.add_luma(delta)
    assert np.array_equal(high.pixels, low.pixels.astype(np.uint16) * 257)


def test_matching_planes_are_returned_unchanged():
    frame = decoded('yuvj420p', 8, 8)
    frame.alpha = np.zeros((8, 8), np.uint8)
    assert frame.to_planes('yuv420p', (8, 8), BT709) is frame
    other = frame.to_planes('yuv420p', (16, 16), BT709)
    assert (other.width, other.height, other.scale, other.is_damaged) == (16, 16, (2, 2), True)
    assert other.alpha is not None and other.alpha.shape == (16, 16)
    assert frame.to_planes('yuv420p', (8, 8), ColorSpec('bt601', False, 1, 1)) is not frame


def test_whole_is_a_copy():
    frame = PixelFrame(noise(1, 5, 5))
    frame.whole()[...] = 0
    assert frame.pixels.any()


def test_unsupported_arrays_are_refused():
    frame = PixelFrame(noise(1, 5, 4))
    with pytest.raises(InternalError, match='float32 pixels'):
        frame.replaced(np.zeros((4, 5, 3), np.float32))  # type: ignore[arg-type]
    with pytest.raises(InternalError, match=r'alpha of shape \(5, 4\)'):
        frame.replaced(noise(2, 5, 4), np.zeros((5, 4), np.uint8))
