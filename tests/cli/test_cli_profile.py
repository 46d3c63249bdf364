"""Tests of ``--profile``: the trace is written whether a run succeeds, is interrupted or fails."""

from __future__ import annotations

import json
import os
import signal

import pytest
from fakes.sleepers import MODEL, NETWORK, POST, PRE, install_sleeper

pytestmark = pytest.mark.network
SLEEPER = ('--processors', 'sleeper')


def stages(path):
    return [event for event in json.loads(path.read_text())['traceEvents'] if event['ph'] == 'X']


def names(path):
    return {event['name'] for event in stages(path)}


def test_the_trace_of_a_clip_has_its_stages_with_their_networks(program, face_clip, portrait_source, tmp_path):
    words = ('-s', portrait_source, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 12)
    done = program.run(*words, '--profile', tmp_path / 'trace.json')
    found = names(tmp_path / 'trace.json')
    assert {'decode', 'analyse', 'detect', 'mesh', 'measure', 'content gate', 'link', 'face_swapper'} <= found
    assert {'mark', 'encode', 'join', 'sign', 'network centerface', 'network face_mesh', 'load open_nsfw'} <= found
    swaps = [event for event in stages(tmp_path / 'trace.json') if event['name'] == 'face_swapper']
    assert len(swaps) == 12
    assert len({event['tid'] for event in stages(tmp_path / 'trace.json')}) >= 2
    # The messages of a run go on as before.
    assert done.report['frames'] == 12


def test_the_trace_of_an_image_has_its_stages(program, example_portrait, tmp_path):
    words = (
        '--processors',
        'face_debugger',
        '-t',
        example_portrait,
        '-o',
        tmp_path / 'out.png',
        '--disclosure-label',
        'corner',
    )
    program.run(*words, '--profile', tmp_path / 'trace.json')
    wanted = {'decode', 'analyse', 'content gate', 'link', 'render', 'face_debugger', 'encode', 'sign'}
    assert wanted <= names(tmp_path / 'trace.json')


def test_all_jobs_of_a_worker_share_one_trace(program, face_clip, tmp_path, monkeypatch):
    install_sleeper(monkeypatch)
    for number in range(2):
        words = ('-t', face_clip, '-o', tmp_path / f'{number}.mp4', *SLEEPER, '--trim-frame-end', 5)
        job_id = program('job-create', *words).out.strip()
        assert program('job-submit', job_id).code == 0
    assert program('job-run-all', '--profile', tmp_path / 'trace.json').code == 0
    sleeps = [event for event in stages(tmp_path / 'trace.json') if event['name'] == 'sleeper']
    assert len(sleeps) == 10
    assert all(event['dur'] >= (PRE + NETWORK + POST) * 1e6 for event in sleeps)
    assert f'network {MODEL}' in names(tmp_path / 'trace.json')


def test_an_interrupted_run_writes_its_trace(program, face_clip, tmp_path, monkeypatch):
    def interrupt(number):
        if number == 8:
            os.kill(os.getpid(), signal.SIGINT)

    install_sleeper(monkeypatch, interrupt)
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', *SLEEPER)
    result = program('headless-run', *words, '--profile', tmp_path / 'trace.json')
    assert result.code == 4
    found = names(tmp_path / 'trace.json')
    assert 'sleeper' in found and 'sign' not in found


def test_a_failed_run_writes_its_trace(program, face_clip, tmp_path, monkeypatch):
    def fail(number):
        if number == 8:
            raise ValueError('the test wants this')

    install_sleeper(monkeypatch, fail)
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', *SLEEPER)
    result = program('headless-run', *words, '--profile', tmp_path / 'trace.json')
    assert result.code == 1
    assert 'sleeper' in names(tmp_path / 'trace.json')


def test_a_path_that_cannot_be_written_is_refused_before_the_run(program, face_clip, tmp_path):
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', '--processors', 'face_debugger')
    program.fails(1, 'profile-unwritable', 'headless-run', *words, '--profile', tmp_path / 'none' / 'trace.json')


def test_a_full_trace_is_reported(program, face_clip, tmp_path, monkeypatch):
    from facefusion.services import profile_file

    real = profile_file.RecordedProfile
    monkeypatch.setattr(profile_file, 'RecordedProfile', lambda: real(most_events=20))
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', '--processors', 'face_debugger', '--trim-frame-end', 6)
    result = program('headless-run', *words, '--profile', tmp_path / 'trace.json')
    assert result.code == 0 and len(stages(tmp_path / 'trace.json')) == 20
    assert 'the profile is full' in result.err
