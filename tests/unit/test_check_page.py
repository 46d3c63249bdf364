"""The check of the page's JavaScript says when it cannot run, and does not pass silently in CI."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / 'scripts' / 'check_page.py'


def _check(**variables: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key != 'CI'} | variables
    return subprocess.run([sys.executable, str(SCRIPT)], env=environ, capture_output=True, text=True, check=False)


def test_a_machine_without_node_skips_the_check_with_the_reason(tmp_path: Path) -> None:
    done = _check(PATH=str(tmp_path))
    assert done.returncode == 0
    assert 'not checked: node and npm are not on the PATH' in done.stdout


def test_ci_without_node_fails(tmp_path: Path) -> None:
    done = _check(PATH=str(tmp_path), CI='1')
    assert done.returncode == 1
    assert 'not checked' in done.stderr


def test_a_wrong_type_fails_the_check(tmp_path: Path) -> None:
    compiler = ROOT / 'tests' / 'page' / 'node_modules' / 'typescript' / 'bin' / 'tsc'
    if shutil.which('node') is None or not compiler.exists():
        pytest.skip('the compiler is not installed: python scripts/check_page.py')
    (tmp_path / 'wrong.js').write_text('/** @type {number} */\nexport const length = "long";\n')
    options = ROOT / 'tests' / 'page' / 'tsconfig.json'
    config = tmp_path / 'tsconfig.json'
    config.write_text(f'{{"extends": "{options.as_posix()}", "include": ["wrong.js"]}}')
    done = subprocess.run(['node', str(compiler), '-p', str(config)], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Type 'string' is not assignable to type 'number'" in done.stdout
