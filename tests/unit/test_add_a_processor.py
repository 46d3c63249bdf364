"""Tests that follow docs/add-a-processor.md literally in a copy of the checkout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / 'docs' / 'add-a-processor.md').read_text(encoding='utf-8')
FILES = re.compile(r'^`(\S+\.py)`\n\n```python\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
DIFFS = re.compile(r'^```diff\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r'^```sh\n(.*?)^```$', flags=re.MULTILINE | re.DOTALL)
COPIED = ('facefusion', 'tests/fakes', 'models/catalog', 'scripts', 'docs')


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the checkout without tests, weights and environment."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('facefusion.py', 'facefusion.ini', 'pyproject.toml', 'tests/conftest.py', 'README.md'):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def write_files(checkout: Path) -> None:
    files = FILES.findall(PAGE)
    assert len(files) == 4
    for name, text in files:
        path = checkout / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding='utf-8')
    (init,) = re.findall(r'empty `(\S+/__init__\.py)`', PAGE)
    (checkout / init).touch()


def apply_diffs(registry: Path) -> None:
    text = registry.read_text(encoding='utf-8')
    for diff in DIFFS.findall(PAGE):
        lines = diff.splitlines(keepends=True)
        old = ''.join(line[1:] for line in lines if line[0] == ' ')
        assert text.count(old) == 1, f'the registry no longer has the lines:\n{old}'
        text = text.replace(old, ''.join(line[1:] for line in lines))
    registry.write_text(text, encoding='utf-8')


def test_the_page_adds_a_processor_that_runs(checkout, store, example_group):
    write_files(checkout)
    apply_diffs(checkout / 'facefusion' / 'processors' / 'registry.py')
    shutil.copy(example_group, checkout / 'target.jpg')
    environ = {**os.environ, 'PYTHONPATH': str(checkout), 'FACEFUSION_MODELS_PATH': str(ROOT / 'models' / 'weights')}
    (commands,) = COMMANDS.findall(PAGE)
    for command in commands.splitlines():
        program, *words = shlex.split(command)
        assert program == 'python'
        done = subprocess.run(
            [sys.executable, *words], cwd=checkout, env=environ, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert 'face_pixelator_blocks' in (checkout / 'facefusion.ini').read_text(encoding='utf-8')
    assert '--face-pixelator-blocks' in (checkout / 'docs' / 'options.md').read_text(encoding='utf-8')
    before, after = cv2.imread(str(example_group)).astype(int), cv2.imread(str(checkout / 'output.png')).astype(int)
    changed = np.abs(before - after).max(axis=2) > 24
    # The image contains six faces, each of about a hundredth of its area.
    assert 0.005 < changed.mean() < 0.1
