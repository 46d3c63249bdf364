"""Tests of importing the user's model files: recognised by digest, named with ``--as``, or listed in a manifest."""

from __future__ import annotations

import errno
import json
import os
import threading

import onnx
import pytest
from local_server import served
from onnx import TensorProto
from onnx_files import IMAGE, PAIR, image_bytes, onnx_bytes, onnx_entry, sha, store_of
from tflite_builder import TfliteFile

from facefusion.errors import Interrupted, ModelError, OutputError, ResourceError
from facefusion.events import StageProgress, silent
from facefusion.models import importing
from facefusion.models import store as store_module
from facefusion.models.catalog import Alternate, Companion, Conversion, HttpsSource, SdistSource, Tensor
from facefusion.models.hosts import transfer
from facefusion.models.importing import Importer
from facefusion.models.store import ModelStore
from facefusion.stopping import StopFlag

PUBLISHED = image_bytes()
OTHER = image_bytes(seed=2.0)


def importer_of(store, events=None, stop=None, may_use=lambda model_id: None):
    return Importer(store, silent if events is None else events.append, stop or StopFlag(), may_use)


def write(path, data):
    path.write_bytes(data)
    return path


def record_of(store, model_id='net'):
    return json.loads((store.weights / 'lock.json').read_text())['models'][model_id]


def left(store):
    return sorted(path.name for path in store.weights.iterdir()) if store.weights.exists() else []


def refusal(call, reference):
    with pytest.raises(ModelError) as error:
        call()
    assert error.value.reference == reference and error.value.exit_code == 6 and error.value.hint
    return error.value


def test_a_published_file_is_recognised_by_its_digest(tmp_path):
    store = store_of(tmp_path, onnx_entry('other', OTHER), onnx_entry('net', PUBLISHED))
    path = write(tmp_path / 'any.name', PUBLISHED)
    result = importer_of(store).import_file(path)
    assert (result.state, result.model, result.how) == ('imported', 'net', 'catalog')
    assert store.path('net').read_bytes() == PUBLISHED and path.read_bytes() == PUBLISHED
    assert store.pinned('net') == 'catalog' and record_of(store)['how'] == 'catalog'


def test_files_of_packages_and_alternates_are_recognised_and_recorded(tmp_path):
    package = {'package': 'p', 'version': '1', 'archive': 'p.tar.gz', 'archive_sha256': 'a' * 64, 'archive_size': 9}
    package |= {'member': 'm.onnx', 'member_sha256': sha(OTHER), 'member_size': len(OTHER)}
    third = image_bytes(seed=3.0)
    entry = onnx_entry(published=PUBLISHED, alternates=(Alternate(sha(third), len(third)),))
    entry = onnx_entry(
        published=PUBLISHED, alternates=entry.alternates, sources=(*entry.sources, SdistSource(**package))
    )
    store = store_of(tmp_path, entry)
    for data, how in ((OTHER, 'source'), (third, 'alternate')):
        result = importer_of(store).import_file(write(tmp_path / 'file', data))
        assert (result.model, result.how, store.pinned('net')) == ('net', how, how)
        assert record_of(store)['how'] == how and record_of(store)['sha256'] == sha(data)
        assert store.check('net', thorough=True).state == 'present'
        assert store.path('net').read_bytes() == data


def test_an_unknown_file_is_refused_and_the_command_is_named(tmp_path):
    store = store_of(tmp_path, onnx_entry('net', PUBLISHED), onnx_entry('unpinned'))
    path = write(tmp_path / 'unpinned.onnx', OTHER)
    error = refusal(lambda: importer_of(store).import_file(path), 'model-unknown-file')
    assert sha(OTHER) in error.cause and '1 models have no published sha256' in error.cause
    assert f'{path} --as unpinned' in error.hint and left(store) == []


