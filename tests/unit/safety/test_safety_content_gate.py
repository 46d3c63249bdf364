from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facefusion.errors import ContentRefused, InternalError, ModelError, error_from_record
from facefusion.safety.content_gate import ContentGate, Sample

CLIP = Path('films') / 'scene.mp4'
STEP = 25


class StandIn:
    """A classifier whose score is the brightness of the first pixel in percent."""

    def __init__(self, model_id='stand_in', threshold=0.8):
        self.model_id, self.threshold = model_id, threshold

    def scores(self, images):
        return np.array([image[0, 0, 0] / 100 for image in images], np.float32)


class Fixed:
    model_id, threshold = 'broken', 0.5

    def __init__(self, scores):
        self.given = np.array(scores, np.float32)

    def scores(self, images):
        return self.given


def picture(percent):
    return np.full((4, 6, 3), percent, np.uint8)


def clip(positive, count=7200, step=STEP, extra=()):
    """Return regular samples and ``extra`` ones between them; those in the frames ``positive`` are positive."""
    frames = sorted({*range(0, count * step, step), *extra})
    return [Sample(frame, frame / 25, (0.9 if frame in positive else 0.1,)) for frame in frames]


def decide(samples, step=STEP):
    ContentGate([StandIn()], 1).refuse_if_unsafe(CLIP, samples, step)


def refuses(samples, step=STEP):
    try:
        decide(samples, step)
    except ContentRefused as error:
        assert (error.reference, error.exit_code) == ('content-refused', 3)
        return True
    return False


def test_each_image_gets_a_score_of_each_classifier():
    gate = ContentGate([StandIn('a'), StandIn('b')], 1)
    assert gate.classify([picture(10), picture(90)]) == [
        tuple(np.float32([0.1, 0.1]).tolist()),
        tuple(np.float32([0.9, 0.9]).tolist()),
    ]
    assert gate.classify([]) == []
    assert gate.model_ids == ('a', 'b')


def test_an_image_is_positive_when_enough_classifiers_reach_their_thresholds():
    gate = ContentGate([StandIn('a', 0.8), StandIn('b', 0.25), StandIn('c', 0.5)], 2)
    assert not gate.is_positive((0.9, 0.2, 0.4))
    assert gate.is_positive((0.8, 0.25, 0.0)) and gate.is_positive((0.0, 0.3, 0.9))
    assert not gate.is_positive((0.799, 0.25, 0.0))
    assert [gate.count_votes(scores) for scores in ((0.7, 0.2, 0.4), (0.9, 0.2, 0.4), (0.8, 0.25, 0.5))] == [0, 1, 3]


@pytest.mark.parametrize('votes', [0, -1, 2])
def test_an_impossible_number_of_votes_is_a_bug(votes):
    with pytest.raises(InternalError):
        ContentGate([StandIn()], votes)


@pytest.mark.parametrize('scores', [[np.nan], [np.inf], [-np.inf], [], [0.1, 0.1], [[0.1]]], ids=str)
def test_a_classifier_without_usable_scores_is_an_error(scores):
    with pytest.raises(ModelError) as error:
        ContentGate([Fixed(scores)], 1).classify([picture(1)])
    assert (error.value.reference, error.value.exit_code) == ('gate-scores', 6)
    assert 'broken' in error.value.message and 'expected 1 finite numbers' in error.value.cause


def test_each_classifier_has_its_own_scale():
    gate = ContentGate([Fixed([-14.25]), StandIn()], 1)
    assert gate.classify([picture(50)]) == [(-14.25, 0.5)]
    gate.refuse_if_unsafe(CLIP, [Sample(0, 0.0, (-14.25, 0.5))], 1)
    with pytest.raises(ContentRefused) as error:
        gate.refuse_if_unsafe(CLIP, [Sample(0, 0.0, (12.5, 0.5))], 1)
    assert error.value.cause.startswith('broken 12.500 (threshold 0.5), stand_in 0.500 (threshold 0.8) (')


def test_an_image_is_refused_by_its_one_sample():
    assert not refuses([Sample(0, 0.0, (0.79,))], 1)
    with pytest.raises(ContentRefused) as error:
        decide([Sample(0, 0.0, (0.8,))], 1)
    assert 'scene.mp4 is refused' in error.value.message
    assert error.value.cause == 'stand_in 0.800 (threshold 0.8)'


@pytest.mark.parametrize('count', range(1, 8))
def test_one_positive_of_fewer_than_eight_samples_refuses(count):
    assert refuses(clip({(count - 1) * STEP}, count))
    assert not refuses(clip(set(), count))
    twice = clip({0}, count) * 9  # repeated frames do not count as more samples
    assert refuses(twice)


