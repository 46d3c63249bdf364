"""Tests of the contracts of the colorizers, with stand-in networks and independent formulas in float64."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.stand_ins import ColorizerSession

from facefusion.errors import ModelError, UsageError
from facefusion.events import silent
from facefusion.faces.analyser import FaceFinder
from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame
from facefusion.media.planes import plane_views
from facefusion.models.catalog import load_catalog
from facefusion.models.choice import NO_EMBEDDED
from facefusion.models.preferences import PREFERENCES
from facefusion.processors.frame_colorizer import networks
from facefusion.processors.frame_colorizer.enlarged import enlarged_bands
from facefusion.processors.frame_colorizer.models import PREFERENCE
from facefusion.processors.frame_colorizer.networks import ColorizerNetwork, DDColor, DeOldify
from facefusion.processors.frame_colorizer.options import MODELS, SIZES, FrameColorizerOptions
from facefusion.processors.frame_colorizer.process import FrameColorizer, prepare
from facefusion.processors.frame_colorizer.registration import FRAME_COLORIZER
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
KINDS = {
    'ddcolor': DDColor,
    'ddcolor_artistic': DDColor,
    'deoldify': DeOldify,
    'deoldify_artistic': DeOldify,
    'deoldify_stable': DeOldify,
}
SIDE = 192
DDCOLOR = FrameColorizerOptions('ddcolor')
BT601 = ColorSpec('bt601', False, 6, 6)
BT709 = ColorSpec('bt709', False, 1, 1)
FULL = ColorSpec('bt709', True, 1, 1)
# Linear sRGB to XYZ with the white D65, as in OpenCV's documentation of Lab: the networks were trained with it.
TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = TO_XYZ.sum(axis=1)


def photo(width=SIDE, height=SIDE, seed=1) -> np.ndarray:
    """Return an image of smooth and of sharp colours, uint8 BGR."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    top = height // 4
    if top:
        pixels[:top] = cv2.resize(coarse, (width, top), interpolation=cv2.INTER_NEAREST)
    return pixels


def grey(width=SIDE, height=SIDE) -> np.ndarray:
    return np.dstack([photo(width, height)[..., 1]] * 3)


def plane_frame(pix_fmt='yuv420p', color=BT709, width=SIDE, height=SIDE, chroma: int | None = None) -> PlaneFrame:
    """Return a video frame of smooth planes; ``chroma`` is the 8-bit value of its chroma instead."""
    video = av.VideoFrame(width, height, pix_fmt)
    rng = np.random.default_rng(3)
    for index, plane in enumerate(plane_views(video)):
        codes = 1 if plane.dtype == np.uint8 else 1 << (video.format.components[0].bits - 8)
        coarse = rng.integers(40 * codes, 200 * codes, (5, 7)).astype(np.float32)
        plane[...] = cv2.resize(coarse, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
        if index and chroma is not None:
            plane[...] = chroma * codes
    return PlaneFrame(video, 0, 0, color)


def network(colours, kind=DDColor, side=SIDE, shape=(1, 3, 'height', 'width')):
    """Return a painter with a stand-in network, and its session."""
    session = ColorizerSession(colours, shape)
    return kind(ColorizerNetwork(session, (side, side), kind.channels)), session


def to_linear(bgr) -> np.ndarray:
    return np.where(bgr <= 0.04045, bgr / 12.92, ((bgr + 0.055) / 1.055) ** 2.4)


def to_lab(bgr: np.ndarray) -> np.ndarray:
    """Return L, a and b of float64 BGR in 0..1 (CIE 15)."""
    xyz = to_linear(bgr)[..., ::-1] @ TO_XYZ.T / WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """Return float64 BGR in 0..1, clipped, of L, a and b."""
    level, a, b = np.moveaxis(lab.astype(float), -1, 0)
    y = (level + 16) / 116
    root = np.stack([y + a / 500, y, y - b / 200], -1)
    xyz = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29)) * WHITE
    linear = np.clip(xyz @ np.linalg.inv(TO_XYZ).T, 0, 1)[..., ::-1]
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_ddcolor_sees_the_lightness_of_the_colours_as_grey():
    painter, session = network(np.zeros((2, SIDE, SIDE)))
    pixels = photo()
    painter.paint(PixelFrame(pixels), 1.0)
    (tensor,) = session.fed
    lab = to_lab(pixels / 255)
    lab[..., 1:] = 0
    assert tensor.dtype == np.float32 and tensor.shape == (1, 3, SIDE, SIDE)
    np.testing.assert_allclose(tensor[0].transpose(1, 2, 0), from_lab(lab), atol=1e-4)
    # The luma, which FaceFusion 3.8 takes, is another picture.
    assert np.abs(tensor[0, 0] - cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) / 255).max() > 0.05