@pytest.mark.parametrize('published', [None, PUBLISHED])
def test_a_stated_file_is_recorded_as_imported_and_held_to_its_digest(tmp_path, published):
    store = store_of(tmp_path, onnx_entry(published=published))
    result = importer_of(store).import_file(write(tmp_path / 'mine.onnx', OTHER), 'net')
    assert (result.state, result.how, store.pinned('net')) == ('imported', 'imported', 'imported')
    assert store.path('net').read_bytes() == OTHER and record_of(store)['sha256'] == sha(OTHER)
    again = importer_of(store).import_file(tmp_path / 'mine.onnx', 'net')
    assert (again.state, again.how) == ('present', 'imported')
    (store.weights / 'net.onnx').write_bytes(OTHER + b'\0')
    assert store.state('net') == 'damaged'
    error = refusal(lambda: store.path('net'), 'model-damaged')
    assert 'import it again (facefusion models import FILE --as net' in error.hint
    assert sha(OTHER) in error.cause
    error = refusal(lambda: store.verify(['net']), 'model-damaged')
    assert 'import it again' in error.hint and 'models fetch' not in error.hint
    importer_of(store).import_file(tmp_path / 'mine.onnx', 'net')
    assert store.state('net') == 'present'


def test_a_fetch_never_replaces_an_imported_file(tmp_path):
    with served() as site:
        site.files['/net'] = PUBLISHED
        source = HttpsSource((site.url('/net'),), sha(PUBLISHED), len(PUBLISHED))
        store = store_of(tmp_path, onnx_entry(published=PUBLISHED, sources=(source,)), offline=False)
        importer_of(store).import_file(write(tmp_path / 'mine.onnx', OTHER), 'net')
        store.fetch(['net'])
        assert store.path('net').read_bytes() == OTHER
        changed = write(store.weights / 'net.onnx', OTHER + b'\0')
        refusal(lambda: store.fetch(['net']), 'model-damaged')
        assert changed.read_bytes() == OTHER + b'\0' and site.requests == []
        changed.unlink()
        assert store.path('net').read_bytes() == PUBLISHED and store.pinned('net') == 'catalog'
        assert record_of(store)['how'] == 'catalog'


def test_a_file_imported_during_a_fetch_stays(tmp_path):
    events = []
    with served() as site:
        site.files['/net'] = PUBLISHED
        source = HttpsSource((site.url('/net'),), sha(PUBLISHED), len(PUBLISHED))
        store = store_of(tmp_path, onnx_entry(published=PUBLISHED, sources=(source,)), events=events, offline=False)
        path = write(tmp_path / 'mine.onnx', OTHER)
        emit, started = events.append, []

        def watch(event):
            emit(event)
            if isinstance(event, StageProgress) and not started:
                started.append(importer_of(store).import_file(path, 'net'))

        store._emit_unsafe = watch
        store.fetch(['net'])
    assert started and store.path('net').read_bytes() == OTHER
    assert any('was imported in the meantime' in getattr(event, 'text', '') for event in events)


@pytest.mark.parametrize('task', ['content_analyser', 'face_classifier', 'example'])
def test_only_the_published_file_of_a_guard_is_accepted(tmp_path, task):
    store = store_of(tmp_path, onnx_entry(published=PUBLISHED, task=task))
    error = refusal(lambda: importer_of(store).import_file(write(tmp_path / 'x', OTHER), 'net'), 'model-published-only')
    assert sha(PUBLISHED) in error.cause and left(store) == []
    # A record that claims an import does not make another file the model either.
    store.weights.mkdir()
    write(store.weights / 'net.onnx', OTHER)
    record = {'version': 1, 'models': {'net': {'sha256': sha(OTHER), 'how': 'imported'}}}
    (store.weights / 'lock.json').write_text(json.dumps(record))
    if task != 'example':
        assert store.state('net') == 'damaged'
    assert importer_of(store).import_file(write(tmp_path / 'x', PUBLISHED), 'net').state == 'imported'


