from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from fakes.face_chunks import face_at
from onnx import TensorProto, helper

from facefusion.errors import ContentRefused, ModelError
from facefusion.events import silent
from facefusion.faces.landmarks.subsets import five_points
from facefusion.inference.pool import SessionPool
from facefusion.inference.providers import create_session
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.models.store import ModelStore
from facefusion.safety.age import AgeEstimate, AgeObservation, refuse_if_minor
from facefusion.safety.fairface import AGE_CLASSES, FairFaceAge, aligned_crop, find_age_estimator

SHIPPED = Path(__file__).parents[3] / 'models' / 'catalog'
CLIP = Path('films') / 'scene.mp4'
YOUNG, ADULT = AgeEstimate(True, '3 to 9 years'), AgeEstimate(False, '20 to 29 years')


def stand_in() -> bytes:
    """Return a network with the interface of fairface.

    The age class is a tenth of the red value of the crop's top left pixel. Race and gender are always 99, which is not
    a class.
    """
    image = helper.make_tensor_value_info('input', TensorProto.FLOAT, [1, 3, 224, 224])
    outputs = [helper.make_tensor_value_info(name, TensorProto.INT64, [1]) for name in ('r', 'g', 'a')]
    constants = {
        'axes': helper.make_tensor('axes', TensorProto.INT64, [4], [0, 1, 2, 3]),
        'starts': helper.make_tensor('starts', TensorProto.INT64, [4], [0, 0, 0, 0]),
        'ends': helper.make_tensor('ends', TensorProto.INT64, [4], [1, 1, 1, 1]),
        'flat': helper.make_tensor('flat', TensorProto.INT64, [1], [1]),
        'deviation': helper.make_tensor('deviation', TensorProto.FLOAT, [1], [0.229 * 25.5]),
        'mean': helper.make_tensor('mean', TensorProto.FLOAT, [1], [0.485 * 25.5]),
        'none': helper.make_tensor('none', TensorProto.INT64, [1], [99]),
    }
    nodes = [
        helper.make_node('Slice', ['input', 'starts', 'ends', 'axes'], ['corner']),
        helper.make_node('Reshape', ['corner', 'flat'], ['value']),
        helper.make_node('Mul', ['value', 'deviation'], ['scaled']),
        helper.make_node('Add', ['scaled', 'mean'], ['tens']),
        helper.make_node('Round', ['tens'], ['rounded']),
        helper.make_node('Cast', ['rounded'], ['a'], to=TensorProto.INT64),
        helper.make_node('Identity', ['none'], ['r']),
        helper.make_node('Identity', ['none'], ['g']),
    ]
    graph = helper.make_graph(nodes, 'ages', [image], outputs, list(constants.values()))
    opset = [helper.make_opsetid('', 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


@pytest.fixture(scope='module')
def estimator():
    return FairFaceAge(create_session(stand_in(), ('cpu',), 0))


def frame_of(*classes):
    """Return an image with the stand-in's class at the left of the face and, if two are given, another at the right."""
    red = np.repeat([classes[0], classes[-1]], 200) * 10
    pixels = np.zeros((400, 400, 3), np.uint8)
    pixels[:, :, 2] = red
    return PixelFrame(pixels)


FACE = face_at(200, 200, 150)


@pytest.mark.parametrize('age', range(9))
def test_only_classes_up_to_nineteen_years_are_under_18(estimator, age):
    found = estimator.under_18(frame_of(age), FACE)
    assert found == AgeEstimate(age <= 2, f'{AGE_CLASSES[age]} years')


@pytest.mark.parametrize('pair', [(2, 3), (3, 2), (1, 4)])
def test_a_face_whose_views_disagree_is_not_under_18(estimator, pair):
    assert not estimator.under_18(frame_of(*pair), FACE).under_18


def test_views_that_agree_on_under_18_may_differ_in_the_class(estimator):
    assert estimator.under_18(frame_of(1, 2), FACE) == AgeEstimate(True, '3 to 9, 10 to 19 years')


def test_an_unknown_class_is_an_error(estimator):
    with pytest.raises(ModelError) as error:
        estimator.under_18(frame_of(9), FACE)
    assert (error.value.reference, error.value.exit_code) == ('age-class', 6)


def test_neither_race_nor_gender_is_computed():
    class Watched:
        def __init__(self):
            self._session = create_session(stand_in(), ('cpu',), 0)
            self.asked = []

        def __getattr__(self, name):
            return getattr(self._session, name)

        def run(self, names, feeds):
            self.asked += names
            return self._session.run(names, feeds)

    session = Watched()
    FairFaceAge(session).under_18(frame_of(1), FACE)
    assert session.asked == ['a', 'a', 'a']


def test_the_crop_has_the_five_points_at_the_positions_of_the_template():
    points = five_points(FACE)
    pixels = np.zeros((400, 400, 3), np.uint8)
    crop = aligned_crop(PixelFrame(pixels), FACE)
    assert crop.shape == (224, 224, 3) and crop.dtype == np.uint8
    for scale in (1.0, 1.15):
        places = []
        for x, y in points:
            dot = pixels.copy()
            dot[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 255
            seen = aligned_crop(PixelFrame(dot), FACE, scale)[:, :, 0].astype(float)
            places.append([(seen.sum(0) * np.arange(224)).sum(), (seen.sum(1) * np.arange(224)).sum()] / seen.sum())
        eyes, mouth = np.mean(places[:2], 0), np.mean(places[3:], 0)
        expected_eyes, expected_mouth = (np.array([[0.4992, 0.4607], [0.5012, 0.824]]) - 0.5) / scale * 224 + 112
        assert np.abs(eyes - expected_eyes).max() < 8 and np.abs(mouth - expected_mouth).max() < 8


def observed(track, *estimates):
    return [AgeObservation(track, 25 * n, float(n), estimate) for n, estimate in enumerate(estimates)]


def test_a_young_face_of_an_image_is_refused_and_an_adult_one_is_not():
    refuse_if_minor(CLIP, observed(0, ADULT), 'stand_in')
    refuse_if_minor(CLIP, [], 'stand_in')
    with pytest.raises(ContentRefused) as error:
        refuse_if_minor(CLIP, observed(0, ADULT) + observed(1, YOUNG), 'stand_in')
    assert (error.value.reference, error.value.exit_code) == ('age-refused', 3)


def test_a_track_is_judged_by_the_majority_of_its_estimates():
    tracks = ((YOUNG, ADULT), (ADULT, ADULT, YOUNG), (YOUNG, ADULT, ADULT, YOUNG))
    refuse_if_minor(
        CLIP, [each for track, estimates in enumerate(tracks) for each in observed(track, *estimates)], 'stand_in'
    )
    with pytest.raises(ContentRefused):
        refuse_if_minor(CLIP, observed(0, YOUNG, ADULT, YOUNG), 'stand_in')
    with pytest.raises(ContentRefused):
        refuse_if_minor(CLIP, [*observed(0, *[ADULT] * 50), *observed(1, YOUNG, YOUNG, ADULT)], 'stand_in')


def test_a_refusal_names_faces_frames_and_model_in_text_and_facts():
    with pytest.raises(ContentRefused) as caught:
        refuse_if_minor(CLIP, observed(4, YOUNG, ADULT, YOUNG)[::-1] + observed(5, ADULT), 'stand_in')
    error = caught.value
    assert 'scene.mp4' in error.message and 'stand_in' in error.message and error.hint
    assert error.cause == 'face 4: 2 of 3 estimates, such as 3 to 9 years in frame 0 at 0.00 s'
    facts = json.loads(json.dumps(error.as_record()))['facts']
    frames = [{'frame': n * 25, 'seconds': float(n), 'estimate': '3 to 9 years'} for n in (0, 2)]
    assert facts == {
        'file': str(CLIP),
        'models': [{'model_id': 'stand_in'}],
        'faces': [{'track': 4, 'looks': 3, 'under_18': 2, 'frames': frames}],
    }


@pytest.fixture
def weights(tmp_path):
    """A store whose fairface is the stand-in; the file does not exist yet."""
    data = stand_in()
    shipped = json.loads((SHIPPED / 'face_analysis.json').read_text())['models']
    (fairface,) = (entry for entry in shipped if entry['id'] == 'fairface')
    fairface |= {'size': len(data), 'sha256': hashlib.sha256(data).hexdigest()}
    entry = {'version': 1, 'models': [fairface]}
    (tmp_path / 'catalog').mkdir()
    (tmp_path / 'catalog' / 'fairface.json').write_text(json.dumps(entry))
    (tmp_path / 'weights').mkdir()
    return ModelStore(load_catalog(tmp_path / 'catalog'), tmp_path / 'weights', offline=False, emit=silent)


def test_the_age_model_is_used_when_its_weights_exist_and_never_fetched(weights, monkeypatch):
    monkeypatch.setattr(ModelStore, 'fetch', lambda self, ids: pytest.fail('a model was fetched'))
    pool = SessionPool(weights, ('cpu',), 0)
    assert find_age_estimator(pool, weights) is None
    (weights.weights / 'fairface.onnx').write_bytes(stand_in())
    found = find_age_estimator(pool, weights)
    assert found.model_id == 'fairface' and found.under_18(frame_of(1), FACE).under_18


def test_damaged_weights_are_reported(weights):
    (weights.weights / 'fairface.onnx').write_bytes(b'x')
    with pytest.raises(ModelError) as error:
        find_age_estimator(SessionPool(weights, ('cpu',), 0), weights)
    assert (error.value.reference, error.value.exit_code) == ('model-damaged', 6)


def test_a_catalogue_without_the_age_model_has_no_estimator(tmp_path):
    (tmp_path / 'some.json').write_text('{"version": 1, "models": []}')
    store = ModelStore(load_catalog(tmp_path), tmp_path / 'weights', offline=True, emit=silent)
    assert find_age_estimator(SessionPool(store, ('cpu',), 0), store) is None


def test_the_shipped_catalogue_contains_the_age_model():
    entry = load_catalog(SHIPPED).entry('fairface')
    assert entry.licence.id == 'CC-BY-4.0' and entry.size == 85170772 and entry.inputs[0].shape == (1, 3, 224, 224)