def test_one_false_alarm_in_a_long_film_is_not_refused():
    for number in (0, 3599, 7199):
        assert not refuses(clip({number * STEP}))
    assert not refuses(clip({0}, 8))


def test_false_alarms_far_apart_are_not_refused():
    assert not refuses(clip({number * STEP for number in range(0, 7200, 8)}))
    assert refuses(clip({100 * STEP, 107 * STEP}))
    assert not refuses(clip({100 * STEP, 108 * STEP}))


@pytest.mark.parametrize('offset', range(25))
def test_every_scene_of_two_seconds_is_refused(offset):
    start = 1000 * STEP + offset
    assert refuses(clip(set(range(start, start + 50))))


@pytest.mark.parametrize('offset', range(25))
def test_a_scene_of_one_and_a_half_seconds_is_refused_with_its_shot_start(offset):
    start = 1000 * STEP + offset
    assert refuses(clip(set(range(start, start + 38)), extra=(start,)))


@pytest.mark.parametrize('offset', range(25))
def test_a_flash_of_less_than_half_a_second_is_one_false_alarm_even_at_a_cut(offset):
    start = 1000 * STEP + offset
    assert not refuses(clip(set(range(start, start + 12)), extra=(start,)))


def test_harmless_shots_between_do_not_dilute_a_scene():
    start = 1000 * STEP
    positive = {start, start + 2 * STEP}
    assert refuses(clip(positive, extra=range(start + 1, start + 49)))


def test_the_order_of_the_samples_does_not_matter():
    samples = clip({100 * STEP, 103 * STEP})
    assert refuses(samples[::-1]) and refuses(samples[3000:] + samples[:3000])


def test_neighbours_in_a_clip_whose_every_frame_is_sampled_count_as_two():
    assert refuses(clip({3, 4}, 12, step=1), 1) and not refuses(clip({3}, 12, step=1), 1)


def test_a_frame_shown_for_two_seconds_is_judged_like_an_image():
    samples, gate = clip({100 * STEP}), ContentGate([StandIn()], 1)
    gate.refuse_if_unsafe(CLIP, samples, STEP, lambda frame: 1.9)
    gate.refuse_if_unsafe(CLIP, samples, STEP, lambda frame: 0.04 if frame == 100 * STEP else 9.0)
    with pytest.raises(ContentRefused):
        gate.refuse_if_unsafe(CLIP, samples, STEP, lambda frame: 2.0)


def test_samples_half_a_second_apart_count_as_two_with_any_number_of_frames():
    def slow(gap):
        return [Sample(n * STEP, float(n), (0.1,)) for n in range(9)] + [
            Sample(205, 9.0, (0.9,)),
            Sample(206, 9.0 + gap, (0.9,)),
        ]

    assert refuses(slow(0.5)) and not refuses(slow(0.4))


@pytest.mark.parametrize('samples', [[], [Sample(0, 0.0, ())], [Sample(0, 0.0, (0.1, 0.1))]], ids=len)
def test_missing_scores_are_a_bug(samples):
    with pytest.raises(InternalError):
        decide(samples)


def test_a_refusal_names_frames_times_scores_thresholds_and_models_in_text_and_facts():
    gate = ContentGate([StandIn('first', 0.8), StandIn('second', 0.6)], 2)
    samples = [Sample(n * STEP, n * 1.0, (0.9, 0.7) if 3 <= n < 9 else (0.9, 0.1)) for n in range(20)]
    with pytest.raises(ContentRefused) as caught:
        gate.refuse_if_unsafe(CLIP, samples, STEP)
    error = caught.value
    assert 'scene.mp4' in error.message and '6 of the 20 frames' in error.message
    assert 'frame 75 at 3.00 s: first 0.900 (threshold 0.8), second 0.700 (threshold 0.6)' in error.cause
    assert 'and 2 more' in error.cause and '(positive with at least 2 of 2 votes)' in error.cause and error.hint
    facts = json.loads(json.dumps(error.as_record()))['facts']
    assert facts['file'] == str(CLIP) and (facts['samples'], facts['positive'], facts['votes']) == (20, 6, 2)
    assert facts['models'] == [{'model_id': 'first', 'threshold': 0.8}, {'model_id': 'second', 'threshold': 0.6}]
    assert facts['frames'] == [
        {'frame': n * STEP, 'seconds': float(n), 'scores': [0.9, 0.7]} for n in (3, 4, 5, 6, 7, 8)
    ]
    assert error_from_record(error.as_record()).facts == error.facts


def test_the_record_of_a_refusal_is_limited():
    with pytest.raises(ContentRefused) as error:
        decide(clip(set(range(7200 * STEP))))
    assert len(json.dumps(error.value.as_record())) < 10_000
    assert error.value.facts['positive'] == 7200
