"""Tests that files of the version of commit ca202fa are either read correctly or refused with a reason.

The archive contains the job store of that version with four jobs: a completed job of two joined steps, a drafted job, a
queued job, and a job whose process was killed after its first segment (with work files). It also contains the cache, an
ini file, and the clips of these jobs.
"""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path

import av
import pytest

pytestmark = pytest.mark.network
ARCHIVE = Path(__file__).resolve().parents[1] / 'fixtures' / 'store_of_ca202fa.tar.gz'
# The folder in which the archive was created.
MADE_IN = '/tmp/old'
KILLED = 'headless-2026-11-29-16-40-18-74dd6fa208-59125bfa2a'


@pytest.fixture
def older(tmp_path):
    """Unpack the archive as the job store of the program; the paths in its records point into this folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter='data')
    for path in (tmp_path / 'jobs').rglob('*.json'):
        path.write_text(path.read_text(encoding='ascii').replace(MADE_IN, str(tmp_path)), encoding='ascii')
    # The process of the claimed job ran on another machine and has not renewed its claim since.
    for path in (tmp_path / 'jobs').rglob('*'):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    return tmp_path


def frames_in(path: Path) -> int:
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(video=0))


def test_every_job_is_listed(program, older):
    jobs = {job['id']: job['state'] for job in json.loads(program('job-list', '--format', 'json').out)}
    assert jobs == {'drafted-job': 'drafted', 'queued-job': 'queued', 'joined': 'completed', KILLED: 'running'}
    shown = json.loads(program('job-show', 'joined', '--format', 'json').out)
    assert [step['status'] for step in shown['steps']] == ['completed', 'completed']


def test_its_jobs_run(program, older):
    assert program('job-submit', 'drafted-job').code == 0
    for name in ('drafted', 'queued'):
        result = program('job-run', f'{name}-job')
        assert result.code == 0, result.err
        assert frames_in(older / f'{name}.mp4') == 12


def test_work_of_a_killed_run_is_not_reused_with_a_message(program, older):
    # The worker detects that the process of the job is dead.
    assert program('job-run-all').code == 0
    result = program('job-retry', KILLED)
    assert result.code == 0, result.err
    assert 'work files of an earlier run are not used: another version of the program created them' in result.err
    assert frames_in(older / 'out.mp4') == 300
    assert not list((older / 'jobs' / '.work').glob('*/work-*'))


def test_its_cache_is_never_used(program, older):
    words = ('headless-run', '--processors', 'face_debugger', '-t', older / 'clip.mp4', '-o', older / 'again.mp4')
    result = program(*words, '--progress', 'json')
    assert result.code == 0, result.err
    origins = [event['origin'] for event in result.events if event['event'] == 'chunk_analysed']
    assert origins == ['analysed', 'analysed']


def test_its_ini_file_is_read(program, older, example_portrait):
    output = older / 'out.jpg'
    words = ('headless-run', '--config-path', older / 'facefusion.ini', '--processors', 'face_debugger', '--dry-run')
    plan = json.loads(program(*words, '-t', example_portrait, '-o', output).out)
    assert (plan['settings']['face_selector_mode'], plan['settings']['output_video_quality']) == ('one', 70)
