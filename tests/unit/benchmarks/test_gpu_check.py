"""Tests of the script for machines with a GPU: the joined wheels, and all of its parts on a CPU with small networks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from pipeline_cost import ROOT

SCRIPT = ROOT / 'benchmarks/gpu_check.sh'
PARTS = (
    'machine',
    'provider',
    'network inswapper_128',
    'network gfpgan_1.4',
    'loop',
    'run swapper',
    'run enhancer',
    'run both',
    'batch sizes',
    'benchmark',
    'tensorrt',
)
needs_shell = pytest.mark.skipif(shutil.which('sha256sum') is None, reason='the script needs the GNU tools')


def shell(home, *words):
    environment = {**os.environ, 'GPU_CHECK_HOME': str(home), 'PYTHON': sys.executable}
    return subprocess.run(['sh', str(SCRIPT), *map(str, words)], capture_output=True, text=True, env=environment)


@pytest.fixture
def wheel(tmp_path):
    """A wheel of a package with one module."""
    path = tmp_path / 'carried-1.0-py3-none-any.whl'
    info = 'carried-1.0.dist-info'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('carried.py', 'HERE = True\n')
        archive.writestr(f'{info}/METADATA', 'Metadata-Version: 2.1\nName: carried\nVersion: 1.0\n')
        archive.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
        archive.writestr(f'{info}/RECORD', '')
    return path


@needs_shell
def test_damaged_parts_of_a_wheel_are_refused(wheel, tmp_path):
    assert shell(tmp_path / 'home', '--split', wheel, tmp_path / 'parts').returncode == 0
    (part,) = (tmp_path / 'parts').glob('*.part-*')
    part.write_bytes(part.read_bytes()[:-1])
    done = shell(tmp_path / 'home', '--wheels', tmp_path / 'parts', '--device', 'cpu', '--reduced')
    assert done.returncode == 2 and 'incomplete or damaged' in done.stderr


@needs_shell
def test_an_unknown_argument_is_refused(tmp_path):
    assert shell(tmp_path, '--gpu').returncode == 2


@needs_shell
@pytest.mark.network
def test_all_parts_run_on_a_cpu_with_small_networks_and_carried_wheels(store, wheel, tmp_path):
    store.fetch(('centerface', 'face_mesh', 'open_nsfw', 'example_portrait'))
    assert shell(tmp_path / 'home', '--split', wheel, tmp_path / 'parts').returncode == 0
    assert shell(tmp_path / 'home', '--collect', tmp_path / 'parts').returncode == 0
    output = tmp_path / 'result.json'
    done = shell(tmp_path / 'home', '--device', 'cpu', '--reduced', '--output', output)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'home/site/carried.py').exists()
    record = json.loads(output.read_text(encoding='utf-8'))
    assert record['is_reduced'] and tuple(record['parts']) == PARTS
    parts = record['parts']
    assert all('failed' not in part for part in parts.values() if isinstance(part, dict))
    assert parts['provider']['inswapper_128']['providers'] == ['CPUExecutionProvider']
    both = parts['run both']
    assert min(both['frames_per_second'], both['loop_bound'], both['network_bound']) > 0
    share = both['frames_per_second'] / min(both['loop_bound'], both['network_bound'])
    assert both['share_of_smaller_bound'] == pytest.approx(share, abs=0.01)
    assert parts['network gfpgan_1.4']['program_per_second']['1'] > 0
