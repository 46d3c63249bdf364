"""Tests of gender and age, with a stand-in for the network."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes.face_chunks import face_at

from facefusion.errors import ModelError
from facefusion.faces.attributes import (
    AGES,
    ATTRIBUTES,
    CROP_SIZE,
    GENDERS,
    VOTES,
    AttributesMeter,
    age_of,
    classify,
    gender_of,
)
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.measurement_types import FaceView
from facefusion.faces.role import UNKNOWN
from facefusion.faces.templates import crop_frame, template_matrix
from facefusion.media.frame import PixelFrame

FACE = face_at(150, 150, 60)


class Network:
    """A network with the outputs of FairFace that records which are requested."""

    def __init__(self, gender: int = 1, age: int = 4) -> None:
        self.classes = {'race': 5, 'gender': gender, 'age': age}
        self.requested: set[str] = set()
        self.inputs: list[np.ndarray] = []

    def get_inputs(self):
        return [SimpleNamespace(name='input')]

    def get_outputs(self):
        return [SimpleNamespace(name=name) for name in self.classes]

    def run(self, outputs, feed):
        self.requested |= set(outputs)
        self.inputs.append(feed['input'])
        return [np.array([self.classes[name]], np.int64) for name in outputs]


def picture() -> PixelFrame:
    return PixelFrame(np.random.default_rng(1).integers(0, 256, (300, 300, 3), np.uint8))


def votes(genders, ages) -> np.ndarray:
    return np.array([*genders, *ages], np.float32)


@pytest.mark.parametrize(('output', 'gender'), [(1, 'female'), (0, 'male'), (2, 'male')])
def test_a_view_votes_for_one_gender_and_one_age(output, gender):
    found = classify(Network(output, 7), picture(), FACE)
    assert found.dtype == np.float32 and found.shape == (VOTES,) == (2 + 9,)
    assert GENDERS[gender_of(found)] == gender and AGES[age_of(found)] == range(60, 69)
    assert found.sum() == 2 and found.max() == 1


def test_race_is_never_requested():
    network = Network()
    AttributesMeter(network).measure([FaceView(picture(), FACE)] * 2)
    assert network.requested == {'gender', 'age'}


def test_the_crop_is_aligned_to_the_template_and_normalised():
    network, frame = Network(), picture()
    classify(network, frame, FACE)
    crop = crop_frame(frame, template_matrix(five_points(FACE), 'arcface_112_v2', 224), (224, 224))
    expected = (crop[:, :, ::-1] / 255.0 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert CROP_SIZE == 224 and network.inputs[0].shape == (1, 3, 224, 224)
    np.testing.assert_allclose(network.inputs[0][0], expected.transpose(2, 0, 1), atol=1e-5)


def test_votes_of_views_and_chunks_are_added():
    network = Network(1, 3)
    found = AttributesMeter(network).measure([FaceView(picture(), FACE)] * 3)
    merged = ATTRIBUTES.merge(np.stack([found, votes((0, 2), (0, 0, 0, 0, 0, 2, 0, 0, 0))]), np.ones(2, np.float32))
    assert merged.tolist() == [3, 2, 0, 0, 0, 3, 0, 2, 0, 0, 0]
    assert (ATTRIBUTES.name, ATTRIBUTES.shape, ATTRIBUTES.models) == ('attributes', (11,), ('fairface',))


@pytest.mark.parametrize(
    ('ages', 'median'),
    [
        ((0, 0, 0, 1, 0, 0, 0, 0, 0), 3),
        ((1, 0, 0, 1, 0, 0, 0, 0, 1), 3),
        ((0, 0, 2, 1, 0, 0, 0, 0, 0), 2),
        ((0, 0, 1, 0, 0, 0, 0, 0, 1), 2),
        ((0, 0, 0, 0, 0, 0, 0, 0, 4), 8),
    ],
)
def test_the_age_is_the_median_class(ages, median):
    assert age_of(votes((1, 0), ages)) == median


def test_without_votes_gender_and_age_are_unknown():
    none = np.zeros(VOTES, np.float32)
    assert gender_of(none) == age_of(none) == UNKNOWN == -1


def test_the_ages_are_those_of_facefusion():
    assert [(each.start, each.stop) for each in AGES] == [
        *[(0, 2), (3, 9), (10, 19), (20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 100)]
    ]


@pytest.mark.parametrize('age', [-1, 9])
def test_an_unknown_age_class_is_an_error(age):
    with pytest.raises(ModelError) as caught:
        classify(Network(1, age), picture(), FACE)
    assert caught.value.reference == 'age-class'
