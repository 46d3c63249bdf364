from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from facefusion import shortage
from facefusion.errors import ModelError, ProviderError, ResourceError
from facefusion.inference import pool as pool_module
from facefusion.inference.pool import SessionPool
from facefusion.inference.probe_models import one_node_model
from facefusion.inference.providers import RUNTIME_NAMES, create_session, probe_provider, resolve_providers

listed = set(onnxruntime.get_available_providers())
missing = [name for name, runtime_name in RUNTIME_NAMES.items() if runtime_name not in listed]
model = one_node_model()


def test_the_cpu_always_works():
    probe_provider('cpu')
    session = create_session(model, ('cpu',), 0)
    assert session.get_providers() == ['CPUExecutionProvider']
    (output,) = session.run(None, {'x': np.array([2.0], np.float32)})
    assert output.tolist() == [-2.0]


def test_a_model_may_be_a_file(tmp_path):
    path = tmp_path / 'a model.onnx'
    path.write_bytes(model)
    assert create_session(path, ('cpu',), 0).get_inputs()[0].name == 'x'


@pytest.mark.skipif(not missing, reason='this onnxruntime has every provider')
@pytest.mark.parametrize('name', missing)
def test_a_missing_provider_is_a_typed_error(name):
    with pytest.raises(ProviderError) as caught:
        probe_provider(name)
    error = caught.value
    assert (error.exit_code, error.reference) == (7, 'provider-unavailable')
    assert name in error.message and error.cause
    package = {'cuda': 'install.py --device cuda', 'tensorrt': 'install.py --device cuda', 'coreml': 'for macOS'}
    assert '--execution-providers cpu' in error.hint
    assert package.get(name, f'onnxruntime-{name}') in error.hint


@pytest.mark.skipif('cuda' not in missing, reason='this onnxruntime has CUDA')
def test_auto_is_the_cpu_on_a_machine_without_a_gpu():
    assert resolve_providers(('auto',)) == ('cpu',)


def test_names_keep_their_order_and_are_unique():
    assert resolve_providers(('cuda', 'cpu', 'cuda')) == ('cuda', 'cpu')
    both = resolve_providers(('cpu', 'auto', 'cpu'))
    assert both[0] == 'cpu' and len(set(both)) == len(both)


class FallenBack:
    """A session on another provider, like one that onnxruntime creates if the libraries of a provider are missing."""

    def __init__(self, path, options, providers, enable_fallback):
        assert not enable_fallback
        self.asked = providers

    def get_providers(self):
        return ['CPUExecutionProvider']


@pytest.fixture
def cuda_is_listed(monkeypatch):
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: list(RUNTIME_NAMES.values()))
    monkeypatch.setattr(onnxruntime, 'preload_dlls', lambda: None, raising=False)


def test_a_session_that_silently_fell_back_is_refused(cuda_is_listed, monkeypatch):
    monkeypatch.setattr(onnxruntime, 'InferenceSession', FallenBack)
    with pytest.raises(ProviderError) as caught:
        create_session(model, ('cuda', 'cpu'), 0)
    assert 'runs on CPUExecutionProvider instead' in caught.value.cause
    assert resolve_providers(('auto',)) == ('cpu',)


def test_auto_selects_cuda_where_a_session_runs_on_it(cuda_is_listed, monkeypatch):
    class OnTheGpu(FallenBack):
        def get_providers(self):
            return ['CUDAExecutionProvider', 'CPUExecutionProvider']

        def run(self, names, feeds):
            return [-feeds['x']]

    monkeypatch.setattr(onnxruntime, 'InferenceSession', OnTheGpu)
    assert resolve_providers(('auto',)) == ('cuda', 'cpu')
    session = create_session(model, ('cuda', 'cpu'), 3)
    (name, settings), cpu = session.asked
    assert (name, settings['device_id'], cpu) == ('CUDAExecutionProvider', 3, 'CPUExecutionProvider')


def test_auto_probes_the_device_of_the_run(cuda_is_listed, monkeypatch):
    class OnTheSecond(FallenBack):
        def get_providers(self):
            return ['CUDAExecutionProvider'] if self.asked[0][1].get('device_id') == 1 else ['CPUExecutionProvider']

        def run(self, names, feeds):
            return [-feeds['x']]

    monkeypatch.setattr(onnxruntime, 'InferenceSession', OnTheSecond)
    assert resolve_providers(('auto',), 1) == ('cuda', 'cpu')
    assert resolve_providers(('auto',), 0) == ('cpu',)


