"""Tests that a profile assigns the time of a run to its stages."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from fakes.runs import FRAMES, execute_run
from fakes.sleepers import NETWORK, POST, PRE, Sleeper, SleepingSession

from facefusion.errors import Interrupted
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.profiled_faces import profiled
from facefusion.pipeline.render import RENDER
from facefusion.processors.registration import Requirements
from facefusion.profiling import RecordedProfile
from facefusion.stopping import StopFlag

# A sleep may take longer on a busy machine, never shorter.
SLACK = 3


@pytest.fixture
def profiled_run(runs):
    """Return a function that builds a run of 60 frames with a sleeping processor, and its profile."""

    def build(workers=1, before=lambda number: None, flag=None):
        profile = RecordedProfile()
        run = runs.build(workers=workers, flag=flag)
        sleeper = Sleeper(profile.network('sleeping', SleepingSession()), before)
        chain = Chain(((sleeper, Requirements(every_frame=True)),), profile)
        faces = replace(run.faces, analyser=profiled(run.faces.analyser, run.faces.meters, profile)[0])
        return replace(run, context=replace(run.context, profile=profile), chain=chain, faces=faces), profile

    return build


def test_a_sleeping_processor_and_its_network_show_up_in_their_own_parts(profiled_run):
    run, profile = profiled_run()
    execute_run(run)
    times = profile.times()
    parts = {'pre': PRE, 'network sleeping': NETWORK, 'post': POST}
    for part, seconds in parts.items():
        found = times[RENDER, 'sleeper', part]
        assert found.calls == FRAMES
        assert FRAMES * seconds <= found.seconds < FRAMES * seconds * SLACK, part


def test_every_stage_of_a_clip_is_timed(profiled_run):
    run, profile = profiled_run(workers=2)
    execute_run(run)
    times = profile.times()
    stages = {('decode',), ('analyse',), ('analyse', 'detect'), ('analyse', 'mesh'), ('content gate',), ('link',)}
    stages |= {(RENDER,), (RENDER, 'sleeper'), (RENDER, 'convert'), ('encode',), ('join',), ('sign',)}
    assert stages <= times.keys()
    # Both phases decode every frame; a frame is analysed, processed and converted once.
    assert times['decode',].calls >= 2 * FRAMES
    assert times[RENDER, 'sleeper'].calls == times[RENDER, 'convert'].calls == FRAMES
    assert times['encode',].calls >= FRAMES


@pytest.mark.parametrize('workers', [1, 2])
def test_the_stages_add_up_to_the_wall_time_of_the_threads(profiled_run, workers):
    run, profile = profiled_run(workers=workers)
    began = time.perf_counter()
    execute_run(run)
    wall = time.perf_counter() - began
    times = profile.times()
    rendered = sum(each.seconds for path, each in times.items() if path[0] == RENDER)
    # The workers sleep nearly all the time, so together they are busy for the time of rendering, times their number.
    assert rendered >= FRAMES * (PRE + NETWORK + POST)
    others = ('decode', 'analyse', 'content gate', 'link', 'join', 'sign', 'encode')
    serial = sum(each.seconds for path, each in times.items() if path[0] in others)
    assert rendered / workers <= wall
    assert wall <= rendered / workers * 1.35 + serial + 0.5


def test_the_processing_time_does_not_leak_into_other_stages(profiled_run):
    run, profile = profiled_run()
    execute_run(run)
    times = profile.times()
    slept = FRAMES * (PRE + NETWORK + POST)
    for stage in ('encode', 'decode', 'analyse', 'sign', 'join'):
        assert times[stage,].seconds < slept / 2


def test_an_interrupted_run_has_the_stages_so_far(profiled_run):
    flag = StopFlag()

    def stop(number):
        if number == 15:
            flag.set('the test wants this')

    run, profile = profiled_run(before=stop, flag=flag)
    with pytest.raises(Interrupted):
        execute_run(run)
    assert 15 <= profile.times()[RENDER, 'sleeper'].calls < FRAMES
    assert ('sign',) not in profile.times()
