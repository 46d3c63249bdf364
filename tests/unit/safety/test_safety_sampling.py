from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from facefusion.safety.sampling import IMAGE_SAMPLING, Sampling, ends_gap, is_sampled, plan_sampling, sample_step

RATES = st.fractions(min_value=Fraction(1, 10), max_value=1000)


@given(st.integers(1, 10**6), RATES)
def test_at_least_eight_frames_or_all_are_sampled_and_about_one_a_second(count, rate):
    step = sample_step(count, rate)
    regular = range(0, count, step)
    assert len(regular) >= min(8, count)
    assert 1 <= step <= max(1, rate)
    if count >= 8 * rate + 8:
        assert step == max(1, math.floor(rate))


@given(st.integers(0, 10**6), st.integers(1, 600), RATES, st.integers(1, 250))
def test_chunks_of_any_length_sample_the_same_frames(start, count, rate, chunk):
    sampling = plan_sampling(start, count, rate)
    chunks = [range(at, min(at + chunk, start + count)) for at in range(start, start + count, chunk)]
    found = [number for part in chunks for number in part if is_sampled(number, start, sampling.step)]
    assert found == list(sampling.regular) and found[0] == start
    assert all(number in sampling for number in found)
    assert start - 1 not in sampling and start + count not in sampling


@given(st.fractions(min_value=1, max_value=240), st.fractions(min_value=0, max_value=60))
def test_any_two_seconds_contain_two_regular_samples(rate, begin):
    step = sample_step(10**6, rate)
    shown = range(math.ceil(begin * rate), math.ceil((begin + 2) * rate))
    assert sum(is_sampled(number, 0, step) for number in shown) >= 2


@given(st.integers(1, 2000), RATES, st.integers(0, 50))
def test_frames_of_equal_duration_have_no_gaps(count, rate, start):
    step = sample_step(count, rate)
    assert not any(ends_gap(number, start, step, lambda n: float(n / rate)) for number in range(start, start + count))


@given(st.lists(st.sampled_from((0.001, 0.02, 0.04, 0.3, 0.5, 2.5)), min_size=1, max_size=400))
def test_no_frame_is_shown_a_second_after_the_last_sample(durations):
    times = [sum(durations[:number]) for number in range(len(durations))]
    step = sample_step(len(times), Fraction(len(times)) / Fraction(sum(durations)))
    last = 0
    for number in range(len(times)):
        if is_sampled(number, 0, step) or ends_gap(number, 0, step, times.__getitem__):
            last = number
        assert times[number] - times[last] < 1.0


def test_known_clips():
    assert sample_step(250, Fraction(25)) == 25
    assert sample_step(100, Fraction(25)) == 12
    assert (
        sample_step(15, Fraction(25)) == 1 and sample_step(1, Fraction(25)) == 1 and sample_step(0, Fraction(25)) == 1
    )
    assert sample_step(10_000, Fraction(30000, 1001)) == 29
    assert sample_step(100, Fraction(1, 5)) == 1
    assert not is_sampled(24, 25, 25)
    assert Sampling(0, 1, 1) == IMAGE_SAMPLING and list(IMAGE_SAMPLING.regular) == [0]
