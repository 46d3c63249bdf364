"""Tests of exporting the model files and of importing them on a machine without network access."""

from __future__ import annotations

import errno
import json

import pytest
from local_server import served
from onnx_files import image_bytes, onnx_entry, sha, store_of
from tflite_builder import TfliteFile

from facefusion.errors import Interrupted, ModelError, OutputError, ResourceError, UsageError
from facefusion.events import silent
from facefusion.models import exporting
from facefusion.models.catalog import Catalog, Conversion, HttpsSource
from facefusion.models.exporting import export_models
from facefusion.models.hosts import transfer
from facefusion.models.importing import Importer
from facefusion.models.store import ModelStore
from facefusion.stopping import StopFlag

PUBLISHED, OTHER, FIRST = (image_bytes(seed=seed) for seed in (1.0, 2.0, 3.0))


def tflite_body():
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4, 4, 1)), file.tensor('y', (1, 4, 4, 1))
    file.operator('RELU', [x], [y])
    return file.data([x], [y])


def export(store, folder, stop=None):
    return export_models(store, folder, silent, stop or StopFlag())


def bring(store, folder):
    importer = Importer(store, silent, StopFlag(), lambda model_id: None)
    return {result.path.name: result for result in importer.import_folder(folder)}


@pytest.fixture
def store(tmp_path):
    """A store with a published, a converted, a first-use and an imported file."""
    made = tflite_body()
    with served() as site:
        site.files |= {'/net': PUBLISHED, '/made': made, '/first': FIRST}
        sources = {
            'net': HttpsSource((site.url('/net'),), sha(PUBLISHED), len(PUBLISHED)),
            'made': HttpsSource((site.url('/made'),), sha(made), len(made)),
            'first': HttpsSource((site.url('/first'),)),
        }
        entries = (
            onnx_entry('net', PUBLISHED, sources=(sources['net'],)),
            onnx_entry('made', sources=(sources['made'],), convert=Conversion('tflite', 1), inputs=()),
            onnx_entry('first', sources=(sources['first'],)),
            onnx_entry('own', PUBLISHED[:-1]),
            onnx_entry('absent'),
        )
        store = store_of(tmp_path / 'here', *entries, offline=False)
        store.fetch(['net', 'made', 'first'])
        (tmp_path / 'own').write_bytes(OTHER)
        Importer(store, silent, StopFlag(), lambda model_id: None).import_file(tmp_path / 'own', 'own')
    return store


@pytest.fixture
def elsewhere(store, tmp_path):
    return ModelStore(store.catalog, tmp_path / 'there' / 'weights', offline=True, emit=silent)


def test_a_machine_without_network_gets_every_file(store, elsewhere, tmp_path):
    folder = tmp_path / 'deep' / 'out'
    results = {result.model: (result.state, result.how) for result in export(store, folder)}
    hows = {'net': 'catalog', 'made': 'converted', 'first': 'first-use', 'own': 'imported'}
    assert results == {model: ('exported', how) for model, how in hows.items()}
    assert sorted(path.name for path in folder.iterdir()) == sorted([*(f'{m}.onnx' for m in hows), 'manifest.json'])
    listed = {model['id']: model for model in json.loads((folder / 'manifest.json').read_text())['models']}
    assert {model: listed[model]['how'] for model in listed} == hows
    found = bring(elsewhere, folder)
    assert {result.model: (result.state, result.how) for result in found.values()} == {
        model: ('imported', how) for model, how in hows.items()
    }
    for model in hows:
        assert elsewhere.path(model).read_bytes() == store.path(model).read_bytes()
        assert elsewhere.pinned(model) == store.pinned(model)
    assert {result.state for result in bring(elsewhere, folder).values()} == {'present'}


def test_equal_files_are_skipped_and_files_of_an_earlier_export_replaced(store, tmp_path):
    export(store, tmp_path / 'out')
    before = (tmp_path / 'out' / 'net.onnx').stat().st_ino
    (tmp_path / 'new').write_bytes(FIRST)
    Importer(store, silent, StopFlag(), lambda model_id: None).import_file(tmp_path / 'new', 'own')
    states = {result.model: result.state for result in export(store, tmp_path / 'out')}
    assert states == {'net': 'present', 'made': 'present', 'first': 'present', 'own': 'exported'}
    assert (tmp_path / 'out' / 'net.onnx').stat().st_ino == before
    assert (tmp_path / 'out' / 'own.onnx').read_bytes() == FIRST


