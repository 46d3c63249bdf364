"""Tests of the values of one run, taken from its events."""

from __future__ import annotations

import time

import pytest
from fakes.fake_nvml import FakeNvml
from fakes.sleepers import SleepingSession

from facefusion.benchmark.cycle import ANALYSING, PROCESSING, CycleMeter, FrameProfile
from facefusion.benchmark.gpu import find_gpu
from facefusion.events import RunFinished, RunPlanned, StageFinished, StageProgress
from facefusion.pipeline.render import RENDER

PLANNED = RunPlanned('video', 'x', 10, 1, 1, 3, 1, 1, 1)


def burn(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


@pytest.fixture
def profile():
    profile = FrameProfile()
    # The values of an earlier run must not count.
    with profile.span(RENDER, 1), profile.span('mark'):
        time.sleep(0.05)
    profile.network('earlier', SleepingSession())
    profile.take_networks()
    return profile


def measured(profile, nvml=None):
    meter = CycleMeter(profile, find_gpu(0, lambda name: nvml) if nvml is not None else None)
    try:
        meter(PLANNED)
        meter(StageProgress(ANALYSING, 0, 10))
        with profile.span('decode'):
            burn(0.1)
        meter(StageFinished(ANALYSING, 10, 0.1))
        time.sleep(0.05)
        meter(StageProgress(PROCESSING, 0, 10))
        with profile.span(RENDER, 2):
            time.sleep(0.08)
        with profile.span('decode'):
            time.sleep(0.02)
        meter(StageFinished(PROCESSING, 10, 0.1))
        if nvml is not None:
            nvml.used, nvml.millijoules = 700, 9_000
        assert meter.cycle is None
        meter(RunFinished('out.mp4', {'faces': 20}))
        return meter.cycle
    finally:
        meter.close()


def test_phases_and_stages_have_their_own_times(profile, no_thread_stays):
    cycle = measured(profile)
    analysing, processing = cycle.phases[ANALYSING], cycle.phases[PROCESSING]
    assert set(analysing.times) == {('decode',)} and set(processing.times) == {('decode',), (RENDER,)}
    # The upper limits allow for a busy machine.
    assert 0.1 <= analysing.seconds < 5 and 0.1 <= processing.seconds < 5
    assert analysing.times['decode',].seconds >= 0.1
    assert 0.02 <= processing.times['decode',].seconds < processing.seconds
    assert set(cycle.times) == {('decode',), (RENDER,)} and cycle.times['decode',].calls == 2
    assert cycle.seconds >= 0.25


def test_cpu_seconds_are_those_of_the_run_and_the_phase(profile):
    cycle = measured(profile)
    assert cycle.phases[ANALYSING].cpu_seconds >= 0.1 > cycle.phases[PROCESSING].cpu_seconds
    assert 0.1 <= cycle.cpu_seconds < 3


def test_the_seconds_of_a_batch_are_shared_by_its_frames(profile):
    for _ in range(2):
        first, second = measured(profile).frame_seconds
        assert first == second and 0.04 <= first < 3


def test_counts_plan_and_memory_are_kept(profile):
    cycle = measured(profile)
    assert cycle.faces == 20 and cycle.plan.workers == 3
    assert cycle.readings.peak_memory_bytes > 10_000_000
    assert cycle.readings.device_memory_bytes is None and cycle.readings.gpu_joules is None


def test_a_card_is_measured_in_the_run(profile):
    cycle = measured(profile, FakeNvml(used=300, millijoules=2_000))
    assert cycle.readings.device_memory_bytes == 700 and cycle.readings.gpu_joules == 7


def test_networks_are_those_loaded_since_the_last_call(profile):
    profile.network('swapper', SleepingSession())
    assert profile.take_networks() == {'swapper': ('SleepExecutionProvider', 'CPUExecutionProvider')}
    assert profile.take_networks() == {}
