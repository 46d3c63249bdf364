"""Tests that calls on an accelerator reuse buffers, keep shapes, and survive a shortage of its memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fakes.accelerator import OUT_OF_MEMORY, Accelerator
from fakes.batch_networks import crops, network

from facefusion.errors import ProviderError, ResourceError
from facefusion.inference.batches import run_batched
from facefusion.inference.pool import SessionPool

KINDS = ('free', 'plain', 'reshape', 'token', 'resize')


class Files:
    def __init__(self, folder):
        self._folder = folder

    def path(self, model_id):
        return self._folder / f'{model_id}.onnx'


@pytest.fixture
def files(tmp_path):
    for kind in (*KINDS, 'squeeze'):
        (tmp_path / f'{kind}.onnx').write_bytes(network(kind))
    return Files(tmp_path)


@pytest.fixture
def opened(files, monkeypatch):
    """A function that returns a pool on an accelerator, the accelerator, and the warnings of the pool."""

    def make(**failures):
        device = Accelerator(**failures).install(monkeypatch)
        pool, warnings = SessionPool(files, ('cuda', 'cpu'), 0), []
        pool.ladder.begin(lambda event: warnings.append(event.text))
        return pool, device, warnings

    return make


def expected(files, kind, values):
    session = SessionPool(files, ('cpu',), 0).batched(kind)
    return run_batched(session, {'crops': values}, 1)[0]


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('size', [1, 3, 8])
def test_each_crop_is_bit_equal_in_batches_of_any_size(files, opened, kind, size):
    values = crops(25)
    alone = expected(files, kind, values)
    pool, device, warnings = opened()
    output = run_batched(pool.batched(kind), {'crops': values}, size)[0]
    np.testing.assert_array_equal(output, alone)
    assert {shape for shape in device.calls if shape} == {(size, 3, 8, 8)}
    assert not warnings


@pytest.mark.parametrize('kind', ['free', 'reshape'])
def test_outputs_of_earlier_calls_do_not_change(files, opened, kind):
    pool, _, _ = opened()
    session = pool.batched(kind)
    first = run_batched(session, {'crops': crops(4, 1)}, 4)[0]
    before = first.copy()
    run_batched(session, {'crops': crops(4, 2)}, 4)
    np.testing.assert_array_equal(first, before)


def test_inputs_of_the_caller_do_not_change(opened):
    pool, _, _ = opened()
    values, session = crops(4, 1), pool.batched('free')
    before = values.copy()
    for seed in (1, 2):
        session.run(None, {'crops': crops(4, seed)})
        session.run(None, {'crops': values})
    np.testing.assert_array_equal(values, before)


def test_threads_do_not_share_buffers(files, opened):
    pool, _, _ = opened()
    session, results = pool.batched('free'), {}

    def work(seed):
        results[seed] = [session.run(None, {'crops': crops(4, seed)})[0] for _ in range(30)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, outputs in results.items():
        alone = expected(files, 'free', crops(4, seed))
        for output in outputs:
            np.testing.assert_array_equal(output, alone)


@pytest.mark.parametrize('number', range(1, 8))
def test_memory_that_runs_out_at_any_call_changes_no_pixel(files, opened, number):
    values = crops(25)
    pool, _, warnings = opened(full_at=[number])
    output = run_batched(pool.batched('reshape'), {'crops': values}, 4)[0]
    np.testing.assert_array_equal(output, expected(files, 'reshape', values))
    assert pool.ladder.steps() == [{'model': 'reshape', 'step': 'smaller calls', 'crops': 2}]
    assert len(warnings) == 1 and 'reshape gets 2 crops per call' in warnings[0]


@pytest.mark.parametrize(('full_above', 'size'), [(4, 4), (3, 2), (1, 1)])
def test_smaller_calls_have_one_shape_and_last_until_the_end_of_the_run(files, opened, full_above, size):
    values = crops(25)
    pool, device, _ = opened(full_above=full_above)
    session = pool.batched('plain')
    output = run_batched(session, {'crops': values}, 8)[0]
    np.testing.assert_array_equal(output, expected(files, 'plain', values))
    failed = len([shape for shape in device.calls if shape[0] > size])
    assert failed == {4: 1, 2: 2, 1: 3}[size]
    assert {shape[0] for shape in device.calls if shape[0] <= size} == {size}
    assert pool.ladder.steps() == [{'model': 'plain', 'step': 'smaller calls', 'crops': size}]
    pool.ladder.begin(lambda event: None)
    assert pool.ladder.steps() == [] and pool.ladder.most_crops('plain', 8) == 8


def test_a_network_that_takes_one_crop_gets_the_memory_of_idle_sessions(files, opened):
    pool, device, warnings = opened()
    idle, session = pool.session('free'), pool.session('squeeze')
    values = crops(1)
    idle.run(None, {'crops': values})
    device.full_at = [len(device.calls) + 1]
    np.testing.assert_array_equal(session.run(None, {'crops': values})[0], expected(files, 'squeeze', values))
    assert pool.ladder.steps() == [{'model': 'squeeze', 'step': 'idle sessions freed', 'freed': 1}]
    assert 'squeeze' in warnings[0]
    created = len(device.sessions)
    idle.run(None, {'crops': values})
    assert len(device.sessions) == created + 1


def test_networks_run_one_after_the_other_before_a_run_fails(files, opened):
    pool, device, _ = opened()
    session, values = pool.session('squeeze'), crops(1)
    session.run(None, {'crops': values})
    device.full_at = [len(device.calls) + 1]
    np.testing.assert_array_equal(session.run(None, {'crops': values})[0], expected(files, 'squeeze', values))
    assert pool.ladder.steps() == [{'model': 'squeeze', 'step': 'one call at a time'}]


def test_a_call_of_one_crop_without_memory_is_a_failure_with_numbers(opened):
    pool, _, _ = opened(full_above=0)
    with pytest.raises(ResourceError) as error:
        run_batched(pool.batched('plain'), {'crops': crops(8)}, 8)
    assert (error.value.reference, error.value.exit_code) == ('device-memory-out', 5)
    assert 'plain' in error.value.message
    assert '1x3x8x8' in error.value.cause and '268.4 MB' in error.value.cause


def test_a_lost_device_is_a_failure_of_the_provider(opened):
    pool, _, _ = opened(lost_at=2)
    session = pool.batched('plain')
    session.run(None, {'crops': crops(4)})
    with pytest.raises(ProviderError) as error:
        session.run(None, {'crops': crops(4)})
    assert error.value.reference == 'device-failed' and '719' in error.value.cause


@pytest.mark.parametrize('text', ['CUDA failure 2: out of memory ; GPU=0', OUT_OF_MEMORY.format(size=4096)])
def test_a_session_that_does_not_fit_is_loaded_after_idle_ones_are_freed(files, opened, monkeypatch, text):
    pool, device, _ = opened()
    pool.session('free').run(None, {'crops': crops(1)})
    real, failures = device.create, [1]

    def create(*given, **named):
        if failures:
            failures.pop()
            raise RuntimeError(text)
        return real(*given, **named)

    import onnxruntime

    monkeypatch.setattr(onnxruntime, 'InferenceSession', create)
    session = pool.session('squeeze')
    assert session.run(None, {'crops': crops(1)})[0].shape == (1, 4, 8, 8)
    assert pool.ladder.steps() == [{'model': 'squeeze', 'step': 'idle sessions freed', 'freed': 1}]


def test_a_session_that_never_fits_is_a_failure_with_the_reason(opened, monkeypatch):
    pool, _, _ = opened()

    def create(*given, **named):
        raise RuntimeError('CUDA failure 2: out of memory ; GPU=0')

    import onnxruntime

    monkeypatch.setattr(onnxruntime, 'InferenceSession', create)
    with pytest.raises(ResourceError) as error:
        pool.session('squeeze')
    assert error.value.reference == 'device-memory-out'