def test_ddcolor_joins_its_two_channels_with_the_lightness_of_the_frame():
    a, b = np.random.default_rng(2).uniform(-40, 40, (2, SIDE, SIDE))
    pixels = photo()
    painted = network([a, b])[0].paint(PixelFrame(pixels), 1.0)
    lab = np.dstack([to_lab(pixels / 255)[..., 0], a, b])
    assert np.abs(painted.pixels - from_lab(lab) * 255).max() < 0.53
    floats = networks._with_lightness(pixels, np.dstack([a, b]).astype(np.float32)) / 255
    np.testing.assert_allclose(floats.clip(0, 1), from_lab(lab), atol=1e-4)
    swapped = np.dstack([to_lab(pixels / 255)[..., 0], b, a])
    assert np.abs(painted.pixels - from_lab(swapped) * 255).max() > 40


def test_ddcolor_keeps_the_lightness_of_colours_that_can_be_shown():
    painted = network(np.full((2, SIDE, SIDE), 8.0))[0].paint(PixelFrame(np.clip(photo(), 60, 200)), 1.0)
    before = to_lab(np.clip(photo(), 60, 200) / 255)[..., 0]
    assert np.abs(to_lab(painted.pixels / 255)[..., 0] - before).max() < 0.4


def test_deoldify_sees_the_luma_and_its_colours_keep_it():
    """The network returns RGB; the output has its chroma and the luma of the frame."""
    red, green, blue = 200.0, 90.0, 30.0
    painter, session = network(np.multiply.outer([red, green, blue], np.ones((SIDE, SIDE))), DeOldify)
    pixels = np.clip(photo(), 70, 150)
    painted = painter.paint(PixelFrame(pixels.copy()), 1.0).pixels.astype(float)
    weights = np.array([0.114, 0.587, 0.299])
    luma = pixels @ weights
    (tensor,) = session.fed
    assert tensor.shape == (1, 3, SIDE, SIDE) and np.abs(tensor[0] - luma).max() <= 0.51
    expected = luma[..., None] + np.array([blue, green, red]) - np.array([blue, green, red]) @ weights
    assert np.abs(painted - np.clip(expected, 0, 255)).max() <= 1
    is_shown = ((expected > 0) & (expected < 255)).all(axis=2)
    assert is_shown.mean() > 0.3 and np.abs(painted @ weights - luma)[is_shown].max() < 0.6


