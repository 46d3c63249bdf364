from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.engines import process_settings as process

ROOT = Path(__file__).resolve().parents[3]

MEMORY = """
import os, sys
import numpy as np

def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGESIZE')

if sys.argv[1] == 'tuned':
    from facefusion.engines.process_settings import tune_process
    tune_process()
block = 6 << 20
# glibc adapts its threshold to the first freed block.
first = np.ones(block, np.uint8)
del first
before = resident()
kept, frames = [], []
for _ in range(20):
    frames.append(np.ones(block, np.uint8))
    kept.append(np.ones(64 << 10, np.uint8))
del frames
print((resident() - before) // block)
"""


def python(code: str, *arguments: str, **environ: str) -> str:
    """Return the output of a new Python process, so that process settings do not affect the tests."""
    clean = {key: value for key, value in os.environ.items() if key != 'OMP_NUM_THREADS'}
    command = [sys.executable, '-c', code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=clean | environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHOW = (
    'from facefusion.engines.process_settings import tune_process; tune_process()\n'
    'import os, cv2; print(cv2.getNumThreads(), os.environ["OMP_NUM_THREADS"])'
)


def test_array_libraries_get_one_thread_each():
    assert python(SHOW) == '1 1'


def test_a_setting_of_the_user_is_unchanged():
    assert python(SHOW, OMP_NUM_THREADS='3') == '1 3'


@pytest.mark.skipif(not sys.platform.startswith('linux') or not hasattr(ctypes.CDLL(None), 'mallopt'), reason='glibc')
def test_freed_frames_are_returned_to_the_system():
    assert int(python(MEMORY, 'tuned')) <= 1
    assert int(python(MEMORY, 'plain')) >= 10, 'glibc returns freed memory by itself: remove the tuning'


def test_other_systems_and_c_libraries_are_unchanged(monkeypatch):
    loaded = []
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: loaded.append(name) or object())
    monkeypatch.setattr(sys, 'platform', 'linux')
    process.tune_memory()
    assert loaded == [None]
    for platform in ('win32', 'darwin'):
        monkeypatch.setattr(sys, 'platform', platform)
        process.tune_memory()
    assert loaded == [None]


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from facefusion.cli.main import main
code = main(sys.argv[2:], os.environ)
print(code, sum(name in sys.modules for name in ('numpy', 'cv2', 'av', 'onnxruntime')))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux enforces such a limit')
@pytest.mark.parametrize('command', ['headless-run -s a.png -t b.mp4 -o c.mp4', 'verify b.mp4', 'doctor'])
def test_too_little_address_space_is_reported_before_libraries_are_loaded(command, tmp_path):
    output = python(LIMITED, str(600 << 20), *command.split(), FACEFUSION_JOBS_PATH=str(tmp_path / 'jobs'))
    assert output == '5 0'
