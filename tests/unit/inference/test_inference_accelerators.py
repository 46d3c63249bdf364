"""Tests of sessions on accelerators, with the CPU provider behind their names."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.accelerator import ENGINE, MISSING_LIBRARY, Accelerator, FakeDriver
from fakes.stand_ins import enhancer

from facefusion.device_failure import as_device_failure
from facefusion.errors import ModelError, ProviderError
from facefusion.inference import devices, engine_cache, providers
from facefusion.inference.libraries import missing_library, remedy_for
from facefusion.inference.options import ExecutionOptions
from facefusion.inference.pool import SessionPool, open_sessions
from facefusion.inference.providers import (
    AUTO_ORDER,
    RUNTIME_NAMES,
    SessionRules,
    create_session,
    select_providers,
)
from facefusion.models.catalog import Contract

NETWORK = enhancer(8)
CROPS = np.random.default_rng(3).random((3, 3, 8, 8), np.float32)


def run(session) -> np.ndarray:
    return session.run(None, {'input': CROPS})[0]


@pytest.fixture
def messages():
    return []


@pytest.fixture
def network(tmp_path):
    path = tmp_path / 'network.onnx'
    path.write_bytes(NETWORK)
    return path


def options(*names, **values) -> ExecutionOptions:
    return ExecutionOptions(execution_providers=names, **values)


@pytest.mark.parametrize('name', [name for name in RUNTIME_NAMES if name != 'cpu'])
def test_every_provider_computes_what_the_cpu_does(monkeypatch, network, name):
    expected = run(create_session(network, ('cpu',), 0))
    accelerator = Accelerator(name).install(monkeypatch)
    assert np.array_equal(run(create_session(network, (name, 'cpu'), 0)), expected)
    assert [session.asked[0] for session in accelerator.sessions] == [RUNTIME_NAMES[name]]


@pytest.mark.parametrize('name', AUTO_ORDER)
def test_auto_selects_the_accelerator_of_the_build(monkeypatch, name):
    Accelerator(name).install(monkeypatch)
    assert select_providers(options('auto')) == (name, 'cpu')


@pytest.mark.parametrize('name', ['tensorrt', 'qnn'])
def test_auto_leaves_out_providers_that_need_preparation(monkeypatch, name):
    Accelerator(name).install(monkeypatch)
    assert name not in select_providers(options('auto'))


def test_a_provider_outside_of_the_build_is_named_with_its_package(monkeypatch):
    Accelerator('openvino', in_build=False).install(monkeypatch)
    with pytest.raises(ProviderError, match='openvino') as caught:
        select_providers(options('openvino'))
    assert caught.value.exit_code == 7 and 'built without it' in caught.value.cause
    assert 'install onnxruntime-openvino' in caught.value.hint


def test_two_builds_explain_a_provider_that_is_not_there(monkeypatch):
    Accelerator(in_build=False).install(monkeypatch)
    monkeypatch.setattr(providers, 'installed_builds', lambda: {'onnxruntime': '1.32.0', 'onnxruntime-gpu': '1.31.1'})
    with pytest.raises(ProviderError) as caught:
        select_providers(options('cuda'))
    assert '2 builds of onnxruntime are installed' in caught.value.cause
    assert 'uninstall -y onnxruntime onnxruntime-gpu' in caught.value.hint and 'install.py' in caught.value.hint


def test_a_mismatch_names_the_missing_library(monkeypatch, network):
    Accelerator(mismatch=True, library_error=MISSING_LIBRARY).install(monkeypatch)
    with pytest.raises(ProviderError) as caught:
        create_session(network, ('cuda', 'cpu'), 0)
    error = caught.value
    assert (error.exit_code, error.reference) == (7, 'provider-unavailable')
    assert error.cause.startswith(MISSING_LIBRARY) and 'runs on CPUExecutionProvider instead' in error.cause
    assert error.facts == {'provider': 'cuda', 'library': 'libcudnn.so.9'}
    assert 'install.py --device cuda' in error.hint


def test_a_library_of_another_version_is_named(monkeypatch, network):
    text = "libcudart.so.13: version `libcudart.so.13' not found (required by libonnxruntime_providers_cuda.so)"
    Accelerator(mismatch=True, library_error=text).install(monkeypatch)
    with pytest.raises(ProviderError) as caught:
        create_session(network, ('cuda',), 0)
    assert text in caught.value.cause and caught.value.facts['library'] == 'libcudart.so.13'


@pytest.mark.parametrize(
    ('text', 'library', 'advice'),
    [
        (MISSING_LIBRARY, 'libcudnn.so.9', 'install.py --device cuda'),
        ('Failed to load library x/libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.10: cannot open '
         'shared object file: No such file or directory', 'libnvinfer.so.10', 'tensorrt'),
        ('libcuda.so.1: cannot open shared object file', 'libcuda.so.1', 'NVIDIA driver'),
        ('Error loading "onnxruntime_providers_cuda.dll" which depends on "cudnn64_9.dll" which is missing.', '', ''),
        ('the session runs on CPUExecutionProvider instead', '', ''),
    ],
)  # fmt: skip
def test_the_words_of_the_linker_name_a_library(text, library, advice):
    assert missing_library(text) == library
    assert advice in remedy_for(library) and bool(remedy_for(library)) == bool(advice)


def test_fallback_is_a_warning_and_runs_on_the_cpu(monkeypatch, messages):
    Accelerator(mismatch=True, library_error=MISSING_LIBRARY).install(monkeypatch)
    assert select_providers(options('cuda', allow_cpu_fallback=True), messages.append) == ('cpu',)
    (message,) = messages
    assert message.level == 'warn' and 'libcudnn.so.9' in message.text and 'the CPU is used' in message.text


def test_without_a_failure_the_permission_changes_nothing(monkeypatch, messages):
    Accelerator().install(monkeypatch)
    assert select_providers(options('cuda', allow_cpu_fallback=True), messages.append) == ('cuda',)
    assert messages == []


def test_a_single_session_falls_back_only_with_permission(monkeypatch, network, messages):
    expected = run(create_session(network, ('cpu',), 0))
    Accelerator(mismatch=True).install(monkeypatch)
    session = create_session(network, ('cuda',), 0, 1, SessionRules(True, emit=messages.append))
    assert session.get_providers() == ['CPUExecutionProvider'] and np.array_equal(run(session), expected)
    assert [message.level for message in messages] == ['warn']


def test_auto_warns_about_an_accelerator_that_does_not_work(monkeypatch, messages):
    Accelerator(mismatch=True, library_error=MISSING_LIBRARY).install(monkeypatch)
    assert select_providers(options('auto'), messages.append) == ('cpu',)
    assert [message.level for message in messages] == ['warn'] and 'libcudnn.so.9' in messages[0].text


@pytest.mark.parametrize('names', [('cuda',), ('tensorrt', 'cuda'), ('auto',)])
def test_a_device_that_is_not_there_is_named_with_those_that_are(monkeypatch, names):
    Accelerator('tensorrt' if 'tensorrt' in names else 'cuda', devices=2).install(monkeypatch)
    with pytest.raises(ProviderError, match='no device 2, 7') as caught:
        select_providers(options(*names, execution_device_ids=(0, 2, 7)))
    error = caught.value
    assert (error.exit_code, error.reference, error.facts) == (7, 'device-missing', {'devices': [0, 1]})
    assert '0 (Test Card 0), 1 (Test Card 1)' in error.cause and error.hint == 'use --execution-device-ids 0 1'


def test_a_device_of_another_provider_is_checked_by_its_session(monkeypatch, network):
    Accelerator('directml').install(monkeypatch)
    with pytest.raises(ProviderError, match='directml') as caught:
        create_session(network, ('directml',), 4)
    assert 'GPU=4' in caught.value.cause


def test_hidden_devices_are_explained(monkeypatch, messages):
    Accelerator(devices=0).install(monkeypatch)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    with pytest.raises(ProviderError) as caught:
        select_providers(options('cuda'))
    assert 'CUDA_VISIBLE_DEVICES is empty, which hides all devices' in caught.value.cause
    assert 'unset CUDA_VISIBLE_DEVICES' in caught.value.hint
    assert select_providers(options('auto'), messages.append) == ('cpu',)
    assert 'CUDA_VISIBLE_DEVICES is empty' in messages[0].text


def test_device_numbers_without_effect_are_mentioned(messages):
    assert select_providers(options('cpu', execution_device_ids=(1,)), messages.append) == ('cpu',)
    assert [message.level for message in messages] == ['warn'] and '1 has no effect' in messages[0].text


def test_the_driver_lists_its_devices(monkeypatch):
    monkeypatch.setattr(devices, 'load_driver', lambda: FakeDriver(2))
    assert devices.find_driver() == devices.CudaDriver('13.1', ('Test Card 0', 'Test Card 1'))
    monkeypatch.setattr(devices, 'load_driver', lambda: FakeDriver(0))
    assert devices.find_driver() == devices.CudaDriver('13.1', ())
    monkeypatch.setattr(devices, 'load_driver', lambda: None)
    assert devices.find_driver() is None


def test_nodes_left_to_the_cpu_are_counted(monkeypatch, network, messages):
    Accelerator(left_to_cpu=4).install(monkeypatch)
    create_session(network, ('cuda',), 0, 1, SessionRules(emit=messages.append))
    assert [(message.level, message.text) for message in messages] == [
        ('debug', 'network.onnx: cuda left 4 of 14 nodes to the CPU')
    ]


def test_cuda_options_keep_memory_bounded_with_varying_shapes(monkeypatch, network):
    accelerator = Accelerator().install(monkeypatch)
    create_session(network, ('cuda',), 0)
    assert accelerator.sessions[0].options == {
        'device_id': 0,
        'arena_extend_strategy': 'kSameAsRequested',
        'cudnn_conv_algo_search': 'HEURISTIC',
    }


def test_nodes_that_tensorrt_does_not_support_stay_on_the_device(monkeypatch, network):
    accelerator = Accelerator('tensorrt').install(monkeypatch)
    create_session(network, ('tensorrt', 'cpu'), 0)
    assert accelerator.sessions[0].asked == [RUNTIME_NAMES[name] for name in ('tensorrt', 'cuda', 'cpu')]


def folder_of(network):
    (folder,) = (network.parent / 'engines').iterdir()
    return folder


def test_an_engine_is_stored_beside_its_model_and_used_again(monkeypatch, network):
    Accelerator('tensorrt').install(monkeypatch)
    create_session(network, ('tensorrt',), 0)
    first = folder_of(network)
    built = (first / 'fake.engine').stat().st_mtime_ns
    create_session(network, ('tensorrt',), 0)
    assert folder_of(network) == first and (first / 'fake.engine').stat().st_mtime_ns == built


def test_engines_differ_by_model_device_precision_and_versions(monkeypatch, network, tmp_path):
    accelerator = Accelerator('tensorrt', devices=2).install(monkeypatch)

    def name(model=network, device=0, variant='full'):
        return engine_cache.folder_name(model, 'tensorrt', device, variant)

    other = tmp_path / 'other.onnx'
    other.write_bytes(enhancer(16))
    before = name()
    assert len({before, name(other), name(device=1), name(variant='half')}) == 4
    monkeypatch.setattr(engine_cache, 'tensorrt_version', lambda: '10.99.0')
    assert name() != before
    create_session(network, ('tensorrt',), 0)
    assert accelerator.sessions and folder_of(network).name == name()
    monkeypatch.setattr(engine_cache, 'tensorrt_version', lambda: '11.0.0')
    create_session(network, ('tensorrt',), 0)
    assert folder_of(network).name == name(), 'the folder of another version was kept'


@pytest.mark.parametrize('reads_late', [False, True])
def test_a_damaged_engine_is_built_again_with_a_warning(monkeypatch, network, messages, reads_late):
    expected = run(create_session(network, ('cpu',), 0))
    Accelerator('tensorrt', reads_engine_late=reads_late).install(monkeypatch)
    run(create_session(network, ('tensorrt',), 0))
    engine = folder_of(network) / 'fake.engine'
    engine.write_bytes(b'half an eng')
    session = create_session(network, ('tensorrt',), 0, 1, SessionRules(emit=messages.append))
    assert np.array_equal(run(session), expected) and engine.read_bytes().startswith(ENGINE)
    assert [message.level for message in messages] == ['warn'] and 'compiled again' in messages[0].text


def test_a_folder_that_cannot_be_written_only_costs_the_cache(monkeypatch, network, messages):
    Accelerator('tensorrt').install(monkeypatch)
    # Removing permissions would not be enough, because the tests may run as root.
    (network.parent / 'engines').write_bytes(b'a file in place of the folder')
    session = create_session(network, ('tensorrt',), 0, 1, SessionRules(emit=messages.append))
    assert 'trt_engine_cache_path' not in session.options
    assert [message.level for message in messages] == ['warn'] and 'cannot be stored' in messages[0].text


class Files:
    def __init__(self, path, contract):
        self._path, self._contract = path, contract

    def path(self, model_id):
        return self._path

    def contract(self, model_id):
        if self._contract is None:
            raise ModelError('model-contract', 'there is none')
        return self._contract


@pytest.mark.parametrize(
    ('contract', 'half'),
    [
        (None, False),
        (Contract('swapper'), False),
        (Contract('swapper', precision='fp16'), True),
        (Contract('swapper', keeps_quality_in_fp16=True), True),
    ],
)
def test_half_precision_needs_the_permission_of_the_catalogue(monkeypatch, network, contract, half):
    accelerator = Accelerator('tensorrt').install(monkeypatch)
    SessionPool(Files(network, contract), ('tensorrt',), 0).session('network')
    assert accelerator.sessions[0].options['trt_fp16_enable'] is half


def test_a_lost_device_ends_a_run_with_its_reason(monkeypatch, network):
    Accelerator(lost_at=2).install(monkeypatch)
    session = open_sessions(Files(network, None), options('cuda')).session('network')
    run(session)
    with pytest.raises(ProviderError) as caught:
        run(session)
    error = caught.value
    assert (error.exit_code, error.reference) == (7, 'device-failed')
    assert 'CUDA failure 719' in error.cause and 'run the same command again' in error.hint


@pytest.mark.parametrize(
    ('text', 'is_failure'),
    [
        ('DmlExecutionProvider: 887A0005 The GPU device instance has been suspended.', True),
        ('[ONNXRuntimeError] : 11 : EP_FAIL : TensorRT EP failed to create engine', True),
        ('CUDA failure 2: out of memory ; GPU=0', False),
        ('CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', False),
        ('[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions', False),
    ],
)
def test_only_failures_of_the_device_are_recognised(text, is_failure):
    assert (as_device_failure(RuntimeError(text)) is not None) == is_failure
