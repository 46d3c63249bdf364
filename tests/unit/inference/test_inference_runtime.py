"""Tests that onnxruntime sends no telemetry: it writes nothing into the user's home and looks up no host."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
RUNTIME = ROOT / 'facefusion' / 'inference' / 'runtime.py'
PROGRAMS = [path for part in ('facefusion', 'benchmarks', 'scripts') for path in sorted((ROOT / part).rglob('*.py'))]
SESSION = """
import sys, time
import numpy, facefusion.inference.providers as providers
providers.probe_provider('cpu')
time.sleep(float(sys.argv[1]))
"""


def run_a_session(home: Path, seconds: float, *before: str, script: str = SESSION) -> list[Path]:
    """Run a model in a process with an empty home for ``seconds``; return the files left in it."""
    home.mkdir()
    # These variables are removed, because onnxruntime sends no telemetry from CI machines.
    dropped = ('CI', 'GITHUB_ACTIONS', 'ORT_DISABLE_TELEMETRY')
    environ = {name: value for name, value in os.environ.items() if name not in dropped}
    environ |= {'HOME': str(home), 'XDG_CACHE_HOME': str(home / '.cache'), 'PYTHONPATH': str(ROOT)}
    subprocess.run([*before, sys.executable, '-c', script, str(seconds)], env=environ, check=True)
    return [path for path in home.rglob('*') if path.is_file()]


def test_a_session_leaves_nothing_in_the_home_and_looks_up_no_host(tmp_path):
    # onnxruntime attempts the first upload about ten seconds after the start.
    watch = ['strace', '-f', '-e', 'trace=network', '-o', str(tmp_path / 'calls')] if shutil.which('strace') else []
    assert run_a_session(tmp_path / 'home', 12 if watch else 0, *watch) == []
    if watch:
        calls = (tmp_path / 'calls').read_text(encoding='utf-8').splitlines()
        assert [call for call in calls if 'socket(' in call or 'connect(' in call] == []


@pytest.mark.skipif(sys.platform != 'linux', reason='on other systems the operating system collects telemetry')
def test_without_the_variable_the_files_appear(tmp_path):
    script = SESSION.replace('import numpy', 'import onnxruntime\nimport numpy')
    assert any('onnxruntime' in str(path) for path in run_a_session(tmp_path / 'home', 0, script=script))


@pytest.mark.parametrize('path', [path for path in PROGRAMS if path != RUNTIME], ids=lambda path: path.name)
def test_no_other_module_imports_onnxruntime_itself(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ''] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.split('.')[0] == 'onnxruntime' for name in names), path


def test_an_emptied_package_is_reported_with_its_remedy(tmp_path):
    # Two builds write the same files; uninstalling one of them leaves an empty package.
    (tmp_path / 'onnxruntime').mkdir()
    script = (
        'import facefusion.errors\n'
        'try:\n'
        '    import facefusion.inference.runtime\n'
        'except facefusion.errors.SetupError as error:\n'
        '    print(error.reference, error.hint)\n'
    )
    environ = os.environ | {'PYTHONPATH': os.pathsep.join((str(tmp_path), str(ROOT)))}
    (tmp_path / 'onnxruntime' / '__init__.py').touch()
    done = subprocess.run([sys.executable, '-c', script], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('onnxruntime-broken run `python install.py`')
    doctor = [sys.executable, str(ROOT / 'facefusion.py'), 'doctor', '--format', 'json']
    done = subprocess.run(doctor, env=environ, capture_output=True, text=True, check=False)
    found = {finding['check']: finding for finding in json.loads(done.stdout)['findings']}
    assert done.returncode == 1 and 'is empty' in found['providers']['fact'] and 'memory' in found