@pytest.mark.parametrize(
    ('body', 'inputs', 'outputs', 'words'),
    [
        (onnx_bytes(('input', [1, 3, 9, 8])), (IMAGE,), (), 'the input input is [1, 3, 9, 8], expected [1, 3, 8, 8]'),
        (onnx_bytes(('input', [1, 3, 8])), (IMAGE,), (), 'the input input is [1, 3, 8], expected [1, 3, 8, 8]'),
        (onnx_bytes(('a', [1, 3, 8, 8]), ('b', [1])), (IMAGE,), (), 'expected 1 inputs (input), got 2: a, b'),
        (onnx_bytes(('source', [1, 4]), ('other', [1, 3, 8, 8])), PAIR, (), 'it has no input target'),
        (onnx_bytes(('input', [1, 3, 8, 8]), dtype=TensorProto.DOUBLE), (IMAGE,), (), 'is float64, expected float32'),
        (image_bytes(), (IMAGE,), (IMAGE, IMAGE), 'expected 2 outputs (input, input), got 1: out0'),
        (
            image_bytes(),
            (IMAGE,),
            (Tensor('y', (1, 512), 'float32'),),
            'the output out0 is [1, 3, 8, 8], expected [1, 512]',
        ),
    ],
)
def test_a_stated_file_with_other_tensors_is_refused(tmp_path, body, inputs, outputs, words):
    store = store_of(tmp_path, onnx_entry(inputs=inputs, outputs=outputs))
    error = refusal(lambda: importer_of(store).import_file(write(tmp_path / 'x.onnx', body), 'net'), 'model-tensors')
    assert words in error.cause and 'x.onnx' in error.message and left(store) == []


@pytest.mark.parametrize(
    ('body', 'inputs'),
    [
        (onnx_bytes(('anything', ['n', 3, 'h', 'w'])), (IMAGE,)),
        (onnx_bytes(('target', [1, 3, 8, 8]), ('source', [7, 4])), PAIR),
        (onnx_bytes(('input', [1, 3, 8, 8]), outputs=3), (IMAGE,)),
        (onnx_bytes(('input', None)), (IMAGE,)),
    ],
)
def test_free_axes_names_of_one_input_and_more_outputs_make_no_difference(tmp_path, body, inputs):
    store = store_of(tmp_path, onnx_entry(inputs=inputs))
    assert importer_of(store).import_file(write(tmp_path / 'x.onnx', body), 'net').state == 'imported'


def test_weights_among_the_inputs_do_not_count(tmp_path):
    model = onnx.load_from_string(image_bytes())
    model.graph.input.append(onnx.helper.make_tensor_value_info('c', TensorProto.FLOAT, [1]))
    store = store_of(tmp_path, onnx_entry())
    path = write(tmp_path / 'x.onnx', model.SerializeToString())
    assert importer_of(store).import_file(path, 'net').state == 'imported'


@pytest.mark.parametrize('body', [b'<html>no such file</html>', b'\0' * 100, PUBLISHED[:-20], b'\x08', b'{"a": 1}'])
def test_a_stated_file_that_is_not_onnx_is_refused(tmp_path, body):
    store = store_of(tmp_path, onnx_entry())
    error = refusal(lambda: importer_of(store).import_file(write(tmp_path / 'x.onnx', body), 'net'), 'model-not-onnx')
    assert 'x.onnx' in error.message and error.cause and left(store) == []


def test_a_file_with_its_weights_elsewhere_is_refused(tmp_path):
    model = onnx.load_from_string(onnx_bytes(('input', [1, 3, 8, 8])))
    constant = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(model.graph.initializer[0]).repeat(999), 'c')
    model.graph.initializer[0].CopyFrom(constant)
    onnx.save_model(model, tmp_path / 'x.onnx', save_as_external_data=True, location='x.data', size_threshold=0)
    store = store_of(tmp_path, onnx_entry())
    refusal(lambda: importer_of(store).import_file(tmp_path / 'x.onnx', 'net'), 'model-external')
    assert left(store) == []


