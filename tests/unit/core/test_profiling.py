"""Tests of the times and the trace of a profile."""

from __future__ import annotations

import io
import json
import threading
import time
from itertools import pairwise

import pytest

from facefusion import profiling
from facefusion.profiling import NO_PROFILE, RecordedProfile


class Clock:
    """A clock that moves only when a test waits or works."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def sleep(self, seconds):
        self.wall += seconds

    def work(self, seconds):
        self.wall += seconds
        self.cpu += seconds

    def perf_counter_ns(self):
        return round(self.wall * 1e9)

    def thread_time_ns(self):
        return round(self.cpu * 1e9)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(profiling, 'time', clock)
    return clock


class Session:
    def __init__(self, wait=lambda seconds: None):
        self.wait = wait

    def get_inputs(self):
        return ['input']

    def run(self, names, feeds):
        self.wait(0.02)
        return [feeds]


def trace_of(profile):
    stream = io.StringIO()
    profile.write(stream)
    return json.loads(stream.getvalue())


def stages(trace):
    return [event for event in trace['traceEvents'] if event['ph'] == 'X']


def test_the_time_of_a_stage_excludes_the_stages_inside_it(clock):
    profile = RecordedProfile()
    with profile.span('outer'):
        clock.sleep(0.03)
        with profile.span('inner'):
            clock.sleep(0.05)
    times = profile.times()
    assert times['outer',].seconds == pytest.approx(0.03)
    assert times['outer', 'inner'].seconds == pytest.approx(0.05)
    assert times['outer', 'inner'].calls == 1


def test_cpu_seconds_are_those_of_work_and_not_of_waiting(clock):
    profile = RecordedProfile()
    with profile.span('waiting'):
        clock.sleep(0.05)
    with profile.span('working'):
        clock.work(0.05)
    times = profile.times()
    assert times['waiting',].cpu_seconds == 0
    assert times['working',].cpu_seconds == pytest.approx(0.05)


def test_a_processor_is_divided_at_its_calls_of_networks(clock):
    profile = RecordedProfile()
    session = profile.network('swapper', Session(clock.sleep))
    with profile.processor('face_swapper', 2):
        clock.sleep(0.03)
        assert session.run(None, 5) == [5]
        clock.sleep(0.01)
        session.run(None, 6)
        clock.sleep(0.03)
    times = profile.times()
    assert times['face_swapper', 'pre'].seconds == pytest.approx(0.03)
    assert times['face_swapper', 'network swapper'].seconds == pytest.approx(0.04)
    assert times['face_swapper', 'network swapper'].calls == 2
    assert times['face_swapper', 'post'].seconds == pytest.approx(0.04)
    names = [event['name'] for event in stages(trace_of(profile))]
    # The trace shows the parts around the networks in their order.
    assert names == ['face_swapper', 'pre', 'network swapper', 'network swapper', 'post']
    whole, pre, _, last, post = stages(trace_of(profile))
    assert pre['dur'] == pytest.approx(30_000) and post['dur'] == pytest.approx(30_000)
    assert whole['ts'] < pre['ts'] and last['ts'] + last['dur'] <= post['ts']
    assert post['ts'] + post['dur'] <= whole['ts'] + whole['dur']


def test_a_processor_without_a_network_has_only_a_pre_part(clock):
    profile = RecordedProfile()
    with profile.processor('debugger', 1):
        clock.sleep(0.02)
    assert profile.times()['debugger', 'pre'].seconds == pytest.approx(0.02)
    assert profile.times()['debugger', 'post'].seconds == 0


def test_a_timed_session_passes_everything_on():
    session = RecordedProfile().network('model', Session())
    assert session.get_inputs() == ['input']


def test_the_time_to_produce_items_is_a_stage_and_closing_closes_the_producer(clock):
    profile, closed = RecordedProfile(), []

    def slow():
        try:
            for number in range(5):
                clock.sleep(0.01)
                yield number
        finally:
            closed.append(True)

    items = profile.items('decode', slow())
    assert [next(items), next(items)] == [0, 1]
    clock.sleep(0.05)
    items.close()
    assert closed == [True]
    assert profile.times()['decode',].seconds == pytest.approx(0.02)


def test_stages_of_threads_have_rows_of_their_own_and_never_overlap_in_a_row():
    profile, barrier = RecordedProfile(), threading.Barrier(3)

    def work():
        barrier.wait()
        for _ in range(3):
            with profile.span('outer'), profile.span('inner'):
                time.sleep(0.002)

    threads = [threading.Thread(target=work, name=f'worker_{number}') for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert profile.times()['outer', 'inner'].calls == 9
    trace = trace_of(profile)
    rows = {event['tid'] for event in stages(trace)}
    names = {e['tid']: e['args']['name'] for e in trace['traceEvents'] if e['name'] == 'thread_name'}
    assert len(rows) == 3 and sorted(names[row] for row in rows) == ['worker_0', 'worker_1', 'worker_2']
    for row in rows:
        outer = sorted((e['ts'], e['ts'] + e['dur']) for e in stages(trace) if e['tid'] == row and e['name'] == 'outer')
        assert all(end <= start for (_, end), (start, _) in pairwise(outer))
        inner = [(e['ts'], e['ts'] + e['dur']) for e in stages(trace) if e['tid'] == row and e['name'] == 'inner']
        assert all(any(a <= start and end <= b for a, b in outer) for start, end in inner)


def test_stages_of_the_trace_have_no_arguments_by_which_a_viewer_would_tell_them_apart():
    profile = RecordedProfile()
    with profile.span('render', 2), profile.processor('debugger', 2):
        pass
    assert all(event.keys() == {'name', 'cat', 'ph', 'pid', 'tid', 'ts', 'dur'} for event in stages(trace_of(profile)))


def test_a_full_trace_counts_the_dropped_stages_and_the_times_go_on():
    profile = RecordedProfile(most_events=10)
    for _ in range(25):
        with profile.span('stage'):
            pass
    trace = trace_of(profile)
    assert len(stages(trace)) == 10
    assert trace['otherData']['dropped_events'] == profile.dropped_events == 15
    assert profile.times()['stage',].calls == 25


def test_a_stage_that_fails_is_recorded_and_its_thread_continues():
    profile = RecordedProfile()
    with pytest.raises(ValueError, match='bad'), profile.span('outer'), profile.span('failing'):
        raise ValueError('bad')
    with profile.span('next'):
        pass
    assert list(profile.times()) == [('outer', 'failing'), ('outer',), ('next',)]


def test_no_profile_returns_the_same_objects_and_costs_little():
    session, items = object(), [1, 2]
    assert NO_PROFILE.network('model', session) is session
    assert NO_PROFILE.items('decode', items) is items
    began = time.thread_time()
    for _ in range(10_000):
        with NO_PROFILE.span('stage'):
            pass
    # A frame has about 20 stages, so they cost less than 0.2 ms of a frame even on a slow machine.
    assert time.thread_time() - began < 0.1
