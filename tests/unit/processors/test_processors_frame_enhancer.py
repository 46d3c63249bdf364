"""Tests of the contracts of the frame enhancers, with stand-in networks and an independent implementation of tiles."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from msgspec import structs

from facefusion.errors import Interrupted, ModelError
from facefusion.events import silent
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.processors.frame_enhancer import models, tiles
from facefusion.processors.frame_enhancer.network import Upscaler
from facefusion.processors.frame_enhancer.options import MODELS, FrameEnhancerOptions
from facefusion.processors.frame_enhancer.process import FrameEnhancer, prepare
from facefusion.processors.frame_enhancer.registration import FRAME_ENHANCER, REACH
from facefusion.processors.frame_enhancer.tiles import TileRule, enlarged_bands, reflected_window
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings
from facefusion.stopping import StopFlag

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
# Tile, padding, overlap and scale of the published models.
USUAL = (128, 8, 4, 4)
EXPECTED = dict.fromkeys(
    [
        'clear_reality_x4',
        'face_dat_x4',
        'nomos8k_sc_x4',
        'realistic_rescaler_x4',
        'remacri_x4',
        'siax_x4',
        'span_kendata_x4',
        'swin2_sr_x4',
        'ultra_sharp_x4',
    ],
    USUAL,
) | {
    'real_esrgan_x2': (256, 16, 8, 2),
    'real_esrgan_x2_fp16': (256, 16, 8, 2),
    'real_esrgan_x4': (256, 16, 8, 4),
    'real_esrgan_x4_fp16': (256, 16, 8, 4),
    'real_esrgan_x8': (256, 16, 8, 8),
    'real_esrgan_x8_fp16': (256, 16, 8, 8),
    'real_hatgan_x4': (256, 16, 8, 4),
    'real_web_photo_x4': (64, 4, 2, 4),
    'tghq_face_x8': (128, 8, 4, 8),
    'ultra_sharp_2_x4': (1024, 64, 32, 4),
}
MIX = np.array([[0.7, 0.2, 0.05], [0.1, 0.6, 0.1], [0.0, 0.1, 0.5]])


def contract_of(name):
    return CATALOG.entry(name).contract


class UpscalerSession:
    """A network that mixes the colours, blurs over 3 pixels and adds a pattern that depends on the place in the tile.

    ``side``: the fixed side of its tiles, or None for any side. ``fed`` has the shapes of the inputs.
    """

    def __init__(self, scale, side=None, pattern=0.1):
        self._scale, self._side, self._pattern = scale, side, pattern
        self.fed = []

    def get_inputs(self):
        shape = ['n', 3, 'height', 'width'] if self._side is None else [1, 3, self._side, self._side]
        return [SimpleNamespace(name='input', shape=shape)]

    def run(self, names, feeds):
        (tensor,) = feeds.values()
        assert tensor.dtype == np.float32 and tensor.min() >= 0 and tensor.max() <= 1
        self.fed.append(tensor.shape)
        return [np.stack([answer(tile, self._scale, self._pattern) for tile in tensor]).astype(np.float32)]


def answer(tile, scale, pattern=0.1):
    """Return the output [3,s*h,s*w] of the stand-in for a tile [3,h,w], RGB 0..1."""
    tile = tile.astype(np.float64)
    around = np.pad(tile, ((0, 0), (1, 1), (1, 1)), 'edge')
    blurred = (around[:, :-2, 1:-1] + around[:, 1:-1, :-2] + 2 * tile) / 4
    mixed = np.einsum('oc,chw->ohw', MIX, blurred).repeat(scale, 1).repeat(scale, 2)
    rows, columns = np.indices(mixed.shape[1:])
    return mixed + pattern * np.sin(0.05 * rows + 0.03 * columns)


def reference(frame, rule, scale, pattern=0.1):
    """Return the enlarged frame [s*h,s*w,3] RGB 0..1, written without the code under test: all tiles at once."""
    side, padding, overlap = rule[:3]
    inner, margin = side - 2 * overlap, padding + overlap
    high, wide = frame.shape[:2]
    rows, columns = -(-(high + padding) // inner), -(-(wide + padding) // inner)
    rgb = frame[..., ::-1] / np.iinfo(frame.dtype).max
    extra = [(margin, count * inner - size + overlap) for count, size in ((rows, high), (columns, wide))]
    canvas = np.pad(rgb, (*[(a, max(b, 0)) for a, b in extra], (0, 0)), 'reflect')
    total = np.zeros((scale * canvas.shape[0], scale * canvas.shape[1], 3))
    weight = np.zeros((*total.shape[:2], 1))
    fade = overlap // 2
    # A ramp from 0 to 1 across the seam, centred between two tiles.
    ramp = np.clip(((np.arange(scale * side) + 0.5) / scale - overlap + fade) / (2 * fade), 0, 1)
    for row in range(rows):
        for column in range(columns):
            y, x = row * inner, column * inner
            tile = canvas[y : y + side, x : x + side].transpose(2, 0, 1)
            ramps = []
            for number, count in ((row, rows), (column, columns)):
                line = np.ones(scale * side)
                line *= ramp if number else 1
                line *= ramp[::-1] if number < count - 1 else 1
                ramps.append(line)
            share = np.outer(*ramps)[:, :, None]
            place = slice(scale * y, scale * (y + side)), slice(scale * x, scale * (x + side))
            total[place] += share * np.clip(answer(tile, scale, pattern), 0, 1).transpose(1, 2, 0)
            weight[place] += share
    shown = slice(scale * margin, scale * (margin + high)), slice(scale * margin, scale * (margin + wide))
    return total[shown] / weight[shown]


def picture(wide, high, dtype=np.uint8, seed=0):
    most = np.iinfo(dtype).max
    small = np.random.default_rng([wide, high, seed]).integers(0, most, (high // 9 + 2, wide // 9 + 2, 3), dtype=dtype)
    return cv2.resize(small, (wide, high), interpolation=cv2.INTER_LINEAR)


def upscaler(name, batch=1, pattern=0.1):
    contract = contract_of(name)
    is_free = isinstance(CATALOG.entry(name).inputs[0].shape[2], str)
    session = UpscalerSession(contract.scale, None if is_free else contract.tile[0], pattern)
    return Upscaler(name, session, contract, batch), session


def enhancer(network, share=1.0, stability=0.0):
    return FrameEnhancer(network, share, stability, StopFlag())


def expected_frame(frame, rule, scale, share):
    most = np.iinfo(frame.dtype).max
    size = (scale * frame.shape[1], scale * frame.shape[0])
    linear = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    return share * most * reference(frame, rule, scale)[..., ::-1] + (1 - share) * linear


def settings_of(**options):
    return Settings([FrameEnhancerOptions(**options)])


def test_the_tables_agree_with_the_catalogue():
    entries = [entry for entry in CATALOG if entry.task == 'frame_enhancer']
    assert {entry.id for entry in entries} == {*EXPECTED, *models.EMBEDDED} == {*MODELS} - {'auto'}
    for entry in entries:
        contract = entry.contract
        assert (contract.scale, contract.tile[0]) == (models.scale_of(entry.id), models.tile_side(entry.id))
        assert entry.inputs[0].shape in ((1, 3, contract.tile[0], contract.tile[0]), ('n', 3, 'height', 'width'))
        assert EXPECTED.get(entry.id, (*contract.tile, contract.scale)) == (*contract.tile, contract.scale)


# Tiles


@pytest.mark.parametrize('name', EXPECTED)
def test_every_published_model_gets_tiles_as_its_contract_says(name):
    side, padding, overlap, scale = EXPECTED[name]
    network, session = upscaler(name)
    wide, high = (300, 170) if side < 256 else (150, 130) if side > 256 or scale == 8 else (310, 270)
    frame = picture(wide, high)
    (after,) = [enhancer(network, 0.8).enlarged(frame)]
    inner = side - 2 * overlap
    tiles = -(-(wide + padding) // inner) * -(-(high + padding) // inner)
    assert session.fed == [(1, 3, side, side)] * tiles
    assert np.abs(after - expected_frame(frame, (side, padding, overlap), scale, 0.8)).max() < 0.51


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (8, 8), (47, 48), (48, 47), (49, 160), (333, 5), (97, 201)])
@pytest.mark.parametrize('scale', [2, 4])
def test_tiles_equal_an_independent_implementation(size, scale):
    rule = TileRule(64, 8, 8)
    frame = picture(*size)
    network = Upscaler('x', UpscalerSession(scale, 64), contract(scale, rule), 1)
    bands = list(enlarged_bands(frame, network.enlarge, rule, scale, 1))
    assert [band.start for band in bands] == [0, *(band.stop for band in bands[:-1])]
    joined = np.concatenate([band.values for band in bands])
    assert joined.shape == (scale * size[1], scale * size[0], 3)
    assert np.abs(joined[..., ::-1] - reference(frame, rule, scale)).max() < 1e-4


def contract(scale, rule):
    return structs.replace(contract_of('span_x4'), scale=scale, tile=tuple(rule[:3]))


def test_tiles_of_any_size_are_as_small_as_the_frame_allows_and_the_result_is_the_same():
    network, session = upscaler('span_x4', pattern=0)
    small, wide = picture(8, 8), picture(700, 60)
    after = enhancer(network).enlarged(small)
    assert session.fed == [(1, 3, 56, 56)]
    whole = answer(np.pad(small[..., ::-1] / 255, ((9, 9), (9, 9), (0, 0)), 'reflect').transpose(2, 0, 1), 4, 0)
    whole = whole.transpose(1, 2, 0)[36:-36, 36:-36, ::-1] * 255
    assert np.abs(after - whole).max() < 0.51
    session.fed.clear()
    enhancer(network).enlarged(wide)
    assert len(session.fed) == 4 and len(set(session.fed)) == 1 and session.fed[0][3] < 256


def test_a_network_without_a_seam_leaves_none():
    network, _ = upscaler('span_x4', pattern=0)
    frame = picture(500, 300)
    inside = answer(frame[..., ::-1].transpose(2, 0, 1) / 255, 4, 0).transpose(1, 2, 0)[..., ::-1] * 255
    assert np.abs(enhancer(network).enlarged(frame) - inside)[4:, 4:].max() < 0.51


def test_a_step_between_tiles_becomes_a_slope():
    frame = np.full((60, 600, 3), 128, np.uint8)
    answers = iter([0.2, 0.8, 0.2, 0.8])

    def enlarge(tiles):
        return np.full((1, 4 * tiles[0].shape[0], 4 * tiles[0].shape[1], 3), next(answers), np.float32)

    (band,) = enlarged_bands(frame, enlarge, TileRule(256, 16, 16), 4, 1)
    # The fade covers 16 pixels, which are 64 enlarged ones.
    steps = np.abs(np.diff(band.values[0, :, 0]))
    assert band.values.min() == pytest.approx(0.2) and band.values.max() == pytest.approx(0.8)
    assert steps.max() == pytest.approx(0.6 / 64, rel=0.01)


def test_windows_are_reflected_without_repeating_the_border():
    frame = np.arange(5, dtype=np.uint8)[None, :, None].repeat(3, 0).repeat(3, 2)
    assert reflected_window(frame, 0, -6, 1, 16)[0, :, 0].tolist() == [2, 3, 4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0, 1]


def test_the_grouping_of_tiles_does_not_change_the_result():
    frame = picture(500, 300)
    one, eight = (enhancer(upscaler('span_x4', batch)[0]).enlarged(frame) for batch in (1, 8))
    np.testing.assert_array_equal(one, eight)


@pytest.mark.parametrize('change', ['colours', 'range', 'overlap', 'padding', 'blend', 'border', 'fade'])
def test_a_mistake_in_the_contract_shows(change, monkeypatch):
    frame = np.random.default_rng(1).integers(0, 256, (170, 300, 3), np.uint8)
    network, _ = upscaler('span_kendata_x4')
    given, share, rule = frame, 0.8, network.rule
    if change == 'colours':
        given = frame[..., ::-1].copy()
    elif change == 'range':
        given = frame // 2
    elif change == 'blend':
        share = 0.7
    elif change == 'border':
        monkeypatch.setattr(tiles, '_reflected', lambda positions, length: np.clip(positions, 0, length - 1))
    elif change == 'fade':
        made = tiles.axis_of
        monkeypatch.setattr(tiles, 'axis_of', lambda length, rule: made(length, rule)._replace(fade=0))
    else:
        network.rule = rule._replace(**{change: getattr(rule, change) * 2})
    after = enhancer(network, share).enlarged(given)
    assert np.abs(after - expected_frame(frame, rule, 4, 0.8)).max() > 1


# The frame


def test_a_deep_frame_keeps_its_depth():
    network, _ = upscaler('span_kendata_x4')
    frame = picture(140, 130, np.uint16)
    after = enhancer(network, 0.8).enlarged(frame)
    assert after.dtype == np.uint16
    assert np.abs(after - expected_frame(frame, network.rule, 4, 0.8)).max() < 2
    assert len(np.unique(after)) > 5000


def test_without_a_blend_the_frame_is_enlarged_linearly_and_no_network_runs():
    network, session = upscaler('span_x2')
    task = FrameTask(PixelFrame(picture(31, 17)))
    before = task.frame.whole()
    assert enhancer(network, 0.0).process([task]) == [False] and not session.fed
    np.testing.assert_array_equal(task.frame.whole(), cv2.resize(before, (62, 34), interpolation=cv2.INTER_LINEAR))


def test_alpha_is_enlarged_with_the_frame():
    alpha = np.zeros((20, 30), np.uint8)
    alpha[:, 15:] = 255
    task = FrameTask(PixelFrame(picture(30, 20), alpha))
    assert enhancer(upscaler('span_x4')[0]).process([task]) == [True]
    assert task.frame.alpha.shape == (80, 120) and task.frame.target_size == (30, 20)
    assert (task.frame.alpha[:, :56] == 0).all() and (task.frame.alpha[:, 64:] == 255).all()


@pytest.mark.parametrize('output', [np.zeros((1, 3, 20, 20)), np.full((1, 3, 160, 160), np.nan), np.zeros((1, 12))])
def test_a_network_with_another_output_is_refused(output):
    session = UpscalerSession(4)
    session.run = lambda names, feeds: [output.astype(np.float32)]
    network = Upscaler('span_x4', session, contract_of('span_x4'), 1)
    with pytest.raises(ModelError) as caught:
        network.enlarge([picture(40, 40)])
    assert caught.value.reference == 'model-output' and 'span_x4' in caught.value.message and caught.value.hint


def test_a_frame_is_stopped_between_two_calls_of_the_network():
    network, session = upscaler('span_x4')
    flag = StopFlag()
    run = session.run
    session.run = lambda names, feeds: (flag.set('test'), run(names, feeds))[1]
    with pytest.raises(Interrupted):
        FrameEnhancer(network, 1.0, 0.0, flag).process([FrameTask(PixelFrame(picture(900, 20)))])
    assert len(session.fed) == 1


# Noise


def clip_of(*frames):
    """Return the task of the middle frame."""
    made = [PixelFrame(frame) for frame in frames]
    middle = made[len(made) // 2]
    return FrameTask(middle.untouched(), neighbours=tuple(made))


def noisy(count=2 * REACH + 1, deviation=3):
    still = picture(90, 70).astype(float) * 0.6 + 40
    noise = np.random.default_rng(3).normal(0, deviation, (count, *still.shape))
    return [np.clip(np.rint(still + each), 0, 255).astype(np.uint8) for each in noise], still


def steady(task, stability):
    class Same:
        scale, batch, rule = 1, 1, TileRule(256, 16, 16, is_fixed=False)

        def enlarge(self, tiles):
            return np.stack(tiles).astype(np.float32) / np.iinfo(tiles[0].dtype).max

    FrameEnhancer(Same(), 1.0, stability, StopFlag()).process([task])
    return task.frame.whole().astype(float)


def test_stability_removes_noise_from_still_parts():
    frames, still = noisy()
    left = {each: (steady(clip_of(*frames), each) - still).std() for each in (0.0, 0.5, 1.0)}
    assert left[0.0] == pytest.approx(3, rel=0.05) and left[1.0] < 0.6 * left[0.0] and left[1.0] < left[0.5] < left[0.0]


def test_stability_counts_each_frame_once_by_its_difference():
    frames = [np.full((20, 20, 3), value, np.uint8) for value in (102, 102, 104, 102, 102)]
    weight = np.exp(-((2 / 6) ** 2))
    assert (steady(clip_of(*frames), 1.0) == np.rint(104 - 2 * 4 * weight / (1 + 4 * weight))).all()


def test_stability_keeps_moving_parts():
    frames = [np.full((60, 60, 3), 60, np.uint8) for _ in range(5)]
    for number, frame in enumerate(frames):
        frame[20:40, 8 * number + 6 : 8 * number + 14] = 200
    assert np.abs(steady(clip_of(*frames), 1.0) - frames[2]).max() <= 1


def test_stability_keeps_parts_that_an_earlier_processor_changed():
    frames, _ = noisy()
    task = clip_of(*frames)
    changed = frames[2].copy()
    changed[20:50, 30:60] += 2
    task.frame = task.frame.replaced(changed)
    after = steady(task, 1.0)
    np.testing.assert_array_equal(after[24:46, 34:56], changed[24:46, 34:56])
    assert np.abs(after[:15] - changed[:15]).mean() > 0.5


def test_stability_works_on_deep_frames():
    frames, still = noisy()
    deep = [frame.astype(np.uint16) * 257 for frame in frames]
    assert (steady(clip_of(*deep), 1.0) / 257 - still).std() < 0.6 * 3


def test_a_frame_that_has_another_size_than_its_neighbours_is_not_averaged():
    frames, _ = noisy()
    task = clip_of(*frames)
    larger = cv2.resize(frames[2], (180, 140))
    task.frame = task.frame.replaced(larger)
    np.testing.assert_array_equal(steady(task, 1.0), larger)


# The registration


def test_the_named_model_is_prepared_with_the_threads_of_the_run():
    session, asked = UpscalerSession(2), []

    class Sessions:
        def at(self, threads):
            asked.append(threads)
            return self

        def batched(self, name):
            asked.append(name)
            return session

        def contract(self, name):
            return contract_of(name)

    settings = settings_of(frame_enhancer_model='span_x2', frame_enhancer_blend=50)
    processor = prepare(ProcessorTools(settings, Sessions(), None, None, silent, threads=6))
    assert asked == [6, 'span_x2']
    frame = picture(40, 30)
    assert np.abs(processor.enlarged(frame) - half_blended(frame)).max() < 0.51


def half_blended(frame):
    """Return a frame of one tile, enlarged by the stand-in of scale 2 and mixed in equal parts."""
    window = np.pad(frame, ((32, 16), (32, 16), (0, 0)), 'reflect')
    inside = answer(window[..., ::-1].transpose(2, 0, 1) / 255, 2).transpose(1, 2, 0)[64:-32, 64:-32, ::-1]
    linear = cv2.resize(frame, (80, 60), interpolation=cv2.INTER_LINEAR)
    return 0.5 * 255 * np.clip(inside, 0, 1) + 0.5 * linear


def test_the_registration_needs_no_faces_and_neighbours_only_for_stability():
    assert FRAME_ENHANCER.requirements(settings_of()) == Requirements(faces=False, every_frame=True)
    steady = FRAME_ENHANCER.requirements(settings_of(frame_enhancer_stability=1))
    assert steady == Requirements(faces=False, every_frame=True, neighbours=REACH)
    assert FRAME_ENHANCER.effect(settings_of()) == 'enhancement'
    assert FRAME_ENHANCER.changes(settings_of(), ())
    assert not FRAME_ENHANCER.changes(settings_of(frame_enhancer_blend=0), ())


@pytest.mark.parametrize(('model', 'scale'), [('auto', 4), ('span_x2', 2), ('real_esrgan_x8_fp16', 8), ('siax_x4', 4)])
def test_the_registration_states_size_and_memory(model, scale):
    settings = settings_of(frame_enhancer_model=model)
    assert FRAME_ENHANCER.output_size(settings, (101, 7)) == (101 * scale, 7 * scale)
    narrow, wide = (FRAME_ENHANCER.working_bytes(settings, (width, 100)) for width in (1000, 2000))
    assert 0 < narrow < wide
    steady = settings_of(frame_enhancer_model=model, frame_enhancer_stability=10)
    assert FRAME_ENHANCER.working_bytes(steady, (1000, 100)) > narrow + 10**6
    assert FRAME_ENHANCER.models(settings) == ('span_x4' if model == 'auto' else model,)