def test_files_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    importer = importer_of(store_of(tmp_path, onnx_entry()))
    refusal(lambda: importer.import_file(tmp_path / 'none', 'net'), 'model-file-missing')
    refusal(lambda: importer.import_file(tmp_path, 'net'), 'model-file-folder')
    refusal(lambda: importer.import_file(write(tmp_path / 'empty', b''), 'net'), 'model-file-empty')
    refusal(lambda: importer.import_file(tmp_path / 'empty' / 'below', 'net'), 'model-file-unreadable')
    if hasattr(os, 'mkfifo'):
        os.mkfifo(tmp_path / 'pipe')
        refusal(lambda: importer.import_file(tmp_path / 'pipe', 'net'), 'model-file-unreadable')

    def refuse(*_):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr('facefusion.models.copying.file_sha256', refuse)
    error = refusal(lambda: importer.import_file(write(tmp_path / 'x', OTHER), 'net'), 'model-file-unreadable')
    assert 'Permission denied' in error.cause


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    store = store_of(tmp_path, onnx_entry(published=PUBLISHED))
    path = write(tmp_path / 'x', PUBLISHED)

    def fill(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(importing, 'publish', fill)
    with pytest.raises(ResourceError) as error:
        importer_of(store).import_file(path)
    assert error.value.reference == 'disk-full' and left(store) == []
    monkeypatch.setattr(transfer.shutil, 'disk_usage', lambda folder: type('Usage', (), {'free': 10}))
    with pytest.raises(ResourceError) as error:
        importer_of(store).import_file(path)
    assert error.value.reference == 'disk-space' and left(store) == []


def test_a_models_folder_that_is_a_file_is_named(tmp_path):
    store = store_of(tmp_path, onnx_entry(published=PUBLISHED))
    store.weights.write_text('x')
    with pytest.raises(OutputError) as error:
        importer_of(store).import_file(write(tmp_path / 'x', PUBLISHED))
    assert error.value.reference == 'models-folder'


def test_a_file_that_changes_while_it_is_copied_is_refused(tmp_path, monkeypatch):
    store = store_of(tmp_path, onnx_entry(published=PUBLISHED))
    path = write(tmp_path / 'x', PUBLISHED)
    monkeypatch.setattr(importing, 'require_space', lambda *_: path.write_bytes(OTHER))
    error = refusal(lambda: importer_of(store).import_file(path), 'model-file-changed')
    assert sha(PUBLISHED) in error.cause and left(store) == []


def test_a_stop_ends_an_import_and_leaves_nothing(tmp_path):
    store, stop = store_of(tmp_path, onnx_entry(published=PUBLISHED)), StopFlag()
    path = write(tmp_path / 'x', PUBLISHED)
    events = type('Stopping', (list,), {'append': lambda self, event: stop.set('asked')})()
    with pytest.raises(Interrupted):
        importer_of(store, events, stop).import_file(path)
    assert left(store) == []


def test_the_policy_decides_before_anything_is_copied(tmp_path):
    def forbid(model_id):
        raise ModelError('model-licence', f'{model_id} is forbidden', hint='x')

    store = store_of(tmp_path, onnx_entry(published=PUBLISHED))
    path = write(tmp_path / 'x', PUBLISHED)
    refusal(lambda: importer_of(store, may_use=forbid).import_file(path), 'model-licence')
    (result,) = importer_of(store, may_use=forbid).import_folder(path.parent)
    assert result.state == 'refused' and 'net is forbidden' in result.reason and left(store) == []


def test_the_source_of_a_converted_model_is_converted(tmp_path):
    file = TfliteFile()
    x, y = file.tensor('x', (1, 4, 4, 1)), file.tensor('y', (1, 4, 4, 1))
    file.operator('RELU', [x], [y])
    body = file.data([x], [y])
    source = HttpsSource(('https://localhost:1/made',), sha(body), len(body))
    entry = onnx_entry('made', sources=(source,), convert=Conversion('tflite', 1), inputs=())
    store = store_of(tmp_path, entry)
    path = write(tmp_path / 'made.tflite', body)
    result = importer_of(store).import_file(path)
    assert (result.state, result.how, store.pinned('made')) == ('imported', 'converted', 'source')
    assert onnx.load(store.path('made')).graph.node
    assert importer_of(store).import_file(path).state == 'present'


def test_half_of_a_source_of_two_files_is_not_recognised(tmp_path):
    package = {'package': 'p', 'version': '1', 'archive': 'p.tar.gz', 'archive_sha256': 'a' * 64, 'archive_size': 9}
    package |= {'member': 'm.bin', 'member_sha256': sha(OTHER), 'member_size': len(OTHER)}
    source = SdistSource(**package, companion=Companion('m.param', 'b' * 64, 5))
    store = store_of(tmp_path, onnx_entry(sources=(source,), convert=Conversion('tflite', 1)))
    refusal(lambda: importer_of(store).import_file(write(tmp_path / 'm.bin', OTHER)), 'model-unknown-file')


def test_a_folder_is_imported_and_the_unknown_files_are_listed(tmp_path):
    store = store_of(tmp_path, onnx_entry('net', PUBLISHED), onnx_entry('unpinned'))
    folder = tmp_path / 'folder'
    (folder / 'below').mkdir(parents=True)
    write(folder / 'a.onnx', PUBLISHED)
    write(folder / 'a.hash', b'1234')
    write(folder / '.hidden', OTHER)
    write(folder / 'empty.onnx', b'')
    write(folder / 'unpinned.onnx', OTHER)
    results = list(importer_of(store).import_folder(folder))
    assert [(result.path.name, result.state, result.model) for result in results] == [
        ('a.onnx', 'imported', 'net'),
        ('empty.onnx', 'refused', ''),
        ('unpinned.onnx', 'unknown', ''),
    ]
    assert '--as unpinned' in results[2].reason and 'is empty' in results[1].reason
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ['.hidden', 'a.hash', 'a.onnx', 'below', 'empty.onnx', 'unpinned.onnx']
    )


