"""Tests of ``models import``, ``export``, ``list`` and ``fetch`` as a user runs them, without network access."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from onnx import TensorProto, helper


def network(inputs, outputs=(('out', [1, 3, 256, 256]),), size=0):
    """Return an ONNX file with these tensors and ``size`` bytes of weights."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs]
    nodes = [helper.make_node('Identity', [inputs[-1][0]], [name]) for name, _ in outputs]
    weights = helper.make_tensor('w', TensorProto.UINT8, [size], bytes(size), raw=True)
    graph = helper.make_graph(nodes, 'stub', infos, results, [weights] if size else [])
    opset = [helper.make_opsetid('', 17)]
    return bytes(helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


SWAPPER = network([('source', [1, 512]), ('target', [1, 3, 256, 256])])


@pytest.fixture
def models(program, tmp_path):
    """Return a function that runs a sub-command with a separate folder of weights."""

    def call(*words, online=False, folder='weights', **settings):
        return program('models', *words, '--models-path', tmp_path / folder, online=online, **settings)

    return call


@pytest.fixture
def refused(program, tmp_path):
    """Return a function that runs a sub-command, checks its error and that no file is left, and returns its stderr."""

    def call(code, reference, *words):
        return program.fails(code, reference, 'models', *words, '--models-path', tmp_path / 'weights')

    return call


def states(models, **settings):
    records = json.loads(models('list', '--format', 'json', '--all', **settings).out)
    return {record['id']: (record['state'], record['pinned']) for record in records}


def write(path, data):
    path.write_bytes(data)
    return path


def test_a_stated_file_is_imported_listed_verified_and_held_to_its_digest(models, refused, tmp_path):
    path = write(tmp_path / 'mine.onnx', SWAPPER)
    result = models('import', path, '--as', 'hyperswap_1a_256')
    assert result.code == 0 and 'imported' in result.out, result.err
    assert states(models)['hyperswap_1a_256'] == ('present', 'imported')
    assert path.read_bytes() == SWAPPER
    assert models('verify', 'hyperswap_1a_256').code == 0 and models('fetch', 'centerface').code == 6
    (tmp_path / 'weights' / 'hyperswap_1a_256.onnx').write_bytes(SWAPPER + b'\0')
    for words in (('verify', 'hyperswap_1a_256'), ('fetch', 'hyperswap_1a_256')):
        result = models(*words, online=True)
        assert result.code == 6 and '[model-damaged]' in result.err
        assert 'import it again (facefusion models import FILE --as hyperswap_1a_256' in result.err
    assert models('import', path, '--as', 'hyperswap_1a_256').code == 0
    assert models('verify').code == 0


@pytest.mark.parametrize(
    ('data', 'words', 'code', 'reference', 'text'),
    [
        (SWAPPER, (), 6, 'model-unknown-file', 'models have no published sha256'),
        (SWAPPER, ('--as', 'hyperswap'), 6, 'model-unknown', 'did you mean hyperswap_1'),
        (
            SWAPPER,
            ('--as', 'inswapper_128'),
            6,
            'model-tensors',
            'the input target is [1, 3, 256, 256], expected [1, 3, 128',
        ),
        (SWAPPER, ('--as', '2dfan4'), 6, 'model-tensors', 'expected 1 inputs (input), got 2: source, target'),
        (SWAPPER, ('--as', 'nsfw_1'), 6, 'model-published-only', 'nsfw_1'),
        (SWAPPER, ('--as', 'fairface'), 6, 'model-published-only', 'fairface'),
        (b'no network', ('--as', '2dfan4'), 6, 'model-not-onnx', 'file.onnx is not an ONNX file'),
        (SWAPPER[:-9], ('--as', '2dfan4'), 6, 'model-not-onnx', 'the file is incomplete'),
        (b'', (), 6, 'model-file-empty', 'file.onnx is empty'),
        (None, (), 6, 'model-file-missing', 'file.onnx does not exist'),
        (SWAPPER, ('other', '--as', '2dfan4'), 2, 'import-as', 'the model of one file'),
        (SWAPPER, ('--as',), 2, 'usage', 'expected one argument'),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(refused, tmp_path, data, words, code, reference, text):
    path = tmp_path / 'file.onnx'
    if data is not None:
        path.write_bytes(data)
    assert text in refused(code, reference, 'import', path, *words)


def test_the_command_needs_a_path_and_one_folder_to_export_to(program):
    for words in (('import',), ('export',), ('export', 'a', 'b'), ('list', '--license', 'free'), ('grow',)):
        program.fails(2, 'usage', 'models', *words)
    assert 'face_swapper' in program.fails(2, 'model-task', 'models', 'list', '--task', 'faces')


def test_a_file_without_read_permission_is_named(refused, tmp_path):
    path = write(tmp_path / 'file.onnx', SWAPPER)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip('this user can read every file')
    try:
        assert 'Permission denied' in refused(6, 'model-file-unreadable', 'import', path, '--as', 'hyperswap_1a_256')
    finally:
        path.chmod(stat.S_IRUSR)


def test_a_folder_is_imported_as_far_as_it_is_known(models, refused, tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    write(folder / 'ghost_2_256.onnx', SWAPPER)
    said = refused(1, 'models-unrecognised', 'import', folder)
    assert '1 files were read' in said
    refused(2, 'import-as', 'import', folder, '--as', 'ghost_2_256')
    assert models('import', folder / 'ghost_2_256.onnx', '--as', 'ghost_2_256').code == 0
    # The imported file is now recorded in the lock file.
    result = models('import', folder, tmp_path / 'none')
    assert result.code == 6 and '[model-file-missing]' in result.err and 'ghost_2_256' in result.out


def test_an_export_is_imported_on_another_machine(models, tmp_path):
    assert models('import', write(tmp_path / 'a', SWAPPER), '--as', 'hyperswap_1a_256').code == 0
    result = models('export', tmp_path / 'out')
    assert result.code == 0 and 'exported' in result.out, result.err
    assert json.loads((tmp_path / 'out' / 'manifest.json').read_text())['models'][0]['how'] == 'imported'
    result = models('import', tmp_path / 'out', folder='other')
    assert result.code == 0 and states(models, folder='other')['hyperswap_1a_256'] == ('present', 'imported')
    assert 'present' in models('import', tmp_path / 'out', folder='other').out
    assert 'present' in models('export', tmp_path / 'out').out


def test_an_export_without_files_or_into_the_models_folder_is_refused(models, refused, tmp_path):
    refused(6, 'export-empty', 'export', tmp_path / 'out')
    assert models('import', write(tmp_path / 'a', SWAPPER), '--as', 'hyperswap_1a_256').code == 0
    refused(2, 'export-folder', 'export', tmp_path / 'weights')
    (tmp_path / 'out').mkdir()
    write(tmp_path / 'out' / 'hyperswap_1a_256.onnx', b'my own')
    refused(1, 'export-exists', 'export', tmp_path / 'out')


def test_a_commercial_policy_limits_fetch_and_import(models, refused, tmp_path):
    ini = tmp_path / 'house.ini'
    ini.write_text('[policy]\nlicences = commercial\n')
    path = write(tmp_path / 'a', SWAPPER)
    policy = ('--config-path', ini)
    for words in (
        ('fetch', 'hyperswap_1a_256'),
        ('fetch', 'face_swapper'),
        ('import', path, '--as', 'hyperswap_1a_256'),
    ):
        said = refused(6, 'model-licence', *words, *policy)
        assert 'the policy of this machine forbids' in said
    said = refused(6, 'model-missing-offline', 'fetch', 'face_landmarker', *policy)
    assert '2dfan4' in said
    assert models('import', path, '--as', 'ghost_2_256', *policy).code == 6
    table = models('list', '--task', 'face_swapper', '--licence', 'commercial').out.splitlines()
    assert [line.split()[0] for line in table] == ['id', 'ghost_1_256', 'ghost_2_256', 'ghost_3_256']


@pytest.mark.skipif(sys.platform == 'win32', reason='SIGTERM cannot be handled on Windows')
@pytest.mark.parametrize('command', ['import', 'export'])
def test_a_signal_leaves_no_partial_file(program, models, tmp_path, command):
    path = write(tmp_path / 'a', network([('source', [1, 512]), ('target', [1, 3, 256, 256])], size=200 << 20))
    folder = tmp_path / 'weights'
    words = ('import', path, '--as', 'hyperswap_1a_256')
    if command == 'export':
        assert models(*words).code == 0
        folder, words = tmp_path / 'out', ('export', tmp_path / 'out')
    process = program.start('models', *words, '--models-path', tmp_path / 'weights')
    deadline = time.monotonic() + 30
    while not list(folder.glob('.fetching/*/*')) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 4 and '[interrupted]' in said
    assert [each.name for each in folder.iterdir() if not each.name.startswith('.lock')] == []


def test_a_damaged_lock_file_stops_an_import(refused, tmp_path):
    (tmp_path / 'weights').mkdir()
    Path(tmp_path / 'weights' / 'lock.json').write_text('{"version": 1, "models": {"net": {"how": "magic"}}}')
    refused(6, 'lock-damaged', 'import', write(tmp_path / 'a', SWAPPER), '--as', 'hyperswap_1a_256')
