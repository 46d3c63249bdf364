"""Tests of the contracts of the face enhancers, with stand-in networks and independent formulas."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import onnxruntime
import pytest
from fakes.face_chunks import face_at
from fakes.stand_ins import WEIGHT_GAIN, EnhancerSession, enhanced, enhancer
from msgspec import structs
from onnx import TensorProto

from facefusion.events import silent
from facefusion.faces.analyser import FaceFinder
from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.templates import TEMPLATES, template_matrix
from facefusion.media.color import ColorSpec
from facefusion.media.frame import PixelFrame, PlaneFrame
from facefusion.media.planes import plane_views
from facefusion.models.catalog import load_catalog
from facefusion.models.preferences import PREFERENCES
from facefusion.processors.face_crops import face_crops
from facefusion.processors.face_enhancer.models import EMBEDDED, PREFERENCE, UpscalerLimits
from facefusion.processors.face_enhancer.options import MODELS, FaceEnhancerOptions
from facefusion.processors.face_enhancer.process import FaceEnhancer, prepare
from facefusion.processors.face_enhancer.registration import FACE_ENHANCER
from facefusion.processors.face_enhancer.restorer import Restorer
from facefusion.processors.face_enhancer.upscaler import Upscaler, fine_change
from facefusion.processors.face_masker import FaceMasker
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
LIMITS = UpscalerLimits(256, 6.0)
# The template and the side of each published model; all of them take (x - 0.5) / 0.5.
EXPECTED = {
    'codeformer': ('ffhq_512', 512),
    'gfpgan_1.2': ('ffhq_512', 512),
    'gfpgan_1.3': ('ffhq_512', 512),
    'gfpgan_1.4': ('ffhq_512', 512),
    'gpen_bfr_256': ('arcface_128', 256),
    'gpen_bfr_512': ('ffhq_512', 512),
    'gpen_bfr_1024': ('ffhq_512', 1024),
    'gpen_bfr_2048': ('ffhq_512', 2048),
    'restoreformer_plus_plus': ('ffhq_512', 512),
}


def contract_of(name):
    return CATALOG.entry(name).contract


def random_crop(size: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng([size, seed]).integers(0, 256, (9, 9, 3), np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def open_stand_in(side: int, weight: int | None = None, batch: int | str = 'n'):
    return onnxruntime.InferenceSession(enhancer(side, weight, batch), providers=['CPUExecutionProvider'])


def expected_crop(crop: np.ndarray, weight: float = 0.0) -> np.ndarray:
    output = enhanced((crop[:, :, ::-1].transpose(2, 0, 1) / 255 - 0.5) / 0.5, weight)
    return np.round((np.clip(output, -1, 1) + 1) / 2 * 255).transpose(1, 2, 0)[:, :, ::-1]


def assert_same_crop(found: np.ndarray, wanted: np.ndarray) -> None:
    """Values close to a half may be rounded differently; truncation would change half of all values."""
    difference = np.abs(found.astype(int) - wanted)
    assert found.dtype == np.uint8 and difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_the_tables_agree():
    published = [entry.id for entry in CATALOG if entry.task == 'face_enhancer' and entry.id not in EMBEDDED]
    assert set(published) == set(EXPECTED) and {'auto', *EMBEDDED, *EXPECTED} == set(MODELS)
    assert (*PREFERENCES['face_enhancer'], 'realesr_animevideov3') == PREFERENCE
    for name, (template, side) in EXPECTED.items():
        contract = contract_of(name)
        assert (contract.template, contract.size) == (template, (side, side))
        assert (contract.mean, contract.std) == ((0.5,) * 3, (0.5,) * 3)


# Published models


@pytest.mark.parametrize('name', EXPECTED)
def test_a_crop_goes_through_the_network_as_its_contract_says(name):
    side = EXPECTED[name][1]
    kind = TensorProto.DOUBLE if name == 'codeformer' else None
    crop, weight = random_crop(side), 0.7
    (found,) = Restorer(open_stand_in(side, kind), contract_of(name), 1, weight).restore([crop])
    assert_same_crop(found, expected_crop(crop, weight if kind else 0))
    # Both ends of the output are cut off, and so is nothing else.
    assert {0, 255} <= set(np.unique(found)) and len(np.unique(found)) > 200


@pytest.mark.parametrize('change', ['mean', 'std', 'colours', 'weight'])
def test_a_wrong_contract_shows(change):
    crop, contract = random_crop(512), contract_of('codeformer')
    if change in ('mean', 'std'):
        contract = structs.replace(contract, **{change: (0.45, 0.4, 0.55)})
    network = Restorer(open_stand_in(512, TensorProto.DOUBLE), contract, 1, 0.6 if change == 'weight' else 0.5)
    (found,) = network.restore([crop[:, :, ::-1].copy() if change == 'colours' else crop])
    assert np.abs(found - expected_crop(crop, 0.5)).mean() > 1


@pytest.mark.parametrize('kind', [TensorProto.DOUBLE, TensorProto.FLOAT, TensorProto.FLOAT16])
def test_the_weight_has_the_type_of_the_file(kind):
    crop = random_crop(512)
    (found,) = Restorer(open_stand_in(512, kind), contract_of('codeformer'), 1, 0.25).restore([crop])
    assert_same_crop(found, expected_crop(crop, 0.25))


def test_a_network_without_a_weight_gets_none():
    session = EnhancerSession(512)
    Restorer(session, contract_of('gfpgan_1.4'), 1, 1.0).restore([random_crop(512)])
    assert [set(feeds) for feeds in session.fed] == [{'input'}]


@pytest.mark.parametrize('batch', [1, 2, 8])
def test_crops_of_a_call_do_not_change_each_other(batch):
    crops = [random_crop(512, seed) for seed in range(3)]
    network = Restorer(open_stand_in(512, TensorProto.DOUBLE), contract_of('codeformer'), batch, 0.5)
    for crop, found in zip(crops, network.restore(crops), strict=True):
        np.testing.assert_array_equal(found, network.restore([crop])[0])
        assert_same_crop(found, expected_crop(crop, 0.5))


def test_a_file_for_one_crop_gets_one_crop_per_call_on_an_accelerator():
    crops = [random_crop(512, seed) for seed in range(3)]
    network = Restorer(open_stand_in(512, TensorProto.DOUBLE, batch=1), contract_of('codeformer'), 8, 0.5)
    for crop, found in zip(crops, network.restore(crops), strict=True):
        assert_same_crop(found, expected_crop(crop, 0.5))


@pytest.mark.parametrize(('name', 'most'), [('gpen_bfr_256', 8), ('gpen_bfr_1024', 2), ('gpen_bfr_2048', 1)])
def test_a_larger_network_gets_fewer_crops_per_call(name, most):
    session = EnhancerSession(EXPECTED[name][1])
    Restorer(session, contract_of(name), 8, 0.5).restore([random_crop(EXPECTED[name][1])] * 3)
    assert {len(feeds['input']) for feeds in session.fed} == {most}


# Embedded models


def test_an_upscaler_gets_rgb_from_0_to_1_and_its_output_is_cut_to_that_range():
    session = EnhancerSession('h', 4)
    crop = random_crop(128)
    enlarged = Upscaler(session, LIMITS).enlarge(crop)
    np.testing.assert_allclose(session.fed[0]['input'][0].transpose(1, 2, 0), crop[..., ::-1] / 255, atol=1e-6)
    np.testing.assert_allclose(enlarged, crop.repeat(4, 0).repeat(4, 1), atol=0.01)
    extreme = Upscaler(EnhancerSession('h', 4, (1.5, 0.5, -0.5)), LIMITS).enlarge(crop)
    np.testing.assert_allclose(extreme[0, 0], (0, 127.5, 255))


@pytest.mark.parametrize(
    ('shown', 'side'), [(1, 128), (40, 128), (127, 128), (129, 192), (193, 256), (257, 256), (700, 256), (9e6, 256)]
)
def test_a_crop_has_the_pixels_of_the_face_within_limits(shown, side):
    five = np.array(TEMPLATES['ffhq_512'], np.float32) * shown + 50
    assert Upscaler(EnhancerSession('h', 4), LIMITS).crop_side(five) == side
    assert Upscaler(EnhancerSession('h', 4), UpscalerLimits(128, 2.0)).crop_side(five) == 128


@pytest.mark.parametrize(('size', 'grid'), [(20, 128), (45, 192), (60, 256), (120, 512), (200, 1024), (700, 1024)])
def test_the_detail_has_the_pixels_of_the_frame_within_limits(size, grid):
    session = EnhancerSession('h', 4)
    (crop,), network = crops_of(PixelFrame(np.zeros((1000, 1000, 3), np.uint8)), face_at(500, 500, size), session)
    (detail,) = network.enhance([crop])
    assert detail.shape == (grid, grid, 3)
    assert session.fed[0]['input'].shape == (1, 3, *crop.pixels.shape[:2])


def crops_of(frame, landmarks, session):
    network = Upscaler(session, LIMITS)
    task = FrameTask(frame, (LinkedFace(0, landmarks, 0.9),))
    (crops,) = face_crops([task], network.template, network.crop_side)
    return crops, network


def test_the_fine_pattern_around_a_large_face_is_averaged_before_it_is_enlarged():
    rows, columns = np.indices((1000, 1000))
    pattern = np.where((rows // 2 + columns // 2) % 2, 255, 0).astype(np.uint8)
    session = EnhancerSession('h', 4)
    (crop,), network = crops_of(PixelFrame(cv2.merge([pattern] * 3)), face_at(500, 500, 300), session)
    network.enhance([crop])
    assert session.fed[0]['input'].std() < 0.1


def waves(side: int, period: float, height: float) -> np.ndarray:
    """Return a picture float32 [side,side,3] of vertical waves around 128; the period is in pixels."""
    positions = (np.arange(side) + 0.5) / period
    row = 128 + height * np.sin(2 * np.pi * positions)
    return np.repeat(np.repeat(row[None, :, None], side, 0), 3, 2).astype(np.float32)


def test_only_fine_changes_of_an_upscaler_are_kept():
    grey = np.full((128, 128, 3), 128, np.uint8)

    def kept(period: float, height: float) -> float:
        inner = fine_change(grey, waves(512, period, height), 512, 6.0)[50:-50, 50:-50]
        return float(np.abs(inner).max())

    assert fine_change(grey, np.full((512, 512, 3), 140, np.float32), 512, 6.0).max() == 0
    # A Gaussian of sigma s leaves exp(-2 (pi s / period)^2) of a wave.
    assert kept(40, 3) == pytest.approx(3 * (1 - np.exp(-2 * (np.pi / 40) ** 2)), rel=0.05)
    assert kept(4, 3) == pytest.approx(6 * np.tanh(3 * (1 - np.exp(-2 * (np.pi / 4) ** 2)) / 6 / 2**0.5), rel=0.05)
    assert 5.9 < kept(4, 100) <= 6


def test_the_detail_of_a_large_face_is_weaker():
    frame = PixelFrame(np.full((1000, 1000, 3), 128, np.uint8))
    strongest = []
    for size in (90, 180, 360):
        (crop,), network = crops_of(frame, face_at(500, 500, size), EnhancerSession('h', 4, (0.5, 0.5, 0.5), 0.3))
        shown = len(crop.pixels) / np.hypot(*crop.matrix[:, 0])
        (detail,) = network.enhance([crop])
        strongest.append(float(np.abs(detail).max() * max(shown / 256, 1)))
    np.testing.assert_allclose(strongest, 6, atol=0.1)


# The rendered frame

PLACES = {
    'upright': (200, 150, 60, 0),
    'turned': (200, 150, 60, 40),
    'small': (200, 150, 14, 0),
    'large': (200, 150, 190, -20),
    'half outside': (398, 10, 60, 0),
}


def face(place: str) -> np.ndarray:
    x, y, side, degrees = PLACES[place]
    landmarks = face_at(x, y, side)
    turn = cv2.getRotationMatrix2D((x, y), degrees, 1)
    landmarks[:, :2] = landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    return landmarks


def smooth_frame(width: int = 400, height: int = 300) -> PixelFrame:
    small = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
    return PixelFrame(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def grey_frame(width: int = 400, height: int = 300) -> PixelFrame:
    return PixelFrame(np.full((height, width, 3), 128, np.uint8))


def network_of(kind: str, colour=None):
    """Return a network that returns its input, or one colour; an upscaler adds a grain instead of the colour."""
    if kind == 'upscaler':
        return Upscaler(EnhancerSession('h', 4, grain=0.3 if colour else 0.0), LIMITS)
    return Restorer(EnhancerSession(512, 1, colour), contract_of('gfpgan_1.4'), 1, 0.5)


def box_masker(blur: float = 0.3) -> FaceMasker:
    return FaceMasker(FaceMaskOptions(face_mask_types=('box',), face_mask_blur=blur))


def enhance(network, frame, *faces, share=1.0, blur=0.3) -> bool:
    processor = FaceEnhancer(network, box_masker(blur), share)
    linked = tuple(LinkedFace(number, landmarks, 0.9) for number, landmarks in enumerate(faces))
    (changed,) = processor.process([FrameTask(frame, linked)])
    return changed


def covered(landmarks, shape) -> np.ndarray:
    """Return how much the crop covers each pixel of the frame, float 0..1."""
    matrix = template_matrix(five_points(landmarks), 'ffhq_512', 512)
    return cv2.warpAffine(np.ones((512, 512), np.float32), cv2.invertAffineTransform(matrix), shape[1::-1])


@pytest.mark.parametrize('kind', ['restorer', 'upscaler'])
@pytest.mark.parametrize('place', PLACES)
def test_a_network_that_changes_nothing_leaves_the_frame_as_it_was(place, kind):
    frame, landmarks = smooth_frame(), face(place)
    before = frame.pixels.copy()
    # A restored face is pasted even if it looks the same.
    assert enhance(network_of(kind), frame, landmarks) or kind == 'upscaler'
    difference = np.abs(frame.pixels.astype(int) - before).max(-1)
    outside = cv2.dilate(covered(landmarks, before.shape), np.ones((5, 5))) == 0
    # The crop of a large face has fewer pixels than the frame.
    assert not difference[outside].any() and difference[~outside].mean() < 3.2


class SharpeningSession(EnhancerSession):
    """A session of an upscaler that enlarges and sharpens."""

    def run(self, names, feeds):
        image = np.ascontiguousarray(feeds['input'][0].transpose(1, 2, 0))
        sharp = image + 2 * (image - cv2.GaussianBlur(image, (0, 0), 1.0))
        return [cv2.resize(sharp, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)[None]]


@pytest.mark.parametrize('size', [40, 60, 100])
def test_the_detail_lies_where_the_network_added_it(size):
    cells = np.random.default_rng(size).integers(115, 135, (30000 // size, 30000 // size, 3), np.uint8)
    frame = PixelFrame(cv2.resize(cells, (1000, 1000), interpolation=cv2.INTER_CUBIC))
    before = frame.pixels.astype(np.float32)
    assert enhance(Upscaler(SharpeningSession('h', 4), LIMITS), frame, face_at(500, 500, size))
    inner = (slice(500 - size, 500 + size),) * 2
    added = (frame.pixels - before)[inner].mean(-1).ravel()
    wanted = (before - cv2.GaussianBlur(before, (0, 0), 1.5)).mean(-1)
    slopes = [np.gradient(wanted, axis=axis) for axis in (1, 0)]
    # A picture that moved by (x, y) is, to first order, the picture minus x and y times its slopes.
    parts = np.stack([each[inner].ravel() for each in (wanted, *slopes)], axis=1)
    strength, *moved = np.linalg.lstsq(parts, added, rcond=None)[0]
    # In pixels of the frame. Half of a pixel of the crop would show.
    assert strength > 0.05 and np.abs(np.array(moved) / strength).max() < 0.1
    assert np.corrcoef(added, parts[:, 0])[0, 1] > 0.6


@pytest.mark.parametrize('place', PLACES)
def test_a_red_crop_shows_where_the_mask_lies(place):
    frame, landmarks = grey_frame(), face(place)
    assert enhance(network_of('restorer', (1, -1, -1)), frame, landmarks, blur=0.0)
    red = (frame.pixels[..., 2] > 200) & (frame.pixels[..., 0] < 60)
    expected = covered(landmarks, frame.pixels.shape) > 0.5
    assert (red != expected).sum() < 0.12 * expected.sum() + 40
    assert (frame.pixels[~cv2.dilate(expected.astype(np.uint8), np.ones((5, 5))).astype(bool)] == 128).all()


@pytest.mark.parametrize('place', PLACES)
def test_detail_shows_where_the_mask_lies(place):
    frame, landmarks = grey_frame(), face(place)
    assert enhance(network_of('upscaler', (1, 1, 1)), frame, landmarks, blur=0.0)
    changed = cv2.dilate((frame.pixels[..., 0] != 128).astype(np.uint8), np.ones((5, 5))) > 0
    expected = covered(landmarks, frame.pixels.shape) > 0.5
    assert (changed != cv2.dilate(expected.astype(np.uint8), np.ones((5, 5))).astype(bool)).mean() < 0.05
    # Levels in front of and behind the grey of the frame change alike.
    assert abs(frame.pixels.astype(float).mean() - 128) < 0.1 and np.abs(frame.pixels.astype(int) - 128).max() <= 6


@pytest.mark.parametrize('share', [0.8, 0.25])
def test_the_share_mixes_the_result_with_the_frame_before(share):
    frame = grey_frame()
    assert enhance(network_of('restorer', (1, 1, 1)), frame, face('upright'), share=share)
    assert frame.pixels.max() == pytest.approx(128 * (1 - share) + 255 * share, abs=1)


@pytest.mark.parametrize('share', [1.0, 0.5])
def test_the_share_weighs_the_detail(share):
    frame = grey_frame()
    assert enhance(network_of('upscaler', (1, 1, 1)), frame, face_at(200, 150, 30), share=share)
    assert np.abs(frame.pixels.astype(int) - 128).max() == pytest.approx(6 * share, abs=1)


def test_with_a_share_of_0_no_network_runs_and_nothing_changes():
    network, frame = network_of('restorer', (1, 1, 1)), grey_frame()
    assert not enhance(network, frame, face('upright'), share=0.0)
    assert (frame.pixels == 128).all() and not frame.is_touched and not network._session.fed


def test_a_face_under_a_mask_of_zeros_is_unchanged():
    class Covered:
        def masks(self, crops, made):
            return [np.zeros(crop.pixels.shape[:2], np.float32) for crop in crops]

    frame, network = grey_frame(), network_of('restorer', (1, 1, 1))
    processor = FaceEnhancer(network, Covered(), 1.0)
    assert processor.process([FrameTask(frame, (LinkedFace(0, face('upright'), 0.9),))]) == [False]
    assert (frame.pixels == 128).all() and not frame.is_touched and not network._session.fed


def test_each_frame_of_a_batch_gets_its_own_faces():
    frames = [smooth_frame(), grey_frame(), grey_frame()]
    linked = [LinkedFace(0, face('upright'), 0.9), LinkedFace(1, face('small'), 0.9)]
    tasks = [FrameTask(frames[0], linked), FrameTask(frames[1]), FrameTask(frames[2], linked[1:])]
    network = Restorer(open_stand_in(512), contract_of('gfpgan_1.4'), 8, 0.5)
    processor = FaceEnhancer(network, box_masker(), 0.8)
    assert processor.process(tasks) == [True, False, True]
    for task, frame in zip(tasks, (smooth_frame(), grey_frame(), grey_frame()), strict=True):
        processor.process([FrameTask(frame, task.faces)])
        np.testing.assert_array_equal(task.frame.pixels, frame.pixels)


@pytest.mark.parametrize('kind', ['restorer', 'upscaler'])
@pytest.mark.parametrize(
    'landmarks',
    [
        np.full((468, 3), 150, np.float32) + np.linspace(-40, 40, 468, dtype=np.float32)[:, None] * [1, 0, 0],
        face_at(-4000, -4000, 60),
        face_at(200, 150, 3000),
        face_at(200, 150, 5),
    ],
    ids=['on a line', 'outside the frame', 'larger than the frame', 'tiny'],
)
def test_an_unusual_face_is_no_error(landmarks, kind):
    frame = smooth_frame()
    enhance(network_of(kind), frame, landmarks.astype(np.float32))
    assert frame.pixels.shape == (300, 400, 3)


@pytest.mark.parametrize('kind', ['restorer', 'upscaler'])
def test_a_face_whose_five_points_are_equal_is_no_error(kind):
    landmarks = np.zeros((80, 3), np.float32)
    landmarks[:68, :2] = face_at(200, 150, 60)[:68, :2]
    landmarks[68:80, :2] = (200, 150)
    landmarks[73:75, :2] = ((140, 90), (260, 210))
    frame = grey_frame()
    assert enhance(network_of(kind, (1, 1, 1)), frame, landmarks)
    assert (frame.pixels[120:180, 170:230] != 128).mean() > 0.5


@pytest.mark.parametrize('kind', ['restorer', 'upscaler'])
def test_a_face_that_is_too_small_for_a_mark_stays_unchanged(kind):
    frame = grey_frame()
    assert not enhance(network_of(kind, (1, 1, 1)), frame, face_at(200, 150, 5))
    assert (frame.pixels == 128).all()


def test_alpha_and_the_depth_of_a_16_bit_image_are_unchanged():
    random = np.random.default_rng(1)
    deep = cv2.resize(random.integers(0, 65536, (12, 16, 3), np.uint16), (400, 300), interpolation=cv2.INTER_LINEAR)
    alpha = random.integers(0, 256, (300, 400), np.uint8)
    frame = PixelFrame(deep.copy(), alpha.copy())
    assert enhance(network_of('restorer', (1, -1, -1)), frame, face('upright'))
    outside = covered(face('upright'), (300, 400)) == 0
    np.testing.assert_array_equal(frame.alpha, alpha)
    np.testing.assert_array_equal(frame.pixels[outside], deep[outside])
    assert frame.pixels.dtype == np.uint16 and frame.pixels[150, 200, 2] > 65000 and frame.pixels[150, 200, 0] < 300


def test_samples_of_10_bits_are_unchanged_around_the_face():
    video = av.VideoFrame(400, 300, 'yuv420p10le')
    for plane in plane_views(video):
        plane[...] = np.random.default_rng(2).integers(400, 600, plane.shape)
    frame = PlaneFrame(video, 0, 0, ColorSpec('bt709', False, 1, 1))
    before = [plane.copy() for plane in frame.planes]
    assert enhance(network_of('restorer', (1, 1, 1)), frame, face('upright'))
    outside = cv2.dilate(covered(face('upright'), (300, 400)), np.ones((5, 5))) == 0
    np.testing.assert_array_equal(frame.planes[0][outside], before[0][outside])
    np.testing.assert_array_equal(frame.planes[1][outside[::2, ::2]], before[1][outside[::2, ::2]])
    assert frame.planes[0][150, 200] > 900


# The registration


def settings_of(model: str, blend: int = 80, types: tuple[str, ...] = ('box',)) -> Settings:
    return Settings(
        [FaceEnhancerOptions(model, blend), FaceMaskOptions(face_mask_types=types), FaceLandmarkerOptions()]
    )


@pytest.mark.parametrize(
    ('model', 'effect', 'needed'),
    [
        ('gfpgan_1.4', 'composite', 'gfpgan_1.4'),
        ('realesrgan_x4plus', 'enhancement', 'realesrgan_x4plus'),
        ('auto', 'enhancement', 'realesr_animevideov3'),
    ],
)
def test_the_registration_states_the_effect_and_the_model(model, effect, needed):
    settings = settings_of(model)
    assert FACE_ENHANCER.effect(settings) == effect and FACE_ENHANCER.models(settings) == (needed,)
    assert FACE_ENHANCER.requirements(settings) == Requirements()


def test_a_frame_changes_only_with_a_blend_and_a_large_face():
    large, small = (LinkedFace(0, face_at(200, 150, size), 0.9) for size in (60, 5))
    assert FACE_ENHANCER.changes(settings_of('auto'), [small, large])
    assert not FACE_ENHANCER.changes(settings_of('auto'), [small])
    assert not FACE_ENHANCER.changes(settings_of('gfpgan_1.4', 0), [large])


@pytest.mark.parametrize('padding', [(0, 0, 0, 0), (50, 50, 50, 50)])
@pytest.mark.parametrize('types', [('box',), ('area', 'region')])
def test_the_mask_is_always_a_box_without_padding(types, padding):
    frames, messages = [], []
    for masks in (
        FaceMaskOptions(face_mask_types=types, face_mask_padding=padding),
        FaceMaskOptions(face_mask_types=('box',)),
    ):
        frame, sessions = grey_frame(), Sessions(EnhancerSession(512, 1, (1, 1, 1)))
        settings = settings_of('gfpgan_1.4').replace(masks)
        processor = prepare(ProcessorTools(settings, sessions, FaceFinder(), None, messages.append))
        processor.process([FrameTask(frame, (LinkedFace(0, face('upright'), 0.9),))])
        frames.append(frame.pixels)
    np.testing.assert_array_equal(*frames)
    expected = ['the face enhancer ignores the mask types area, region: it applies box and occlusion only']
    assert [message.text for message in messages] == (expected if types != ('box',) else [])


def test_occlusion_adds_its_network_and_its_neighbours():
    settings = settings_of('codeformer', types=('occlusion', 'region')).replace(
        FaceMaskOptions('xseg_2', 'bisenet_resnet_34', ('occlusion', 'region'))
    )
    assert FACE_ENHANCER.models(settings) == ('codeformer', 'xseg_2')
    assert FACE_ENHANCER.requirements(settings) == Requirements(neighbours=2)


class Sessions:
    """A pool with one network; it records its uses."""

    def __init__(self, network) -> None:
        self.network = network
        self.opened: list[str] = []

    def session(self, model_id):
        self.opened.append(model_id)
        return self.network

    batched = session

    def contract(self, model_id):
        return contract_of(model_id)


@pytest.mark.parametrize(('model', 'blend'), [('gfpgan_1.4', 80), ('gpen_bfr_256', 35), ('codeformer', 10)])
def test_a_prepared_enhancer_uses_the_model_and_the_blend(model, blend):
    sessions, frame = Sessions(EnhancerSession(EXPECTED[model][1], 1, (1, 1, 1))), grey_frame()
    tools = ProcessorTools(settings_of(model, blend), sessions, FaceFinder(), None, silent)
    processor = prepare(tools)
    assert processor.name == FACE_ENHANCER.name
    assert processor.process([FrameTask(frame, (LinkedFace(0, face('upright'), 0.9),))]) == [True]
    assert sessions.opened == [model]
    assert frame.pixels.max() == pytest.approx(128 + 127 * blend / 100, abs=1)


@pytest.mark.parametrize(('model', 'largest'), [('auto', 256), ('realesrgan_x4plus', 128)])
def test_a_prepared_upscaler_gets_crops_of_its_largest_side(model, largest):
    sessions = Sessions(EnhancerSession('h', 4, grain=0.3))
    processor = prepare(ProcessorTools(settings_of(model), sessions, FaceFinder(), None, silent))
    assert processor.process([FrameTask(grey_frame(), (LinkedFace(0, face('upright'), 0.9),))]) == [True]
    assert [feeds['input'].shape[2] for feeds in sessions.network.fed] == [largest]


def test_the_weight_of_the_options_reaches_the_network():
    sessions = Sessions(open_stand_in(512, TensorProto.DOUBLE))
    levels = []
    for weight in (0.0, 1.0):
        settings = settings_of('codeformer', 100).replace(FaceEnhancerOptions('codeformer', 100, weight))
        frame = grey_frame()
        processor = prepare(ProcessorTools(settings, sessions, FaceFinder(), None, silent))
        processor.process([FrameTask(frame, (LinkedFace(0, face('upright'), 0.9),))])
        levels.append(int(frame.pixels[150, 200, 0]))
    assert levels[1] - levels[0] == pytest.approx(WEIGHT_GAIN * 127.5, abs=2)
