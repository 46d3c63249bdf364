"""Tests that file names of any encoding work in an ASCII locale."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(
    sys.platform in ('win32', 'darwin'), reason='file names are always Unicode on this system'
)
UTF8, BROKEN = 'b\u00fccher \u4e2d.png', os.fsdecode(b'f\xe4ce.png')


@pytest.fixture
def call(tmp_path):
    """Return a function that runs the program in the C locale, without the workarounds of Python."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'LC_', 'LANG'))}
    environ |= {'LC_ALL': 'C', 'LANG': 'C', 'PYTHONUTF8': '0', 'FACEFUSION_JOBS_PATH': str(tmp_path / 'jobs')}

    def run(*words: str, code: int = 0) -> tuple[str, str]:
        command = [sys.executable, str(ROOT / 'facefusion.py'), *words]
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=False)
        # Decoding is strict, so the output must be UTF-8.
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == code, err
        return out, err

    return run


def test_names_are_printed_unchanged_in_the_c_locale(call, tmp_path):
    call('job-create', 'j', '-t', UTF8, '-o', f'o-{UTF8}')
    assert f'the file {tmp_path / UTF8} does not exist yet' in call('job-submit', 'j')[1]
    assert str(tmp_path / f'o-{UTF8}') in call('job-show', 'j')[0]
    (step,) = json.loads(call('job-show', 'j', '--format', 'json')[0])['steps']
    assert step['args']['target_path'] == str(tmp_path / UTF8)
    assert f'the config file {UTF8} does not exist' in call('doctor', '--config-path', UTF8, code=2)[1]


def test_a_job_of_a_utf8_locale_runs_in_the_c_locale(call, tmp_path):
    args = {'target_path': str(tmp_path / UTF8), 'output_path': str(tmp_path / 'o.png')}
    record = {'version': '1', 'date_created': '2026-11-01T10:00:00+00:00', 'date_updated': None}
    (tmp_path / 'jobs' / 'drafted').mkdir(parents=True)
    text = json.dumps(record | {'steps': [{'args': args, 'status': 'drafted'}]})
    (tmp_path / 'jobs' / 'drafted' / 'old.json').write_text(text)
    (tmp_path / UTF8).touch()
    assert 'does not exist yet' not in call('job-submit', 'old')[1]


def test_names_that_are_not_utf8_do_not_end_the_program(call):
    out, _ = call('job-create', 'j', '-t', BROKEN, '-o', f'o-{BROKEN}')
    assert out == 'j\n'
    assert 'f\\udce4ce.png does not exist yet' in call('job-submit', 'j')[1]
    assert 'f\\udce4ce.png' in call('job-show', 'j')[0]
    (step,) = json.loads(call('job-show', 'j', '--format', 'json')[0])['steps']
    assert step['args']['target_path'].endswith(BROKEN)
    assert 'f\\udce4ce.png' in call('doctor', '--config-path', BROKEN, code=2)[1]
