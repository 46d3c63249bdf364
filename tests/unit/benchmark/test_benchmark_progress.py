"""Tests of the time left of a benchmark."""

from __future__ import annotations

import pytest

from facefusion.benchmark import progress as module
from facefusion.benchmark.progress import BenchmarkProgress, without_repeats
from facefusion.events import Message, StageFinished


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(module, 'time', clock)
    return clock


def test_large_frames_count_more_in_the_time_left(clock):
    events = []
    progress = BenchmarkProgress(events.append, ['240p', '2160p'], runs=2, frames=10)
    assert (events[-1].done, events[-1].total, events[-1].seconds_left) == (0, 40, None)
    progress.begin('face_swapper', '240p')
    clock.now += 10
    progress.end('240p')
    small, large = 300_000 + 426 * 240, 300_000 + 3840 * 2160
    assert events[-1].done == 20
    assert events[-1].seconds_left == pytest.approx(10 * large / small, rel=0.01)
    # The bar computes the time left from the frames and the rate.
    assert 20 / events[-1].rate == pytest.approx(events[-1].seconds_left, rel=0.01)
    progress.begin('face_swapper', '2160p')
    progress.at('2160p', 1, 5)
    assert events[-1].done == 35 and events[-1].detail == 'face_swapper 2160p'
    progress.end('2160p')
    progress.finish()
    assert events[-2].done == 40 and isinstance(events[-1], StageFinished)


def test_a_case_that_is_left_out_does_not_make_the_rest_look_fast(clock):
    events = []
    progress = BenchmarkProgress(events.append, ['240p'] * 4, runs=1, frames=10)
    progress.end('240p', is_skipped=True)
    progress.end('240p', is_skipped=True)
    clock.now += 30
    progress.end('240p')
    assert events[-1].seconds_left == pytest.approx(30)


def test_a_message_is_shown_once():
    events = []
    emit = without_repeats(events.append)
    for text in ('a', 'b', 'a'):
        emit(Message('warn', 'plan', text))
    emit(StageFinished('x', 1, 1.0))
    emit(StageFinished('x', 1, 1.0))
    assert [getattr(event, 'text', 'stage') for event in events] == ['a', 'b', 'stage', 'stage']