def test_any_exception_of_the_runtime_becomes_a_typed_error(cuda_is_listed, monkeypatch):
    def explode(*arguments, **named):
        raise RuntimeError('libcudnn.so.9: cannot open shared object file\nand a long trace')

    monkeypatch.setattr(onnxruntime, 'InferenceSession', explode)
    with pytest.raises(ProviderError) as caught:
        create_session(model, ('cuda',), 0)
    assert caught.value.cause == 'libcudnn.so.9: cannot open shared object file'


def test_a_model_is_reported_as_damaged_only_with_enough_memory(tmp_path, monkeypatch):
    path = tmp_path / 'damaged.onnx'
    path.write_bytes(model[:20])
    with pytest.raises(ModelError) as caught:
        create_session(path, ('cpu',), 0)
    assert caught.value.reference == 'model-unusable' and f'remove {path}' in caught.value.hint
    monkeypatch.setattr(shortage, 'probe_available', lambda size, threads: (False, 0))
    with pytest.raises(ResourceError, match='memory ran out') as short:
        create_session(path, ('cpu',), 0)
    assert 'loading damaged.onnx' in short.value.cause and 'remove' not in short.value.hint


@pytest.mark.parametrize('name', ['cpu', 'cuda'])
def test_a_session_without_memory_is_a_memory_error(cuda_is_listed, tmp_path, monkeypatch, name):
    def starve(*arguments, **named):
        raise RuntimeError('[ONNXRuntimeError] : 6 : Exception during initialization: std::bad_alloc')

    path = tmp_path / 'good.onnx'
    path.write_bytes(model)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', starve)
    with pytest.raises(ResourceError) as caught:
        create_session(path, (name,), 0)
    assert caught.value.reference == 'memory-out'


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []

    def path(self, model_id: str) -> Path:
        self.asked.append(model_id)
        if model_id == 'unknown':
            raise ModelError('model-unknown', 'there is no model unknown')
        return self.folder / f'{model_id}.onnx'


@pytest.fixture
def pool(tmp_path):
    for name in ('one', 'two'):
        (tmp_path / f'{name}.onnx').write_bytes(model)
    (tmp_path / 'folder.onnx').mkdir()
    files = Files(tmp_path)
    return SessionPool(files, ('cpu',), 0), files


def test_each_model_is_loaded_once_at_its_first_use(pool):
    sessions, files = pool
    assert files.asked == []
    one = sessions.session('one')
    assert sessions.session('one') is one and sessions.session('two') is not one
    assert files.asked == ['one', 'two']


def test_threads_share_one_session(pool, monkeypatch):
    sessions, _ = pool
    created = []

    def slow(path, names, device, threads, rules):
        created.append(path)
        threading.Event().wait(0.02)
        return object()

    monkeypatch.setattr(pool_module, 'create_session', slow)
    found = []
    threads = [threading.Thread(target=lambda: found.append(sessions.session('one'))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(created) == 1 and len(set(map(id, found))) == 1


def test_sessions_are_cached_by_their_number_of_threads(pool, monkeypatch):
    sessions, _ = pool
    asked = []
    monkeypatch.setattr(pool_module, 'create_session', lambda *asked_for: asked.append(asked_for[3]) or object())
    one, four = sessions.session('one'), sessions.at(4).session('one')
    assert one is not four and asked == [1, 4]
    assert sessions.at(4).session('one') is four and sessions.at(4).at(1).session('one') is one
    assert asked == [1, 4]


def test_unreadable_weights_are_a_model_error(pool):
    sessions, _ = pool
    for name in ('folder', 'gone'):
        with pytest.raises(ModelError) as caught:
            sessions.session(name)
        assert caught.value.reference == 'model-unreadable' and name in caught.value.message
    with pytest.raises(ModelError) as unknown:
        sessions.session('unknown')
    assert unknown.value.reference == 'model-unknown'


def test_a_failure_is_not_cached(pool, tmp_path):
    sessions, _ = pool
    with pytest.raises(ModelError):
        sessions.session('later')
    (tmp_path / 'later.onnx').write_bytes(model)
    assert sessions.session('later') is not None


def test_two_pools_share_nothing(tmp_path):
    (tmp_path / 'one.onnx').write_bytes(model)
    first, second = (SessionPool(Files(tmp_path), ('cpu',), 0) for _ in range(2))
    assert first.session('one') is not second.session('one')
