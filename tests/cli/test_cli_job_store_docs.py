"""Tests that run the examples of docs/job-store.md unchanged."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.job_schema import check_store
from fakes.media_files import plain_png
from fakes.program import ROOT

DOCUMENT = (ROOT / 'docs' / 'job-store.md').read_text(encoding='utf-8')
SCRIPTS = re.findall(r'```sh\n(.*?)```', DOCUMENT, re.DOTALL)
CRON = re.findall(r'```cron\n(.*?)```', DOCUMENT, re.DOTALL)

pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(sys.platform == 'win32', reason='the examples need a POSIX shell'),
]


@pytest.fixture
def folder(tmp_path, store) -> Path:
    """A home folder with an image and the models, and with the program on the PATH."""
    (tmp_path / 'bin').mkdir()
    program = tmp_path / 'bin' / 'facefusion'
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "facefusion.py"}" "$@"\n')
    program.chmod(0o755)
    plain_png(tmp_path / 'in.png', 64, 64)
    return tmp_path


def shell(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    environment = {
        'PATH': f'{folder / "bin"}:{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'HOME': str(folder),
        'FACEFUSION_JOBS_PATH': str(folder / 'jobs'),
        'FACEFUSION_OFFLINE': 'yes',
    }
    return subprocess.run(
        ['/bin/sh', '-c', text], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_every_example_is_tested():
    assert len(SCRIPTS) == 2 and len(CRON) == 1 and DOCUMENT.count('```') == 6


@pytest.mark.parametrize('text', SCRIPTS)
def test_the_scripts_complete_their_job(folder, text):
    done = shell(folder, text)
    assert done.returncode == 0, done.stderr
    ((job_id, data),) = check_store(folder / 'jobs', quiet=True).items()
    assert data['outputs'][0]['path'] == str(folder / 'out.png')
    if '--notify' in text:
        told = (folder / f'told-{job_id}.json').read_text()
        assert '"state": "completed"' in told


def test_the_cron_line_runs_queued_jobs_quietly(folder):
    (line,) = CRON
    # The tests run the program of this environment.
    command = line.split(None, 5)[5].replace('/opt/facefusion/.venv/bin/', '')
    empty = shell(folder, command)
    assert (empty.returncode, empty.stdout, empty.stderr) == (1, '', '')
    step = '--processors face_debugger --target in.png --output out.png'
    drafted = shell(folder, f'facefusion job-submit "$(facefusion job-create {step})"')
    assert drafted.returncode == 0, drafted.stderr
    done = shell(folder, command)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', ''), done
    ((_, data),) = check_store(folder / 'jobs', quiet=True).items()
    assert data['attempts'][0]['result'] == 'completed'
    assert 'no queued job' in (folder / 'facefusion.log').read_text()
