"""Tests of finding gaps in the times of clips with a constant frame rate."""

from __future__ import annotations

from array import array
from fractions import Fraction

import pytest

from facefusion.media.gaps import SHOWN_GAPS, find_gaps, gaps_as_text

MILLISECONDS, CLOCK = Fraction(1, 1000), Fraction(1, 90000)
RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001), Fraction(1)]


def times(rate, base, without=(), count=300, begin=Fraction(7, 5)):
    return array('q', [round((begin + number / rate) / base) for number in range(count) if number not in without])


@pytest.mark.parametrize('rate', RATES)
@pytest.mark.parametrize('base', [MILLISECONDS, CLOCK])
def test_a_complete_steady_clip_has_no_gaps(rate, base):
    assert find_gaps(times(rate, base), base, 'matroska') == ()


@pytest.mark.parametrize('rate', RATES)
@pytest.mark.parametrize('base', [MILLISECONDS, CLOCK])
def test_missing_frames_are_found_at_their_times(rate, base):
    first, second = find_gaps(times(rate, base, {50, *range(200, 260)}), base, 'mpegts')
    assert (first.number, first.missing, second.number, second.missing) == (49, 1, 198, 60)
    assert second.begin == pytest.approx(200 / rate, abs=0.005) and second.end == pytest.approx(260 / rate, abs=0.002)


def test_a_gap_may_be_longer_than_the_clip():
    (gap,) = find_gaps(times(Fraction(30000, 1001), MILLISECONDS, range(100, 50000), 50100), MILLISECONDS, 'matroska')
    assert abs(gap.missing - 49900) < 30


def test_times_rounded_to_milliseconds_are_steady():
    rounded = times(Fraction(30000, 1001), MILLISECONDS, {77})
    assert [gap.number for gap in find_gaps(array('q', [90 * time for time in rounded]), CLOCK, 'mpegts')] == [76]


def test_a_variable_rate_has_no_gaps():
    uneven = array('q', [40 * number + 11 * (number % 3) for number in range(300)])
    assert find_gaps(uneven, MILLISECONDS, 'matroska') == ()
    off_grid = array('q', [40 * number + 57 * (number > 99) for number in range(300)])
    assert find_gaps(off_grid, MILLISECONDS, 'matroska') == ()
    # A clip in which every eighth frame is missing counts as a clip with a variable frame rate.
    assert find_gaps(times(Fraction(25), MILLISECONDS, set(range(0, 300, 8))), MILLISECONDS, 'matroska') == ()
    # No gaps are reported where rounding hides the intervals, in clips that are too short, or in MP4.
    assert find_gaps(times(Fraction(400), MILLISECONDS, {50}), MILLISECONDS, 'matroska') == ()
    assert find_gaps(times(Fraction(25), MILLISECONDS, {5}, 20), MILLISECONDS, 'matroska') == ()
    assert find_gaps(times(Fraction(25), MILLISECONDS, {50}), MILLISECONDS, 'mp4') == ()


def test_the_text_names_the_first_few_gaps():
    gaps = find_gaps(times(Fraction(25), CLOCK, {25, 26}), CLOCK, 'mpegts')
    assert (
        gaps_as_text(gaps)
        == '2 frames are missing from its constant rate, at 1.00-1.08 seconds: lost, or never recorded'
    )
    gaps = find_gaps(times(Fraction(25), CLOCK, set(range(20, 300, 30))), CLOCK, 'mpegts')
    assert len(gaps) == 10 and f' and at {10 - SHOWN_GAPS} more times:' in gaps_as_text(gaps)
