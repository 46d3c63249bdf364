from __future__ import annotations

import errno
import io

import pytest

from facefusion import shortage
from facefusion.errors import InternalError, JobError, MediaError, ModelError, ResourceError
from facefusion.failures import as_failure
from facefusion.limits import Limit
from facefusion.shortage import as_shortage, raise_shortage, require_available

TIGHT = Limit('address', 'ulimit -v', 850_000_000, 849_000_000, 'raise ulimit -v')
WIDE = Limit('address', 'ulimit -v', 8_500_000_000, 849_000_000, 'raise ulimit -v')
GROUP = Limit('memory', 'the control group /a', 10**9, 10**9, 'raise the memory limit of the container')
PIDS = Limit('threads', 'the control group /a', 20, 19, 'raise the limit of processes of the container')


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    def apply(memory=(), threads=()):
        monkeypatch.setattr(shortage, 'memory_limits', lambda: tuple(memory))
        monkeypatch.setattr(shortage, 'thread_limits', lambda: tuple(threads))

    apply()
    return apply


@pytest.mark.parametrize(
    'error',
    [
        MemoryError(),
        MemoryError('std::bad_alloc'),
        OSError(errno.ENOMEM, 'Cannot allocate memory'),
        RuntimeError('[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Exception during initialization: std::bad_alloc'),
        RuntimeError('bfc_arena.cc:360 Failed to allocate memory for requested buffer of size 8388608'),
        ValueError('OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 4194304 bytes'),
        ImportError('libx264.so: failed to map segment from shared object'),
        OSError('out of memory error when reading image file'),
    ],
    ids=lambda error: f'{type(error).__name__}: {str(error)[:30]}',
)
def test_memory_errors_of_each_library_are_recognised(error):
    found = as_failure(error)
    assert (type(found), found.reference, found.exit_code) == (ResourceError, 'memory-out', 5)
    assert found.cause and found.hint


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError("can't start new thread"),
        BlockingIOError(errno.EAGAIN, 'Resource temporarily unavailable'),
        RuntimeError('pthread_create failed'),
        RuntimeError('thread constructor failed: Resource temporarily unavailable'),
    ],
    ids=lambda error: f'{type(error).__name__}: {str(error)[:30]}',
)
def test_thread_errors_of_each_library_are_recognised(error):
    found = as_failure(error)
    assert (type(found), found.reference, found.exit_code) == (ResourceError, 'threads-out', 5)


def full_pipe() -> BlockingIOError:
    return io.BlockingIOError(errno.EAGAIN, 'write could not complete without blocking', 10)


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('CUDA failure 2: out of memory'),
        FileNotFoundError(errno.ENOENT, 'No such file', 'Cannot allocate memory.mp4'),
        ValueError('Invalid data found when processing input'),
        full_pipe(),
        KeyboardInterrupt(),
        ModelError('model-unusable', 'the model file x.onnx cannot be loaded', cause='std::bad_alloc is not why'),
    ],
    ids=lambda error: f'{type(error).__name__}: {str(error)[:30]}',
)
def test_other_errors_are_not_a_shortage(error):
    assert as_shortage(error) is None
    raise_shortage(error)


def raised_for(reason: BaseException, error: Exception) -> Exception:
    try:
        try:
            raise reason
        except BaseException:  # noqa: BLE001 - a handler of any kind
            raise error from None
    except type(error) as caught:
        return caught


@pytest.mark.parametrize('kind', [MediaError, ModelError, InternalError])
def test_an_error_that_hides_a_shortage_becomes_that_shortage(kind):
    inner = raised_for(OSError(errno.ENOMEM, 'Cannot allocate memory'), kind('it-broke', 'check that the file plays'))
    assert as_failure(inner).reference == 'memory-out'
    assert as_failure(raised_for(inner, MediaError('again', 'of the file'))).reference == 'memory-out'
    other = raised_for(ValueError('damaged'), kind('it-broke', 'it broke'))
    assert as_failure(other) is other


def test_a_job_error_stays_a_job_error():
    error = raised_for(BlockingIOError(errno.EAGAIN, 'is locked'), JobError('job-claimed', 'another process has it'))
    assert as_failure(error) is error


def test_the_nearest_limit_is_reported_with_its_numbers(limits):
    limits([GROUP, TIGHT], [PIDS])
    found = as_failure(MemoryError('no'))
    assert found.cause == 'no; ulimit -v allows 850 MB of address space, 849 MB are used'
    assert found.hint.startswith('raise ulimit -v, ')
    limits([GROUP])
    assert 'the control group /a allows 1000 MB of memory' in as_failure(MemoryError()).cause


def test_a_thread_may_lack_a_process_or_the_space_for_its_stack(limits):
    limits([WIDE], [PIDS])
    found = as_failure(RuntimeError("can't start new thread"))
    assert found.cause.endswith('the control group /a allows 20 threads and processes, 19 are used')
    limits([TIGHT], [PIDS])
    assert 'ulimit -v' in as_failure(RuntimeError("can't start new thread")).hint


@pytest.mark.parametrize(('room', 'reference'), [((False, 0), 'memory-out'), ((True, 3), 'threads-out')])
def test_missing_memory_or_threads_are_reported_with_numbers(monkeypatch, room, reference):
    monkeypatch.setattr(shortage, 'probe_available', lambda size, threads: room)
    with pytest.raises(ResourceError) as caught:
        require_available('libx265', 300_000_000, 8)
    assert caught.value.reference == reference
    assert ('300 MB' if reference == 'memory-out' else '8 threads, and 3 could be started') in caught.value.cause
    monkeypatch.setattr(shortage, 'probe_available', lambda size, threads: (True, threads))
    require_available('libx265', 300_000_000, 8)
