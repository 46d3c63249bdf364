from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.gate_networks import BLACK, CHANNELS, plain, store_with
from fakes.model_sessions import TensorSession

from facefusion.errors import ModelError
from facefusion.inference.pool import SessionPool
from facefusion.models.catalog import Contract, load_catalog
from facefusion.safety.content_gate import ContentGate
from facefusion.safety.published_classifiers import PublishedClassifier, network_input
from facefusion.safety.voters import PUBLISHED

CATALOG = load_catalog(Path(__file__).parents[3] / 'models' / 'catalog')
CONTRACTS = {name: CATALOG.entry(name).contract for name in PUBLISHED}
# The facts of FaceFusion 3.8.1 (peer-models.md section 10): side of the input, mean, deviation.
FACTS = {
    'nsfw_1': (640, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    'nsfw_2': (384, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    'nsfw_3': (448, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}
# Blue, green and red differ, and none of them is half or full.
COLOUR = (51, 102, 204)
DETECTOR = np.zeros((1, 9, 8400), np.float32)


def classifier(name: str, *outputs: np.ndarray) -> PublishedClassifier:
    return PublishedClassifier(name, TensorSession(*outputs), CONTRACTS[name])


def score(name: str, output) -> float:
    (found,) = classifier(name, np.array(output, np.float32)).scores([plain(BLACK)])
    return float(found)


def positive(name: str, output) -> bool:
    gate = ContentGate([classifier(name, np.array(output, np.float32))], 1)
    return gate.is_positive(gate.classify([plain(BLACK)])[0])


def detection(value: float, row: int = 8, box: int = 8399) -> np.ndarray:
    """Return the output of a detector with one score."""
    output = DETECTOR.copy()
    output[0, :4], output[0, row, box] = 600, value
    return output


@pytest.mark.parametrize('name', PUBLISHED)
@pytest.mark.parametrize(('height', 'width'), [(100, 200), (200, 100), (64, 64), (1000, 500)], ids=str)
def test_the_input_is_the_whole_image_in_rgb_centred_on_normalised_black(name, height, width):
    side, mean, deviation = FACTS[name]
    rgb = np.zeros((3, side, side))
    tall, wide = round(side * min(1, height / width)), round(side * min(1, width / height))
    top, left = (side - tall) // 2, (side - wide) // 2
    rgb[:, top : top + tall, left : left + wide] = np.array(COLOUR[::-1]).reshape(3, 1, 1) / 255
    wanted = (rgb - np.array(mean).reshape(3, 1, 1)) / np.array(deviation).reshape(3, 1, 1)
    made = network_input(plain(COLOUR, height, width), CONTRACTS[name])
    assert made.shape == (1, 3, side, side) and made.dtype == np.float32 and made.flags.c_contiguous
    assert np.allclose(made[0], wanted, atol=1e-5)


def test_an_odd_margin_is_smaller_at_the_left_and_at_the_top():
    contract = Contract('nsfw_2', size=(10, 10), mean=(0, 0, 0), std=(1, 1, 1))
    wide, tall = (network_input(plain((255,) * 3, *size), contract)[0, 0] for size in ((7, 10), (10, 7)))
    assert [row for row in range(10) if wide[row].any()] == list(range(1, 8))
    assert [column for column in range(10) if tall[:, column].any()] == list(range(1, 8))
    # 10 * 0.77 is cut to 7, and not rounded to 8.
    cut = network_input(plain((255,) * 3, 77, 100), contract)[0, 0]
    assert np.count_nonzero(cut.any(1)) == 7


def test_the_sides_of_the_input_are_width_and_height():
    contract = Contract('nsfw_2', size=(12, 6), mean=(0, 0, 0), std=(1, 1, 1))
    made = network_input(plain((255,) * 3, 6, 6), contract)[0, 0]
    assert made.shape == (6, 12) and made[:, 3:9].all() and not made[:, :3].any() and not made[:, 9:].any()


@pytest.mark.parametrize('shape', [(1, 1), (1, 70_000), (70_000, 1), (3, 5000)], ids=str)
def test_images_of_any_shape_fit(shape):
    made = network_input(plain((255,) * 3, *shape), CONTRACTS['nsfw_1'])
    assert made.shape == (1, 3, 640, 640) and made.any()


def test_a_view_of_a_larger_array_has_the_same_input():
    image = np.random.default_rng(1).integers(0, 256, (90, 130, 3), np.uint8)
    for view in (image[10:60, 20:110], image[:, ::-1], image[::2, ::3]):
        assert np.array_equal(network_input(view, CONTRACTS['nsfw_3']), network_input(view.copy(), CONTRACTS['nsfw_3']))


def test_each_image_is_a_call_of_its_own_in_the_given_order():
    session = TensorSession(np.array([[0.75, 0.25]], np.float32))
    scores = PublishedClassifier('nsfw_2', session, CONTRACTS['nsfw_2']).scores(
        [plain((value,) * 3) for value in (0, 51, 255)]
    )
    assert scores.dtype == np.float32 and scores.tolist() == [0.5, 0.5, 0.5]
    assert [fed.shape for fed in session.fed] == [(1, 3, 384, 384)] * 3
    assert [round(float(fed[0, 0, 190, 190]), 3) for fed in session.fed] == [-1.0, -0.6, 1.0]
    assert classifier('nsfw_2', np.zeros((1, 2))).scores([]).shape == (0,)


@pytest.mark.parametrize(('row', 'box'), [(4, 0), (8, 8399), (6, 4000)], ids=str)
def test_the_detector_counts_the_highest_score_of_any_class_in_any_box(row, box):
    assert score('nsfw_1', detection(0.875, row, box)) == 0.875
    assert score('nsfw_1', DETECTOR - 3) == -3


def test_coordinates_of_boxes_are_not_scores():
    assert score('nsfw_1', detection(0.0)) == 0.0


def test_the_scores_are_those_of_facefusion():
    assert score('nsfw_2', [[0.75, 0.25]]) == 0.5 and score('nsfw_2', [[0.25, 0.75]]) == -0.5
    assert score('nsfw_3', [[1, 2, 4, 8]]) == 9.0 and score('nsfw_3', [[8, 4, 2, 1]]) == -9.0
    assert score('nsfw_3', [[0, 8, 4, 2]]) == score('nsfw_3', [[8, 0, 2, 4]]) == -2.0


def test_the_thresholds_are_those_of_facefusion():
    assert not positive('nsfw_1', detection(0.199)) and positive('nsfw_1', detection(0.201))
    assert not positive('nsfw_2', [[0.62, 0.38]]) and positive('nsfw_2', [[0.63, 0.37]])
    assert not positive('nsfw_3', [[0, 0, 5, 5.49]]) and positive('nsfw_3', [[0, 0, 5, 5.51]])


@pytest.mark.parametrize(
    ('name', 'output'),
    [
        ('nsfw_1', np.zeros((1, 4, 5))),
        ('nsfw_1', np.zeros((1, 9, 0))),
        ('nsfw_1', np.zeros((2, 9, 5))),
        ('nsfw_1', np.zeros((9, 5))),
        ('nsfw_1', np.zeros(1)),
        ('nsfw_1', np.full((1, 9, 5), np.nan)),
        ('nsfw_1', detection(np.inf)),
        ('nsfw_2', np.zeros((1, 3))),
        ('nsfw_2', np.zeros(2)),
        ('nsfw_2', np.zeros((2, 2))),
        ('nsfw_2', np.array([[np.nan, 0]])),
        ('nsfw_2', np.array([[np.inf, np.inf]])),
        ('nsfw_3', np.zeros((1, 2))),
        ('nsfw_3', np.zeros((1, 5))),
        ('nsfw_3', np.zeros((1, 1, 4))),
        ('nsfw_3', np.array([[0, 0, 0, np.nan]])),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.shape),
)
def test_an_unusable_output_is_an_error(name, output):
    gate = ContentGate([classifier(name, output.astype(np.float32))], 1)
    with pytest.raises(ModelError) as error:
        gate.classify([plain(BLACK)])
    assert (error.value.reference, error.value.exit_code) == ('gate-scores', 6)
    assert name in error.value.message and f'models verify {name}' in error.value.hint


def test_the_catalogue_has_the_facts_of_each_network():
    for name, (side, mean, deviation) in FACTS.items():
        entry = CATALOG.entry(name)
        assert entry.contract == Contract(name, size=(side, side), mean=mean, std=deviation)
        assert entry.inputs[0].shape == (1, 3, side, side)
        assert [len(output.shape) for output in entry.outputs] == [3 if name == 'nsfw_1' else 2]


@pytest.mark.parametrize('name', PUBLISHED)
def test_a_network_in_onnx_runtime_measures_the_right_colour_of_the_letterboxed_image(name, tmp_path):
    sessions = SessionPool(store_with(tmp_path, PUBLISHED), ('cpu',), 0)
    published = PublishedClassifier(name, sessions.session(name), sessions.contract(name))
    channel = COLOUR[2 - CHANNELS[name]] / 255
    scores = published.scores([plain(COLOUR, 60, 60), plain(COLOUR, 30, 60)])
    scale, offset = {'nsfw_1': (1, 0), 'nsfw_2': (2, -1), 'nsfw_3': (32, -16)}[name]
    assert scores == pytest.approx([scale * channel + offset, scale * channel / 2 + offset], abs=1e-3)
