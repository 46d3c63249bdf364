"""Tests of the contracts of the published swappers, with stand-in networks and independent formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from fakes.face_chunks import face_at
from fakes.stand_ins import PassingSession, swapped, swapper
from msgspec import structs

from facefusion.errors import UsageError
from facefusion.faces.face import LinkedFace
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.options import FaceLandmarkerOptions
from facefusion.faces.recognise import unit
from facefusion.faces.templates import TEMPLATES, template_matrix
from facefusion.inference.initializers import last_initializer
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import Contract, load_catalog
from facefusion.processors.face_masker import FaceMasker
from facefusion.processors.face_swapper.models import BOOSTS, PUBLISHED, crop_size, networks_of
from facefusion.processors.face_swapper.neural.identity import SourceIdentity, converter, embedding_identity
from facefusion.processors.face_swapper.neural.kinds import KINDS
from facefusion.processors.face_swapper.neural.network import SwapNetwork, join_tiles, split_tiles
from facefusion.processors.face_swapper.neural.swapper import NeuralSwapper
from facefusion.processors.face_swapper.options import MODELS, FaceSwapperOptions
from facefusion.processors.face_swapper.registration import FACE_SWAPPER
from facefusion.processors.processor import FrameTask
from facefusion.processors.registration import Requirements
from facefusion.settings import Settings

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
NONE, HALF = ((0, 0, 0), (1, 1, 1)), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# The kind, template, size, mean and std, whether the output is normalised too, and the shape of the source.
EXPECTED = {
    'blendswap_256': ('blendswap', 'ffhq_512', 256, NONE, False, (3, 112, 112)),
    'ghost_1_256': ('ghost', 'arcface_112_v1', 256, HALF, True, (512,)),
    'ghost_2_256': ('ghost', 'arcface_112_v1', 256, HALF, True, (512,)),
    'ghost_3_256': ('ghost', 'arcface_112_v1', 256, HALF, True, (512,)),
    'hififace_unofficial_256': ('hififace', 'mtcnn_512', 256, HALF, True, (512,)),
    'hyperswap_1a_256': ('hyperswap', 'arcface_128', 256, HALF, True, (512,)),
    'hyperswap_1b_256': ('hyperswap', 'arcface_128', 256, HALF, True, (512,)),
    'hyperswap_1c_256': ('hyperswap', 'arcface_128', 256, HALF, True, (512,)),
    'inswapper_128': ('inswapper', 'arcface_128', 128, NONE, False, (512,)),
    'inswapper_128_fp16': ('inswapper', 'arcface_128', 128, NONE, False, (512,)),
    'simswap_256': ('simswap', 'arcface_112_v1', 256, IMAGENET, False, (512,)),
    'simswap_unofficial_512': ('simswap', 'arcface_112_v1', 512, NONE, False, (512,)),
    'uniface_256': ('uniface', 'ffhq_512', 256, HALF, True, (3, 256, 256)),
}


def random_crop(size: int) -> np.ndarray:
    small = np.random.default_rng(size).integers(40, 200, (9, 9, 3), np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def open_stand_in(name: str):
    _, _, size, _, _, shape = EXPECTED[name]
    return onnxruntime.InferenceSession(swapper(size, shape), providers=['CPUExecutionProvider'])


def expected_crop(name: str, crop: np.ndarray, source: np.ndarray) -> np.ndarray:
    _, _, _, (mean, std), is_signed, _ = EXPECTED[name]
    mean, std = (np.array(each).reshape(3, 1, 1) for each in (mean, std))
    output = swapped((crop[:, :, ::-1].transpose(2, 0, 1) / 255 - mean) / std, source)
    output = output * std + mean if is_signed else output
    return np.clip(output, 0, 1).transpose(1, 2, 0)[:, :, ::-1] * 255


def test_the_tables_agree():
    assert set(PUBLISHED) | {'auto', 'mesh_warp'} == set(MODELS) and set(EXPECTED) == set(PUBLISHED)
    for name, model in PUBLISHED.items():
        contract = CATALOG.entry(name).contract
        assert (contract.kind, contract.template, contract.size) == (*EXPECTED[name][:2], (model.size, model.size))
        assert model.takes_embedding == KINDS[contract.kind].takes_embedding
        assert all(each in CATALOG for each in networks_of(name)) and set(model.boosts) <= set(BOOSTS)


@pytest.mark.parametrize('name', EXPECTED)
def test_a_crop_goes_through_the_network_as_its_contract_says(name):
    size, shape = EXPECTED[name][2], EXPECTED[name][5]
    crop, source = random_crop(size), np.random.default_rng(1).normal(0, 0.5, shape).astype(np.float32)
    network = SwapNetwork(open_stand_in(name), CATALOG.entry(name).contract, 1)
    (result,) = network.swap([crop], [source])
    np.testing.assert_allclose(result, expected_crop(name, crop, source), atol=0.01)


@pytest.mark.parametrize('change', ['mean', 'std', 'colours', 'source'])
@pytest.mark.parametrize('name', ['ghost_1_256', 'simswap_256', 'inswapper_128', 'hyperswap_1a_256'])
def test_a_wrong_contract_shows(name, change):
    size, shape = EXPECTED[name][2], EXPECTED[name][5]
    crop, source = random_crop(size), np.random.default_rng(1).normal(0, 0.5, shape).astype(np.float32)
    contract: Contract = CATALOG.entry(name).contract
    if change in ('mean', 'std'):
        contract = structs.replace(contract, **{change: (0.4, 0.45, 0.3)})
    network = SwapNetwork(open_stand_in(name), contract, 1)
    given = crop[:, :, ::-1].copy() if change == 'colours' else crop
    (result,) = network.swap([given], [source[::-1].copy() if change == 'source' else source])
    assert np.abs(result - expected_crop(name, crop, source)).mean() > 1


@pytest.mark.parametrize('batch', [1, 3, 8])
def test_crops_of_a_call_do_not_change_each_other(batch):
    name = 'hyperswap_1a_256'
    contract, session = CATALOG.entry(name).contract, open_stand_in(name)
    crops = [random_crop(256), random_crop(512), random_crop(256)[::-1].copy()]
    sources = [np.random.default_rng(k).normal(0, 0.5, 512).astype(np.float32) for k in range(3)]
    together = SwapNetwork(session, contract, batch).swap(crops, sources)
    for crop, source, result in zip(crops, sources, together, strict=True):
        np.testing.assert_array_equal(result, SwapNetwork(session, contract, 1).swap([crop], [source])[0])


def test_a_larger_crop_is_split_into_interleaved_tiles():
    crop = np.arange(6 * 6 * 3, dtype=np.uint8).reshape(6, 6, 3)
    tiles = split_tiles(crop, 2)
    assert tiles.shape == (9, 2, 2, 3)
    np.testing.assert_array_equal(tiles[5], crop[1::3, 2::3])
    np.testing.assert_array_equal(join_tiles(tiles.astype(np.float32)), crop)


def test_a_pixel_boost_that_the_model_cannot_do_is_refused():
    assert crop_size('inswapper_128', '384x384') == 384 and crop_size('simswap_unofficial_512', None) == 512
    for name, boost in (('simswap_unofficial_512', '768x768'), ('blendswap_256', '384x384')):
        with pytest.raises(UsageError) as caught:
            crop_size(name, boost)
        assert caught.value.reference == 'pixel-boost' and '512x512' in caught.value.cause


def test_a_wrong_pixel_boost_is_refused_before_its_models_are_fetched():
    options = FaceSwapperOptions(face_swapper_model='inswapper_128', face_swapper_pixel_boost='256x256')
    settings = Settings([options, FaceLandmarkerOptions(), FaceMaskOptions(face_mask_types=('box',))])
    assert FACE_SWAPPER.models(settings) == ('inswapper_128', 'arcface_w600k_r50')
    assert FACE_SWAPPER.requirements(settings) == Requirements(source_faces=True)
    wrong = replace(options, face_swapper_model='simswap_unofficial_512')
    with pytest.raises(UsageError, match='simswap_unofficial_512 has no pixel boost 256x256'):
        FACE_SWAPPER.models(settings.replace(wrong))


class Converter:
    """A network that reverses and doubles an embedding."""

    def get_inputs(self):
        return [type('Input', (), {'name': 'input'})]

    def run(self, names, feeds):
        return [feeds['input'][:, ::-1] * 2]


class Embedder:
    """A recogniser that returns the same embedding for every face."""

    def __init__(self, embedding: np.ndarray) -> None:
        self.embedding = embedding
        self.count = 0

    def embed(self, frame, five):
        self.count += 1
        return self.embedding


EMBEDDING = np.random.default_rng(3).normal(0, 1, 512).astype(np.float32)
MATRIX = np.random.default_rng(4).normal(0, 0.1, (512, 512)).astype(np.float32)


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('ghost', EMBEDDING[::-1] * 2),
        ('hififace', EMBEDDING[::-1] / np.linalg.norm(EMBEDDING)),
        ('simswap', EMBEDDING[::-1] / np.linalg.norm(EMBEDDING)),
        ('hyperswap', EMBEDDING / np.linalg.norm(EMBEDDING)),
        ('inswapper', EMBEDDING @ MATRIX / np.linalg.norm(EMBEDDING @ MATRIX)),
    ],
)
def test_each_kind_has_its_form_of_the_embedding(kind, expected):
    convert = converter(KINDS[kind], Converter(), MATRIX)
    np.testing.assert_allclose(convert(EMBEDDING), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('weight', 'share'), [(0.5, 0), (0, 0.35), (1, -0.35), (0.25, 0.175)])
def test_a_weight_mixes_in_the_target_converted_alike(weight, share):
    target = Embedder(EMBEDDING[::2].repeat(2))
    convert = converter(KINDS['simswap'], Converter(), None)
    identity = embedding_identity([EMBEDDING], target, convert, KINDS['simswap'], weight)
    source = identity.source_for(None, np.zeros((5, 2), np.float32))
    expected = convert(EMBEDDING) * (1 - share) + convert(target.embedding) * share
    np.testing.assert_allclose(source, expected, atol=1e-6)
    assert target.count == (share != 0), 'without a weight no target face is embedded'


def test_several_sources_are_averaged():
    others = [EMBEDDING, EMBEDDING[::-1] * 3]
    of_hyperswap = embedding_identity(others, None, unit, KINDS['hyperswap'], 0.5).source_for(None, None)
    np.testing.assert_allclose(of_hyperswap, np.mean([unit(each) for each in others], 0), atol=1e-6)
    convert = converter(KINDS['ghost'], Converter(), None)
    of_ghost = embedding_identity(others, None, convert, KINDS['ghost'], 0.5).source_for(None, None)
    np.testing.assert_allclose(of_ghost, convert(np.mean(others, 0)), rtol=1e-5)


def test_the_matrix_of_inswapper_is_read_from_its_file(tmp_path):
    path = tmp_path / 'inswapper_128.onnx'
    path.write_bytes(swapper(128, (512,)))
    np.testing.assert_array_equal(last_initializer(path), np.eye(512, dtype=np.float32)[::-1] * 2)


# The rendered image

PLACES = {
    'upright': (200, 150, 60, 0),
    'turned': (200, 150, 60, 40),
    'small': (200, 150, 14, 0),
    'large': (200, 150, 190, -20),
    'at the edge': (390, 10, 60, 0),
}


def swap(session, place, *, size=256, frame=None, **masks):
    x, y, side, degrees = PLACES[place]
    landmarks = face_at(x, y, side)
    turn = cv2.getRotationMatrix2D((x, y), degrees, 1)
    landmarks[:, :2] = landmarks[:, :2] @ turn[:, :2].T + turn[:, 2]
    if frame is None:
        small = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
        frame = PixelFrame(cv2.resize(small, (400, 300), interpolation=cv2.INTER_CUBIC))
    contract = Contract(kind='hyperswap', template='arcface_128', size=(256, 256), mean=(0.5,) * 3, std=(0.5,) * 3)
    options = FaceMaskOptions(face_mask_types=('box',), **masks)
    swapper_of_run = NeuralSwapper(
        SwapNetwork(session, contract, 1),
        'arcface_128',
        size,
        [SourceIdentity(np.zeros(512, np.float32))],
        FaceMasker(options),
        False,
    )
    before = frame.pixels.copy()
    (changed,) = swapper_of_run.process([FrameTask(frame, (LinkedFace(0, landmarks, 0.9),))])
    return before, frame.pixels, template_matrix(five_points(landmarks), 'arcface_128', size), changed


def under_mask(matrix, size, shape) -> np.ndarray:
    """Return how much the crop covers each pixel of the frame, float 0..1."""
    return cv2.warpAffine(np.ones((size, size), np.float32), cv2.invertAffineTransform(matrix), shape[1::-1])


@pytest.mark.parametrize('place', PLACES)
def test_a_network_that_changes_nothing_leaves_the_frame_as_it_was(place):
    before, after, matrix, changed = swap(PassingSession(), place)
    assert changed
    difference = np.abs(after.astype(int) - before.astype(int)).max(-1)
    outside = under_mask(matrix, 256, before.shape) == 0
    assert not difference[outside].any()
    # Under the mask, the frame was warped to the crop and back. A smooth frame loses little unless the face is
    # larger than the crop.
    assert difference[~outside].mean() < 3


@pytest.mark.parametrize('place', PLACES)
def test_a_red_crop_shows_where_the_mask_lies(place):
    grey = PixelFrame(np.full((300, 400, 3), 128, np.uint8))
    _, after, matrix, _ = swap(PassingSession((1, 0, 0)), place, frame=grey, face_mask_blur=0.0)
    red = after[..., 2] > 200
    expected = under_mask(matrix, 256, after.shape) > 0.5
    assert (red != expected).sum() < 0.12 * expected.sum() + 40
    assert (after[~cv2.dilate(expected.astype(np.uint8), np.ones((5, 5))).astype(bool)] == 128).all()


def test_padding_and_blur_move_the_edge():
    def share(**masks):
        grey = PixelFrame(np.full((300, 400, 3), 128, np.uint8))
        after = swap(PassingSession((1, 0, 0)), 'upright', frame=grey, **masks)[1]
        return (after[..., 2].astype(float) - 128).sum()

    whole = share(face_mask_blur=0.0)
    assert share(face_mask_blur=0.0, face_mask_padding=(50, 0, 0, 0)) == pytest.approx(whole / 2, rel=0.03)
    assert share(face_mask_blur=0.0, face_mask_padding=(0, 25)) == pytest.approx(whole / 2, rel=0.03)
    # A blur of 1 moves the edge a quarter of the crop inwards.
    assert share(face_mask_blur=1.0) == pytest.approx(whole / 4, rel=0.05)


@pytest.mark.parametrize('name', TEMPLATES)
def test_five_points_are_aligned_to_each_template(name):
    wanted = np.array(TEMPLATES[name]) * 256
    angle = np.deg2rad(25)
    turn = 1.7 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = template_matrix(wanted @ turn.T + (300, -40), name, 256)
    aligned = (wanted @ turn.T + (300, -40)) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(aligned, wanted, atol=0.01)
