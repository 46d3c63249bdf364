"""Tests that messages for users go to stderr and output for programs to stdout, and that dry runs change nothing."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from fakes.program import ROOT, snapshot

pytestmark = pytest.mark.network
DRAW = ('--processors', 'face_debugger')


@pytest.fixture
def words(face_clip, tmp_path):
    return ('headless-run', *DRAW, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--trim-frame-end', 12)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError('the network was used')

    monkeypatch.setattr(socket, 'socket', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)


def test_every_line_on_stdout_is_an_event(program, words, tmp_path):
    result = program(*words, '--progress', 'json')
    assert result.code == 0
    assert all(event['version'] == 1 and event['event'] for event in result.events)
    assert {event['event'] for event in result.events} == {
        'message',
        'stage_progress',
        'stage_finished',
        'run_planned',
        'chunk_analysed',
        'faces_linked',
        'segment_rendered',
        'output_published',
        'run_finished',
        'job_started',
        'step_started',
        'step_finished',
        'job_finished',
    }
    for stage in ('analysing', 'processing'):
        mine = [event for event in result.events if event.get('stage') == stage]
        done = [event['done'] for event in mine]
        assert mine[0]['event'] == 'stage_progress' and (mine[0]['done'], mine[0]['total']) == (0, 12)
        assert mine[-1]['event'] == 'stage_finished' and done == sorted(done) and done[-1] == 12
    last = result.events[-1]
    assert last['event'] == 'job_finished' and last['state'] == 'completed'
    (finished,) = [event for event in result.events if event['event'] == 'run_finished']
    assert finished['output_path'] == str(tmp_path / 'out.mp4')
    report = finished['report']
    assert report['frames'] == 12 and report['seconds'] > 0
    assert report['size'] == (tmp_path / 'out.mp4').stat().st_size


def test_a_failure_is_also_an_event(program, words):
    result = program(*words[:3], '-t', 'nothing.mp4', *words[5:], '--progress', 'json')
    assert result.code == 1
    assert result.events[-1]['event'] == 'run_failed'
    assert result.events[-1]['error']['reference'] == 'media-missing'
    assert result.events[-1]['error']['exit_code'] == 1


@pytest.mark.parametrize('progress', ['none', 'bar'])
def test_stdout_is_empty_with_other_progress(program, words, progress):
    result = program(*words, '--progress', progress)
    assert (result.code, result.out) == (0, '')
    assert all(line.startswith('[FACEFUSION.') for line in result.err.splitlines())


def test_the_log_level_limits_messages(program, words):
    assert program(*words, '--log-level', 'error').err == ''
    assert program(*words, '--log-level', 'warn').err == ''
    assert 'execution providers' in program(*words, '--log-level', 'debug').err
    assert 'wrote' in program(*words).err


def test_a_dry_run_only_prints_the_plan(program, words, tmp_path, no_network):
    before = snapshot(tmp_path)
    result = program(*words, '--dry-run', '--models-path', tmp_path / 'models', online=True)
    assert result.code == 0, result.err
    plan = json.loads(result.out)
    assert plan['kind'] == 'video' and plan['processors'] == ['face_debugger']
    assert plan['models'] == ['centerface', 'face_mesh', 'open_nsfw']
    assert plan['chunks'] == [[0, 12]] and plan['segments'] == [[0, 12]]
    assert plan['timeline']['frame_count'] == 12
    assert plan['encoder']['codec'] == 'libx264' and plan['encoder']['options']['preset'] == 'veryfast'
    assert plan['audio']['mode'] == 'copy'
    assert plan['memory_bytes'] > 0 and plan['work_bytes'] > 0
    assert snapshot(tmp_path) == before and not (tmp_path / 'jobs').exists()


def test_the_plan_of_a_dry_run_may_be_a_json_line(program, words):
    result = program(*words, '--dry-run', '--progress', 'json')
    (event,) = result.events
    assert event['version'] == 1 and event['event'] == 'plan' and event['plan']['kind'] == 'video'


def test_a_dry_run_refuses_the_same_errors_as_the_run(program, words, tmp_path):
    program.fails(1, 'media-missing', 'headless-run', '-s', tmp_path / 'no.png', *words[3:], '--dry-run')
    program.fails(1, 'output-extension', *words[:6], tmp_path / 'out.flv', '--dry-run')


def test_a_run_from_local_models_opens_no_connection(program, words, no_network):
    assert program(*words, online=True).code == 0


def test_a_run_writes_only_job_records_into_the_program_folder(program, words, tmp_path):
    assert program(*words).code == 0
    files = [path for path in tmp_path.rglob('*') if path.is_file()]
    (record,) = (tmp_path / 'jobs' / 'completed').iterdir()
    (seen,) = (tmp_path / 'jobs' / '.work' / '.content').iterdir()
    (log,) = (tmp_path / 'jobs' / '.logs').iterdir()
    analysis = list((tmp_path / 'jobs' / '.cache').iterdir())
    assert len(analysis) == 2
    assert sorted(files) == sorted([tmp_path / 'out.mp4', record, seen, log, *analysis])
    assert program(*words, '--temp-path', tmp_path / 'temp').code == 0
    assert list((tmp_path / 'temp').iterdir()) == []


@pytest.mark.parametrize(
    'way', [(str(ROOT / 'facefusion.py'),), ('-c', 'from facefusion.cli.main import run; run()')], ids=['file', 'entry']
)
def test_both_entry_points_are_equal(program, words, way):
    done = subprocess.run(
        [sys.executable, *way, *map(str, words), '--progress', 'none'],
        capture_output=True,
        text=True,
        env={**os.environ, **program.environment(), 'PYTHONPATH': str(ROOT)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, '')
    assert 'wrote' in done.stderr