def test_colours_of_deoldify_beyond_the_range_are_clipped():
    inside = network(np.multiply.outer([255.0, 0.0, 0.0], np.ones((4, 4))), DeOldify)[0]
    beyond = network(np.multiply.outer([300.0, -40.0, -9.0], np.ones((4, 4))), DeOldify)[0]
    pixels = [each.paint(PixelFrame(grey()), 1.0).pixels for each in (inside, beyond)]
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize('color', [BT601, BT709, FULL])
@pytest.mark.parametrize('pix_fmt', ['yuv420p', 'yuv422p', 'yuv420p10le', 'yuv444p12le'])
def test_deoldify_changes_only_the_chroma_planes_of_a_clip(pix_fmt, color):
    frame = plane_frame(pix_fmt, color, 201, 121)
    luma, cb, cr = (plane.copy() for plane in frame.planes)
    colour = np.array([200.0, 90.0, 30.0])
    painter, _ = network(np.multiply.outer(colour, np.ones((SIDE, SIDE))), DeOldify)
    painted = painter.paint(frame, 0.75)
    np.testing.assert_array_equal(painted.planes[0], luma)
    red, blue = {'bt601': (0.299, 0.114), 'bt709': (0.2126, 0.0722)}[color.matrix]
    y = colour @ [red, 1 - red - blue, blue]
    span = ((1 << frame.format.bits) - 1) if color.full_range else 224 << (frame.format.bits - 8)
    for plane, before, value, weight in (
        (painted.planes[1], cb, colour[2], blue),
        (painted.planes[2], cr, colour[0], red),
    ):
        code = (value - y) / (2 - 2 * weight) / 255 * span + (128 << (frame.format.bits - 8))
        assert np.abs(plane - (0.25 * before + 0.75 * code)).max() <= 0.51


def test_the_decoders_own_planes_stay_unchanged():
    frame = plane_frame()
    own = [plane.copy() for plane in plane_views(frame.video)]
    video = frame.video
    network(np.zeros((3, 4, 4)), DeOldify)[0].paint(frame, 1.0)
    assert all(np.array_equal(*each) for each in zip(own, plane_views(video), strict=True))


def test_ddcolor_keeps_the_ten_bits_of_a_grey_clip():
    frame = plane_frame('yuv420p10le', chroma=128)
    luma = frame.planes[0].astype(int)
    painted = network(np.zeros((2, 8, 8)))[0].paint(frame, 1.0).to_planes('yuv420p10le', (SIDE, SIDE), BT709)
    assert len(np.unique(luma)) > 400
    assert np.abs(painted.planes[0].astype(int) - luma).max() <= 1
    assert all(np.abs(plane.astype(int) - 512).max() <= 1 for plane in painted.planes[1:])


@pytest.mark.parametrize('size', [(8, 8), (201, 121), (64, 65), (1000, 300), (1, 1)])
def test_colours_are_enlarged_linearly_without_seams_between_bands(size):
    colours = np.random.default_rng(4).uniform(-100, 100, (96, 96, 2)).astype(np.float32)
    width, height = size
    bands = list(enlarged_bands(colours, width, height))
    assert [band.start for band, _ in bands] == list(range(0, height, 64)) and bands[-1][0].stop == height
    whole = np.concatenate([part for _, part in bands])
    np.testing.assert_allclose(
        whole, cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR).reshape(whole.shape), atol=1e-3
    )


