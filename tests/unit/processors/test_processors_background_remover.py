"""Tests of the background remover with sessions that show how each channel, size and number reaches the network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from msgspec import structs

from facefusion.errors import ModelError
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import Contract, load_catalog
from facefusion.processors.background_remover import networks
from facefusion.processors.background_remover.colors import clean_edges
from facefusion.processors.background_remover.mattes import SteadyMattes
from facefusion.processors.background_remover.networks import (
    Matting,
    Modnet,
    Selfie,
    Separation,
    eight_bits,
    modnet_size,
    share_of_large,
)
from facefusion.processors.background_remover.options import MODELS, BackgroundRemoverOptions, Color, color_of
from facefusion.processors.background_remover.process import BackgroundRemover, prepare
from facefusion.processors.background_remover.registration import BACKGROUND_REMOVER
from facefusion.processors.processor import FrameTask
from facefusion.settings import Settings

CATALOG = load_catalog(Path(__file__).parents[3] / 'models' / 'catalog')
EMBEDDED = ('auto', 'selfie_segmentation')
PUBLISHED = [name for name in MODELS if name not in EMBEDDED]
SMALL = (40, 24)


class Session:
    """A session that records its input and returns what a function computes from it."""

    def __init__(self, answer, shape=('n', 3, 'height', 'width')):
        self.answer = answer
        self.shape = shape
        self.fed = []

    def get_inputs(self):
        return [SimpleNamespace(name='input', shape=list(self.shape))]

    def run(self, names, feeds):
        (tensor,) = feeds.values()
        self.fed.append(tensor)
        return self.answer(tensor)


class Numbered:
    """A network that returns a prepared matte by the number of a frame, and counts its calls."""

    has_colors = False
    has_fine_edges = False

    def __init__(self, *mattes):
        self.mattes = mattes
        self.calls = []

    def separate(self, frame):
        self.calls.append((frame.number, frame.is_touched))
        return Separation(self.mattes[frame.number])


def noise(width, height, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def first_channel(tensor):
    return [tensor[:, :1]]


def full(value, size=SMALL):
    return np.full(size[::-1], value, np.uint8)


def task_of(pixels, alpha=None, **facts):
    return FrameTask(PixelFrame(pixels.copy(), alpha), **facts)


def remover(matte, **options):
    return BackgroundRemover(Numbered(matte), BackgroundRemoverOptions(**options))


def small(name):
    """The contract of a model for a smaller input whose sides differ."""
    return structs.replace(CATALOG.entry(name).contract, size=SMALL)


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_published_network_gets_the_normalised_colours_of_its_contract(name):
    contract, pixels = small(name), noise(*SMALL)
    session = Session(lambda tensor: [tensor[:, :1], np.zeros((1, 3, *SMALL[::-1]), np.float32)])
    Matting(name, session, contract).separate(PixelFrame(pixels))
    (fed,) = session.fed
    assert fed.dtype == np.float32 and fed.shape == (1, 4 if name.startswith('corridor') else 3, 24, 40)
    for channel in range(3):
        expected = (pixels[..., 2 - channel] / 255 - contract.mean[channel]) / contract.std[channel]
        np.testing.assert_allclose(fed[0, channel], expected, atol=1e-5)


def test_the_contracts_in_the_catalogue_are_those_of_the_published_models():
    contracts = {name: CATALOG.entry(name).contract for name in PUBLISHED}
    assert len(contracts) == 15 and {each.kind for each in contracts.values()} >= {'ben', 'birefnet', 'modnet', 'rmbg'}
    sides = {name: contract.size[0] for name, contract in contracts.items()}
    assert (sides['silueta'], sides['u2net_cloth'], sides['modnet'], sides['ben_2']) == (320, 768, 512, 1024)
    assert contracts['isnet_general'].std == (1, 1, 1) and contracts['modnet'].std == (0.5, 0.5, 0.5)
    assert contracts['rmbg_2.0'].mean == (0.485, 0.456, 0.406) and contracts['rmbg_1.4'].mean == (0.5, 0.5, 0.5)


def test_a_frame_is_resized_to_the_network_and_the_matte_to_the_frame():
    pixels = np.zeros((50, 101, 3), np.uint8)
    pixels[:, 50:] = 255
    contract = Contract(kind='ben', size=SMALL, mean=(0, 0, 0), std=(1, 1, 1))
    task = task_of(pixels)
    BackgroundRemover(Matting('ben_2', Session(first_channel), contract), BackgroundRemoverOptions()).process([task])
    assert task.frame.alpha.shape == (50, 101) and task.frame.alpha.dtype == np.uint8
    assert task.frame.alpha[:, :46].max() == 0 and task.frame.alpha[:, 55:].min() == 255


def test_the_first_output_is_the_matte():
    session = Session(lambda tensor: [np.full((1, 1, 24, 40), 0.2), np.ones((1, 1, 24, 40))])
    matte = Matting('isnet_general', session, small('isnet_general')).separate(PixelFrame(noise(9, 9))).matte
    np.testing.assert_array_equal(matte, full(51))


def test_each_class_of_clothes_is_foreground():
    scores = np.zeros((1, 4, 24, 40), np.float32)
    scores[0, 0, :, :10] = scores[0, 1, :, 10:20] = scores[0, 2, :, 20:30] = scores[0, 3, :, 30:] = 5
    matting = Matting('u2net_cloth', Session(lambda tensor: [scores]), small('u2net_cloth'))
    matte = matting.separate(PixelFrame(noise(9, 9))).matte
    np.testing.assert_array_equal(matte[0], [0] * 10 + [255] * 30)


def test_corridor_key_gets_the_screen_and_returns_colours():
    pixels, colors = noise(*SMALL), np.random.default_rng(2).random((1, 3, 24, 40))
    session = Session(lambda tensor: [np.full((1, 1, 24, 40), 0.5), colors])
    network = Matting('corridor_key_1024', session, small('corridor_key_1024'))
    matte, foreground = network.separate(PixelFrame(pixels))
    blue, green, red = np.moveaxis(pixels / 255, 2, 0)
    expected = 1 - np.clip(2 * (green - np.maximum(red, blue)), 0, 1)
    np.testing.assert_allclose(session.fed[0][0, 3], expected, atol=1e-6)
    assert expected.min() < 0.1 < expected.mean() < 0.95 and matte[0, 0] == 128
    np.testing.assert_array_equal(foreground, np.round(colors[0].transpose(1, 2, 0)[..., ::-1] * 255))
    task = task_of(pixels)
    assert BackgroundRemover(network, BackgroundRemoverOptions()).process([task]) == [True]
    np.testing.assert_array_equal(task.frame.pixels, foreground)


@pytest.mark.parametrize('outputs', [[np.zeros((1, 3, 24, 40))], [np.zeros(5)], [np.zeros((1, 1, 24, 40))]])
def test_outputs_that_are_no_matte_are_an_error_that_names_the_model(outputs):
    name = 'corridor_key_1024' if outputs[0].shape == (1, 1, 24, 40) else 'ben_2'
    with pytest.raises(ModelError) as caught:
        Matting(name, Session(lambda tensor: outputs), small(name)).separate(PixelFrame(noise(9, 9)))
    assert caught.value.reference == 'model-output' and name in caught.value.message and caught.value.hint


def test_mattes_are_rounded_and_clipped():
    values = np.array([-0.5, 0, 0.498 / 255, 0.502 / 255, 0.9999, 1, 7], np.float32)
    assert eight_bits(values).tolist() == [0, 0, 0, 1, 255, 255, 255]


def test_the_selfie_network_gets_the_channels_last_from_0_to_1():
    pixels = noise(256, 256)
    session = Session(lambda tensor: [tensor[..., :1]], shape=('n', 256, 256, 3))
    matte = Selfie('selfie_segmentation', session).separate(PixelFrame(pixels)).matte
    np.testing.assert_allclose(session.fed[0][0], pixels[..., ::-1] / 255, atol=1e-6)
    np.testing.assert_array_equal(matte, pixels[..., 2])


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((512, 512), (512, 512)),
        ((8, 8), (512, 512)),
        ((1920, 1080), (896, 512)),
        ((1080, 1920), (512, 896)),
        ((1281, 887), (736, 512)),
        ((16000, 100), (1536, 512)),
        ((1, 4000), (512, 1536)),
    ],
)
def test_modnet_keeps_the_aspect_in_multiples_of_32(size, expected):
    assert modnet_size(*size, 512) == expected
    session = Session(lambda tensor: [np.ones((1, 1, *tensor.shape[2:]))])
    Modnet('modnet', session).separate(PixelFrame(noise(*size)))
    assert session.fed[0].shape == (1, 3, *expected[::-1]) and len(session.fed) == 1


def test_modnet_gets_colours_from_minus_1_to_1():
    pixels = noise(512, 512)
    session = Session(lambda tensor: [np.ones((1, 1, 512, 512))])
    Modnet('modnet', session).separate(PixelFrame(pixels))
    np.testing.assert_allclose(session.fed[0][0].transpose(1, 2, 0), pixels[..., ::-1] / 127.5 - 1, atol=1e-5)


def person(width):
    matte = np.zeros((512, 736), np.uint8)
    matte[:, 100 : 100 + width] = 255
    return matte


def test_small_persons_are_seen_at_the_large_side_and_the_share_changes_steadily():
    widths = (0, 40, 200, 220, 240, 260, 400)
    shares = [share_of_large(person(width)) for width in widths]
    assert shares[:3] == [1, 1, 1] and shares[5:] == [0, 0]
    assert 1 > shares[3] > shares[4] > 0

    def answer(tensor):
        value = 1.0 if tensor.shape[2] == networks.LARGE_SIDE else 0.0
        return [np.full((1, 1, *tensor.shape[2:]), value, np.float32)]

    session = Session(answer)
    matte = Modnet('modnet', session).separate(PixelFrame(noise(1280, 886))).matte
    assert [each.shape[2] for each in session.fed] == [512, 640] and matte.shape == (640, 928) and matte.min() == 255


def test_a_modnet_with_a_fixed_size_gets_squashed_frames_as_published():
    fixed = Session(lambda tensor: [np.ones((1, 1, 512, 512))], shape=(1, 3, 512, 512))

    class Pool:
        def session(self, name):
            return fixed

        def contract(self, name):
            return CATALOG.entry(name).contract

    settings = Settings([BackgroundRemoverOptions()])
    tools = SimpleNamespace(settings=settings, sessions=Pool(), emit=lambda event: None)
    task = task_of(noise(900, 100))
    prepare(tools).process([task])
    assert task.frame.alpha.min() == 255 and [each.shape for each in fixed.fed] == [(1, 3, 512, 512)]


def test_without_a_colour_the_matte_becomes_the_alpha_and_pixels_stay():
    pixels, matte = noise(*SMALL), noise(*SMALL, seed=2)[..., 0]
    task = task_of(pixels)
    assert remover(matte).process([task]) == [True]
    np.testing.assert_array_equal(task.frame.pixels, pixels)
    np.testing.assert_array_equal(task.frame.alpha, matte)
    assert remover(full(255)).process([task_of(pixels)]) == [False]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_the_own_alpha_of_an_image_stays_where_it_is_lower(dtype):
    own, matte = noise(*SMALL, seed=2)[..., 0], noise(*SMALL, seed=3)[..., 0]
    task = task_of(noise(*SMALL), own.astype(dtype) * (257 if dtype == np.uint16 else 1))
    remover(matte).process([task])
    np.testing.assert_array_equal(task.frame.alpha, np.minimum(own, matte))


@pytest.mark.parametrize('opacity', [255, 90])
def test_a_colour_fills_the_background_and_the_result_is_opaque(opacity):
    pixels, matte = noise(40, 600), noise(40, 600, seed=2)[..., 0]
    task = task_of(pixels)
    assert remover(matte, background_remover_fill_color=(10, 200, 90, opacity)).process([task]) == [True]
    weight = (1 - matte[..., None] / 255) * opacity / 255
    expected = pixels * (1 - weight) + np.array([90, 200, 10]) * weight
    assert np.abs(task.frame.pixels - expected).max() <= 0.501 and task.frame.alpha is None


def test_a_colour_also_fills_the_transparent_parts_of_the_target():
    pixels, own = noise(*SMALL), full(255)
    own[:, :20] = 0
    task = task_of(pixels, own)
    remover(full(255), background_remover_fill_color=(1, 2, 3, 255)).process([task])
    np.testing.assert_array_equal(task.frame.pixels[:, :20], np.broadcast_to([3, 2, 1], (24, 20, 3)))
    np.testing.assert_array_equal(task.frame.pixels[:, 20:], pixels[:, 20:])
    assert task.frame.alpha.min() == 255
    task = task_of(pixels, own)
    remover(full(255), background_remover_fill_color=(1, 2, 3, 100)).process([task])
    assert (task.frame.alpha[:, :20] == 100).all() and (task.frame.alpha[:, 20:] == 255).all()


@pytest.mark.parametrize('enlarged', [1, 3])
def test_half_transparent_edges_lose_the_color_of_the_old_background(enlarged):
    front, behind = np.array([30, 90, 200.0]), np.array([240, 230, 20.0])
    small = np.clip(np.linspace(-3000, 3255, 150), 0, 255).astype(np.uint8)[None].repeat(80, axis=0)
    matte = cv2.resize(small, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_LINEAR)
    share = matte[..., None] / 255
    mixed = np.round(share * front + (1 - share) * behind).astype(np.uint8)
    frame = PixelFrame(mixed.copy())
    assert clean_edges(frame, small, matte)
    found, is_soft = frame.pixels.astype(int), (matte > 0) & (matte < 255)
    edge = is_soft & (matte > 80)
    assert np.abs(found - front)[edge].mean() < 0.55 * np.abs(mixed - front)[edge].mean()
    np.testing.assert_array_equal(found[~is_soft], mixed[~is_soft])
    assert not clean_edges(PixelFrame(mixed.copy()), np.full_like(small, 255), np.full_like(matte, 255))


def test_the_bands_of_a_frame_leave_no_seam():
    small = np.full((200, 60), 128, np.uint8)
    matte = np.full((600, 180), 128, np.uint8)
    ramp = np.linspace(0, 255, 600)[:, None, None].repeat(180, axis=1).repeat(3, axis=2)
    frame = PixelFrame(ramp.astype(np.uint8))
    clean_edges(frame, small, matte)
    steps = np.diff(frame.pixels[3:-3, 90, 0].astype(int))
    assert steps.min() >= 0 and steps.max() <= 1


@pytest.mark.parametrize('level', [0, 255])
def test_a_pixel_without_foreground_or_background_nearby_keeps_its_color(level):
    pixels = np.full((24, 40, 3), (10, 120, 240), np.uint8)
    frame = PixelFrame(pixels.copy())
    assert not clean_edges(frame, full(level), full(100))
    np.testing.assert_array_equal(frame.pixels, pixels)


@pytest.mark.parametrize(('has_fine_edges', 'is_cleaned'), [(True, True), (False, False)])
def test_only_networks_with_fine_edges_change_the_colors_of_edges(has_fine_edges, is_cleaned):
    network = Numbered(np.linspace(0, 255, 960).astype(np.uint8).reshape(24, 40))
    network.has_fine_edges = has_fine_edges
    task, pixels = task_of(noise(*SMALL)), noise(*SMALL)
    BackgroundRemover(network, BackgroundRemoverOptions()).process([task])
    assert (task.frame.pixels != pixels).any() == is_cleaned
    assert Modnet.has_fine_edges and not Selfie.has_fine_edges


@pytest.mark.parametrize('color', [(0, 255, 0, 255), (0, 128, 64, 200), (0, 0, 0, 255)])
def test_the_light_of_a_screen_is_removed_from_its_channels(color):
    pixels = noise(40, 600)
    task = task_of(pixels)
    changed = remover(full(255, (40, 600)), background_remover_despill_color=color).process([task])
    expected = pixels.astype(np.float64)
    for channel, level in ((0, color[2]), (1, color[1]), (2, color[0])):
        value, others = pixels[..., channel].astype(np.float64), pixels.sum(axis=2) - pixels[..., channel].astype(int)
        limit = np.minimum(value, others / 2)
        expected[..., channel] += (limit - value) * color[3] / 255 * level / max(*color[:3], 1)
    assert np.abs(task.frame.pixels - expected).max() <= 0.501 and changed == [max(color[:3]) > 0]


def test_the_values_of_a_colour_may_be_left_out_as_in_facefusion():
    colors = [color_of(values) for values in ((), (7,), (7, 8), (7, 8, 9), (7, 8, 9, 3))]
    assert colors == [
        Color(0, 0, 0, 0),
        Color(7, 7, 7, 255),
        Color(7, 8, 7, 255),
        Color(7, 8, 9, 255),
        Color(7, 8, 9, 3),
    ]


def clip_task(number, count, touched=False):
    """The task of a frame of a clip with one neighbour on each side; the ends are repeated."""
    frames = [PixelFrame(np.zeros((24, 40, 3), np.uint8), number=k) for k in range(count)]
    around = tuple(frames[min(max(k, 0), count - 1)] for k in (number - 1, number, number + 1))
    frame = frames[number].untouched()
    if touched:
        frame.write(frame.window, np.ones((24, 40, 3), np.uint8))
    return FrameTask(frame, neighbours=around)


def test_a_matte_that_differs_from_both_neighbours_becomes_steady_and_each_is_computed_once():
    network = Numbered(full(200), full(10), full(210), full(205))
    steady = SteadyMattes(network)
    found = [int(steady.of(clip_task(number, 4)).matte[0, 0]) for number in range(4)]
    assert found == [200, 200, 205, 205]
    assert sorted(network.calls) == [(0, False), (1, False), (2, False), (3, False)]


def test_moving_edges_and_cuts_stay_in_place():
    moving = [full(0) for _ in range(5)]
    for number, matte in enumerate(moving):
        matte[:, : 5 * number] = 255
    steady = SteadyMattes(Numbered(*moving))
    for number in (1, 2, 3):
        np.testing.assert_array_equal(steady.of(clip_task(number, 5)).matte, moving[number])
    cut = SteadyMattes(Numbered(full(255), full(255), full(0), full(0)))
    assert [int(cut.of(clip_task(number, 4)).matte.max()) for number in range(4)] == [255, 255, 0, 0]


def test_a_frame_that_a_processor_changed_gets_a_matte_of_its_own_with_the_same_correction():
    class Changed(Numbered):
        def separate(self, frame):
            found = super().separate(frame).matte
            return Separation(found + np.uint8(30) if frame.is_touched else found)

    network = Changed(full(100), full(60), full(120))
    assert int(SteadyMattes(network).of(clip_task(1, 3, touched=True)).matte[0, 0]) == 60 + 30 + 40
    assert (1, True) in network.calls


def test_the_frames_of_an_image_are_separated_once_as_processed():
    frame = PixelFrame(noise(*SMALL))
    frame.write(frame.window, noise(*SMALL, seed=4))
    network = Numbered(full(9))
    copies = tuple(PixelFrame(noise(*SMALL)) for _ in range(3))
    assert SteadyMattes(network).of(FrameTask(frame, neighbours=copies)).matte[0, 0] == 9
    assert network.calls == [(0, True)]


def test_a_failed_network_fails_each_frame_that_needs_its_matte():
    class Failing(Numbered):
        def separate(self, frame):
            raise ModelError('model-output', 'failed')

    steady = SteadyMattes(Failing())
    for _ in range(2):
        with pytest.raises(ModelError):
            steady.of(clip_task(1, 3))


def test_an_image_without_foreground_is_reported():
    messages = []
    found = BackgroundRemover(Numbered(full(0)), BackgroundRemoverOptions(), messages.append)
    assert found.process([task_of(noise(*SMALL))]) == [True]
    assert [message.level for message in messages] == ['warn'] and 'no foreground' in messages[0].text
    found.process([replace(clip_task(0, 1), neighbours=())])
    remover(full(255)).process([task_of(noise(*SMALL))])
    assert len(messages) == 2


def test_the_registration_needs_no_faces_and_names_its_model():
    def settings(**options):
        return Settings([BackgroundRemoverOptions(**options)])

    needed = BACKGROUND_REMOVER.requirements(settings())
    assert (needed.faces, needed.every_frame, needed.neighbours) == (False, True, 1)
    assert BACKGROUND_REMOVER.models(settings()) == ('modnet',)
    assert BACKGROUND_REMOVER.models(settings(background_remover_model='ben_2')) == ('ben_2',)
    assert BACKGROUND_REMOVER.writes_alpha(settings())
    assert not BACKGROUND_REMOVER.writes_alpha(settings(background_remover_fill_color=(0, 0, 0)))
    assert BACKGROUND_REMOVER.effect(settings()) == 'enhancement' and BACKGROUND_REMOVER.changes(settings(), [])
    large, usual = (settings(background_remover_model=f'corridor_key_{side}') for side in (2048, 1024))
    needed = [BACKGROUND_REMOVER.working_bytes(each, (640, 480)) for each in (large, usual)]
    assert needed[0] == 4 * needed[1] > 10**10
