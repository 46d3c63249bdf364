"""Tests that unwritable messages change neither the result nor the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.program import ROOT

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs inherited descriptors and /dev/full'),
]
STEP = ('--processors', 'face_debugger')


def call(program, *words: object, redirect: str, stdout: int = subprocess.DEVNULL) -> int:
    """Run the program with streams that a shell redirects, and return its exit code."""
    start = f'import sys; sys.path.insert(0, {str(ROOT)!r}); from facefusion.cli.main import run; run()'
    command = ['sh', '-c', f'exec "$0" "$@" {redirect}', sys.executable, '-c', start, *map(str, words)]
    return subprocess.run(command, stdout=stdout, env={**os.environ, **program.environment()}, check=False).returncode


def test_closed_streams_do_not_stop_a_run(program, example_portrait, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    words = ('headless-run', *STEP, '-t', example_portrait, '-o', tmp_path / 'out.jpg', '--progress', 'json')
    assert call(program, *words, redirect='2>&-', stdout=writing) == 0
    os.close(writing)
    assert (tmp_path / 'out.jpg').stat().st_size > 0
    assert len(list((tmp_path / 'jobs' / 'completed').iterdir())) == 1


def test_a_full_log_does_not_stop_a_worker(program, example_portrait, tmp_path):
    for name in ('first', 'second'):
        output = tmp_path / f'{name}.jpg'
        assert program('job-create', name, *STEP, '-t', example_portrait, '-o', output).code == 0
        assert program('job-submit', name).code == 0
    assert call(program, 'job-run-all', redirect='2>/dev/full') == 0
    assert all((tmp_path / f'{name}.jpg').is_file() for name in ('first', 'second'))


def test_an_unwritable_result_is_a_failure(program):
    assert call(program, 'job-list', '--format', 'json', redirect='2>&- >/dev/full') == 5
