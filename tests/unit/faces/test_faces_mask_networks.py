"""Tests of the contracts of the published occluders and parsers, with stand-in networks and independent formulas."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from fakes.stand_ins import occluder, parser
from msgspec import structs

from facefusion.faces.masks.crop_masks import smoothed
from facefusion.faces.masks.networks import REGION_CLASSES, FaceParser, Occluder
from facefusion.faces.masks.options import MASK_PREFERENCES, REGIONS, FaceMaskOptions
from facefusion.models.catalog import load_catalog
from facefusion.options import describe

CATALOG = load_catalog(Path(__file__).resolve().parents[3] / 'models' / 'catalog')
OCCLUDERS = ('xseg_1', 'xseg_2', 'xseg_3')
PARSERS = ('bisenet_resnet_18', 'bisenet_resnet_34')
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def session(network: bytes):
    return onnxruntime.InferenceSession(network, providers=['CPUExecutionProvider'])


def random_crop(size: int, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng([size, seed]).integers(0, 256, (7, 7, 3), np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def test_every_choice_is_in_the_catalogue():
    choices = {info.key: set(info.choices) for info in describe(FaceMaskOptions)}
    assert choices['face_occluder_model'] == {'auto', 'many', 'mesh', *OCCLUDERS}
    assert choices['face_parser_model'] == {'auto', 'mesh', *PARSERS}
    for name in (*OCCLUDERS, *PARSERS):
        entry = CATALOG.entry(name)
        assert entry.contract.size == ((256, 256) if name in OCCLUDERS else (512, 512))
    assert [models[0] for models in MASK_PREFERENCES.values()] == ['xseg_1', 'bisenet_resnet_34']
    assert set(REGION_CLASSES) == set(REGIONS)


@pytest.mark.parametrize('size', [128, 256, 512])
@pytest.mark.parametrize('name', OCCLUDERS)
def test_an_occluder_gets_bgr_values_from_0_to_1(name, size):
    crop = random_crop(size)
    found = Occluder(session(occluder()), CATALOG.entry(name).contract, 1).visible([crop])
    image = cv2.resize(crop, (256, 256)).astype(np.float64) / 255
    expected = np.clip(image @ [1.6, 0.7, -0.9], 0, 1)
    assert found.shape == (1, 256, 256) and 0.2 < expected.mean() < 0.8
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    # Other colours would be noticed.
    assert np.abs(np.clip(image[..., ::-1] @ [1.6, 0.7, -0.9], 0, 1) - expected).mean() > 0.1


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
@pytest.mark.parametrize('name', PARSERS)
def test_a_parser_gets_normalised_rgb_and_its_classes_are_regions(name, dtype):
    crop = random_crop(300).astype(dtype)
    network = FaceParser(session(parser()), CATALOG.entry(name).contract, 1)
    (found,) = network.masks([crop], ('nose', 'left-eye', 'glasses'))
    rgb = cv2.resize(crop, (512, 512)).astype(np.float64)[..., ::-1] / 255
    classes = parsed((rgb - MEAN) / STD)
    mask = np.isin(classes, [10, 4, 6]).astype(np.float32)
    expected = smoothed(cv2.resize(mask, (300, 300)))
    assert 0.02 < mask.mean() < 0.98
    assert np.abs(found - expected).mean() < 1e-3


@pytest.mark.parametrize('change', ['mean', 'std', 'colours'])
def test_a_wrong_contract_of_a_parser_shows(change):
    contract, crop = CATALOG.entry('bisenet_resnet_34').contract, random_crop(512)
    right = FaceParser(session(parser()), contract, 1).masks([crop], ('skin', 'mouth'))[0]
    if change != 'colours':
        contract = structs.replace(contract, **{change: (0.2, 0.9, 0.5)})
    given = crop[..., ::-1].copy() if change == 'colours' else crop
    wrong = FaceParser(session(parser()), contract, 1).masks([given], ('skin', 'mouth'))[0]
    assert np.abs(wrong - right).mean() > 0.01


def test_crops_of_a_call_do_not_change_each_other():
    crops = [random_crop(256, seed) for seed in range(3)]
    occluders = [Occluder(session(occluder()), CATALOG.entry('xseg_1').contract, batch) for batch in (1, 8)]
    np.testing.assert_array_equal(*(each.visible(crops) for each in occluders))
    contract = CATALOG.entry('bisenet_resnet_18').contract
    alone = [FaceParser(session(parser()), contract, 1).masks([crop], ('skin',))[0] for crop in crops]
    together = FaceParser(session(parser()), contract, 8).masks(crops, ('skin',))
    np.testing.assert_array_equal(np.stack(together), np.stack(alone))


def parsed(values: np.ndarray) -> np.ndarray:
    """Return the class of each pixel as the stand-in computes it: its channels weigh the colours differently."""
    numbers = np.arange(19)
    weights = np.stack([np.cos(numbers), np.sin(2 * numbers), np.cos(3 * numbers)], axis=1)
    return (values @ weights.T).argmax(-1)