@pytest.mark.parametrize('name', ['net.onnx', 'manifest.json'])
def test_a_file_of_another_origin_is_never_replaced(store, tmp_path, name):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / name).write_bytes(b'{"my": 1}')
    with pytest.raises(OutputError) as error:
        export(store, tmp_path / 'out')
    assert error.value.reference == 'export-exists' and name in error.value.message and error.value.hint
    assert [path.name for path in (tmp_path / 'out').iterdir()] == [name]
    assert (tmp_path / 'out' / name).read_bytes() == b'{"my": 1}'


def test_a_damaged_file_is_not_exported(store, tmp_path):
    (store.weights / 'own.onnx').write_bytes(b'x')
    states = {result.model: result.state for result in export(store, tmp_path / 'out')}
    assert states['own'] == 'damaged' and not (tmp_path / 'out' / 'own.onnx').exists()
    assert 'own' not in (tmp_path / 'out' / 'manifest.json').read_text()


def test_folders_that_cannot_be_used_are_named(store, elsewhere, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match='is the models folder') as usage:
        export(store, store.weights)
    assert usage.value.reference == 'export-folder'
    with pytest.raises(ModelError) as empty:
        export(elsewhere, tmp_path / 'out')
    assert empty.value.reference == 'export-empty' and not (tmp_path / 'out').exists()
    (tmp_path / 'file').write_text('x')
    with pytest.raises(OutputError) as unwritable:
        export(store, tmp_path / 'file')
    assert unwritable.value.reference == 'models-folder' and 'another folder' in unwritable.value.hint
    monkeypatch.setattr(transfer.shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': 10}))
    with pytest.raises(ResourceError) as small:
        export(store, tmp_path / 'out')
    assert small.value.reference == 'disk-space' and '--models-path' not in small.value.hint


def test_a_full_disk_and_a_stop_leave_no_partial_file(store, tmp_path, monkeypatch):
    stop = StopFlag()
    stop.set('asked')
    with pytest.raises(Interrupted):
        export(store, tmp_path / 'out', stop)
    assert list((tmp_path / 'out').iterdir()) == []

    def fill(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(exporting, '_publish', fill)
    with pytest.raises(ResourceError) as error:
        export(store, tmp_path / 'out')
    assert error.value.reference == 'disk-full' and list((tmp_path / 'out').iterdir()) == []


@pytest.mark.parametrize(
    ('changes', 'state', 'words'),
    [
        ({'sha256': '0' * 64}, 'refused', 'is damaged'),
        ({'id': 'unknown'}, 'unknown', 'sha256'),
        ({'how': 'catalog'}, 'unknown', 'sha256'),
        ({'how': 'converted', 'origin': 'of another recipe'}, 'unknown', 'sha256'),
        ({'how': 'imported'}, 'imported', ''),
        ({'file': 'none.onnx'}, 'unknown', 'sha256'),
    ],
)
def test_a_manifest_cannot_make_a_file_another_model(store, elsewhere, tmp_path, changes, state, words):
    export(store, tmp_path / 'out')
    path = tmp_path / 'out' / 'manifest.json'
    manifest = json.loads(path.read_text())
    for model in manifest['models']:
        if model['id'] == 'first':
            model |= changes
    path.write_text(json.dumps(manifest))
    result = bring(elsewhere, tmp_path / 'out')
    assert result['first.onnx'].state == state and words in result['first.onnx'].reason
    if 'file' in changes:
        assert 'does not exist' in result['none.onnx'].reason


def test_a_conversion_of_another_revision_is_not_imported(store, tmp_path):
    export(store, tmp_path / 'out')
    (made,) = (entry for entry in store.catalog if entry.id == 'made')
    later = onnx_entry('made', sources=made.sources, convert=Conversion('tflite', 2), inputs=())
    other = ModelStore(Catalog((later,)), tmp_path / 'there', offline=True, emit=silent)
    assert bring(other, tmp_path / 'out')['made.onnx'].state == 'unknown' and other.state('made') == 'missing'