def test_a_manifest_of_another_program_is_ignored(tmp_path):
    events = []
    store = store_of(tmp_path, onnx_entry('net', PUBLISHED))
    folder = tmp_path / 'folder'
    folder.mkdir()
    write(folder / 'manifest.json', b'{"name": "an app"}')
    write(folder / 'a.onnx', PUBLISHED)
    (result,) = importer_of(store, events).import_folder(folder)
    assert result.model == 'net' and 'manifest.json is not a manifest' in events[0].text


def test_an_imported_file_is_a_session_only_with_the_tensors_of_the_catalogue(tmp_path):
    store = store_of(tmp_path, onnx_entry())
    importer_of(store).import_file(write(tmp_path / 'x.onnx', OTHER), 'net')
    changed = onnx_entry(inputs=(Tensor('input', (1, 3, 16, 16), 'float32'),))
    later = ModelStore(store_of(tmp_path, changed).catalog, store.weights, offline=True, emit=silent)
    error = refusal(lambda: later.path('net'), 'model-tensors')
    assert '[1, 3, 16, 16]' in error.cause


def test_imports_at_once_leave_one_file_that_fits_its_record(tmp_path):
    store = store_of(tmp_path, onnx_entry(), onnx_entry('net2', PUBLISHED))
    bodies = [image_bytes(seed=float(seed)) for seed in range(2, 8)]
    paths = [write(tmp_path / f'{number}', body) for number, body in enumerate(bodies)]
    failures = []

    def bring(path):
        try:
            importer_of(store_of(tmp_path, *store.catalog)).import_file(path, 'net')
        except ModelError as error:
            failures.append(error)

    threads = [threading.Thread(target=bring, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and store.path('net').read_bytes() in bodies
    assert left(store) == ['.lock.json.guard', 'lock.json', 'net.onnx']


def test_a_large_import_is_not_read_again_before_it_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, 'CACHED_FROM_BYTES', 10)
    store = store_of(tmp_path, onnx_entry('own'), onnx_entry('net', PUBLISHED))
    importer_of(store).import_file(write(tmp_path / 'a', OTHER), 'own')
    importer_of(store).import_file(write(tmp_path / 'b', PUBLISHED))
    read, real = [], store_module.file_sha256
    monkeypatch.setattr(store_module, 'file_sha256', lambda path: read.append(path) or real(path))
    assert [store.check(model).how for model in ('own', 'net')] == ['imported', 'catalog'] and read == []
    (store.weights / 'own.onnx').write_bytes(PUBLISHED)
    assert store.state('own') == 'damaged' and read