def test_a_map_of_colours_is_placed_where_the_network_painted_it():
    """The colours of four quarters arrive in the four quarters of the frame, for both kinds of frames."""
    quarters = np.array([[[220, 30], [30, 130]], [[30, 220], [30, 130]], [[30, 30], [220, 130]]], np.float32)
    colours = quarters.repeat(SIDE // 2, 1).repeat(SIDE // 2, 2)
    painter, _ = network(colours, DeOldify)
    shown = painter.paint(PixelFrame(np.full((240, 400, 3), 120, np.uint8)), 1.0).pixels
    frame = plane_frame('yuv444p', FULL, 400, 240, chroma=128)
    for pixels in (shown, painter.paint(frame, 1.0).read(frame.window)):
        top_left, top_right, bottom_left, bottom_right = (
            pixels[y, x].astype(int) for y in (20, 220) for x in (20, 380)
        )
        assert top_left[2] > top_left[:2].max() + 50
        assert top_right[1] > top_right[[0, 2]].max() + 50
        assert bottom_left[0] > bottom_left[1:].max() + 50
        assert np.ptp(bottom_right) <= 2


@pytest.mark.parametrize('kind', [DDColor, DeOldify])
def test_the_blend_mixes_the_coloured_frame_with_the_frame(kind):
    colours = np.random.default_rng(5).uniform(0, 60, (kind.channels, 16, 16))
    full, part = (network(colours, kind)[0].paint(PixelFrame(photo()), share).pixels for share in (1.0, 0.3))
    assert np.abs(part - (0.7 * photo() + 0.3 * full)).max() <= 0.8
    assert np.abs(full.astype(int) - photo()).max() > 20


@pytest.mark.parametrize('kind', [DDColor, DeOldify])
def test_sixteen_bit_pixels_get_the_colours_of_eight_bit_pixels(kind):
    colours = np.random.default_rng(6).uniform(0, 60, (kind.channels, 16, 16))
    painter, _ = network(colours, kind)
    eight = painter.paint(PixelFrame(photo()), 0.8).pixels
    deep = painter.paint(PixelFrame(photo().astype(np.uint16) * 257), 0.8).pixels
    assert deep.dtype == np.uint16 and np.abs(deep / 257 - eight).max() <= 0.51


@pytest.mark.parametrize('kind', [DDColor, DeOldify])
def test_alpha_number_time_and_the_input_pixels_stay(kind):
    alpha = np.arange(SIDE * SIDE, dtype=np.uint32).reshape(SIDE, SIDE).astype(np.uint8)
    pixels = photo()
    frame = PixelFrame(pixels, alpha, number=7)
    frame.pts = 99
    painted = network(np.full((kind.channels, 4, 4), 30.0), kind)[0].paint(frame, 1.0)
    assert (painted.number, painted.pts) == (7, 99)
    np.testing.assert_array_equal(painted.alpha, alpha)
    np.testing.assert_array_equal(pixels, photo())


def test_the_grain_of_a_large_frame_is_averaged_before_the_network_sees_it():
    """Sampling single pixels would let the colours flicker with the grain."""
    painter, session = network(np.zeros((2, 8, 8)))
    grain = np.random.default_rng(7).normal(128, 20, (4 * SIDE, 4 * SIDE, 1)).clip(0, 255).astype(np.uint8)
    painter.paint(PixelFrame(grain.repeat(3, axis=2)), 1.0)
    assert session.fed[0].std() * 255 < 6


# The processor


class Pool:
    def __init__(self, session):
        self._session = session
        self.asked = []

    def session(self, name):
        self.asked.append(name)
        return self._session

    def contract(self, name):
        return CATALOG.entry(name).contract


def prepared(options=DDCOLOR, session=None, messages=None):
    pool = Pool(session or ColorizerSession(np.full((2, 8, 8), 20.0)))
    emit = silent if messages is None else messages.append
    return prepare(ProcessorTools(Settings([options]), pool, FaceFinder(), None, emit)), pool


def test_the_options_are_those_of_facefusion_with_auto():
    assert set(MODELS) == {'auto', *KINDS} and SIZES == ('192x192', '256x256', '384x384', '512x512')
    options = FrameColorizerOptions()
    assert (options.frame_colorizer_size, options.frame_colorizer_blend) == ('256x256', 100)
    assert (*PREFERENCES['frame_colorizer'], NO_EMBEDDED) == PREFERENCE and set(PREFERENCE[:-1]) == set(KINDS)
    assert all(CATALOG.entry(name).licence.commercial for name in KINDS)


@pytest.mark.parametrize('name', KINDS)
def test_every_published_model_gets_its_own_kind(name):
    channels = KINDS[name].channels
    session = ColorizerSession(np.full((channels, 8, 8), 20.0))
    processor, pool = prepared(FrameColorizerOptions(name, '384x384', 100), session)
    task = FrameTask(PixelFrame(grey()))
    assert processor.process([task]) == [True] and pool.asked == [name]
    assert session.fed[0].shape == (1, 3, 384, 384)
    # Grey levels of DDColor have the range 0..1, those of DeOldify 0..255.
    assert 0.5 < session.fed[0].max() / (1 if channels == 2 else 255) <= 1


def test_frames_without_faces_are_coloured_and_no_face_is_needed():
    settings = Settings([FrameColorizerOptions('deoldify')])
    assert FRAME_COLORIZER.requirements(settings) == Requirements(faces=False, every_frame=True)
    assert FRAME_COLORIZER.models(settings) == ('deoldify',)
    assert FRAME_COLORIZER.changes(settings, []) and FRAME_COLORIZER.effect(settings) == 'enhancement'


def test_with_a_blend_of_0_nothing_changes():
    options = FrameColorizerOptions('ddcolor', frame_colorizer_blend=0)
    session = ColorizerSession(np.full((2, 8, 8), 20.0))
    frame = PixelFrame(photo())
    task = FrameTask(frame)
    assert prepared(options, session)[0].process([task]) == [False]
    assert task.frame is frame and not session.fed and not frame.is_touched
    assert not FRAME_COLORIZER.changes(Settings([options]), [])


def messages_of(pixels, seconds=0):
    messages = []
    processor, _ = prepared(messages=messages)
    processor.process([FrameTask(PixelFrame(pixels), seconds=Fraction(seconds))])
    return [message.text for message in messages]


def test_a_message_says_that_the_first_frame_is_already_in_colour():
    (text,) = messages_of(photo())
    assert 'already in colour' in text
    assert messages_of(photo(), seconds=1) == []
    assert messages_of(grey()) == []


def test_a_uniform_tint_or_noise_of_compression_is_not_called_colour():
    noise = np.random.default_rng(8).normal(0, 3, (*grey().shape[:2], 3))
    assert messages_of((grey() * np.array([0.94, 0.97, 1.0])).astype(np.uint8)) == []
    assert messages_of((grey() * 0.9 + 9 + noise).astype(np.uint8)) == []


def test_results_do_not_depend_on_the_other_frames_of_a_call():
    tasks = [FrameTask(PixelFrame(photo(seed=seed)), seconds=Fraction(1)) for seed in (1, 2)]
    assert prepared()[0].process(tasks) == [True, True]
    alone = FrameTask(PixelFrame(photo(seed=2)), seconds=Fraction(1))
    prepared()[0].process([alone])
    np.testing.assert_array_equal(tasks[1].frame.pixels, alone.frame.pixels)


def test_a_file_with_another_fixed_size_is_refused_before_the_run():
    session = ColorizerSession(np.zeros((2, 8, 8)), (1, 3, 512, 512))
    with pytest.raises(UsageError) as error:
        prepared(session=session)
    assert error.value.reference == 'colorizer-size' and '512x512' in error.value.cause
    prepared(FrameColorizerOptions('ddcolor', '512x512'), session)


@pytest.mark.parametrize('shape', [(3, 8, 8), (1, 8, 8)])
def test_an_output_with_other_channels_is_refused(shape):
    processor, _ = prepared(session=ColorizerSession(np.zeros(shape)))
    with pytest.raises(ModelError) as error:
        processor.process([FrameTask(PixelFrame(grey()))])
    assert error.value.reference == 'model-tensors' and str(shape[0]) in error.value.cause


@pytest.mark.parametrize('kind', [DDColor, DeOldify])
@pytest.mark.parametrize('size', [(1, 1), (8, 8), (2, 600), (33, 17)])
def test_tiny_and_odd_frames_keep_their_size(kind, size):
    width, height = size
    painter = FrameColorizer(network(np.full((kind.channels, 4, 4), 25.0), kind)[0], 1.0, silent)
    tasks = [FrameTask(PixelFrame(photo(*size)))]
    tasks += [FrameTask(plane_frame('yuv420p', width=width, height=height))] if min(size) > 1 else []
    painter.process(tasks)
    assert {(task.frame.width, task.frame.height) for task in tasks} == {size}
