"""The example of docs/http-api.md."""

from __future__ import annotations

import subprocess
import sys

import av
import pytest
from fakes.page_server import page_server
from fakes.program import ROOT
from fakes.tiny_clip import make_tiny_clip

EXAMPLE = ROOT / 'docs' / 'examples' / 'http_api.py'


def run_example(server, *words):
    command = [sys.executable, '-I', str(EXAMPLE), server.address, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.network
def test_the_example_runs_a_step_and_fetches_the_result(tmp_path, store):
    (tmp_path / 'server').mkdir()
    clip = make_tiny_clip(tmp_path / 'clip.mp4', 30)
    with page_server(tmp_path / 'server') as server:
        result = run_example(server, clip, tmp_path / 'result.mp4', 'processors=["face_debugger"]')
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f'wrote {tmp_path / "result.mp4"}'
    with av.open(str(tmp_path / 'result.mp4')) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


def test_the_example_shows_the_record_of_an_error(tmp_path):
    (tmp_path / 'server').mkdir()
    clip = make_tiny_clip(tmp_path / 'clip.mp4', 5)
    with page_server(tmp_path / 'server') as server:
        result = run_example(server, clip, tmp_path / 'result.mp4', 'processors=["nothing"]')
    assert result.returncode == 1
    assert '[request-argument]' in result.stderr and 'processors' in result.stderr
    assert not (tmp_path / 'result.mp4').exists()
