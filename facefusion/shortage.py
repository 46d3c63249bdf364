"""Recognise errors of libraries that are caused by a shortage of the computer's memory or threads.

Libraries report a failed allocation in different words, or as another error: FFmpeg reports a failed encoder, ONNX
Runtime a broken model. Only this module contains these words; ``device_failure`` contains those for the memory of an
accelerator.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from facefusion.errors import (
    FaceFusionError,
    InputError,
    InternalError,
    ModelError,
    OutputError,
    ProvenanceError,
    ProviderError,
    ResourceError,
    SetupError,
)
from facefusion.limits import memory_limits, nearest, probe_available, thread_limits

# The messages of C++, MSVC, the C library, OpenCV, Pillow, numpy, ONNX Runtime, x264 and the dynamic linker, in this
# order.
_MEMORY_WORDS = (
    'bad_alloc',
    'bad allocation',
    'Cannot allocate memory',
    'Insufficient memory',
    'out of memory error',
    'Unable to allocate',
    'Failed to allocate memory',
    'malloc of size',
    'failed to map segment',
)
# The messages of Python, and of C and C++ libraries.
_THREAD_WORDS = ("can't start new thread", 'pthread_create', 'Resource temporarily unavailable')
# Errors with these words are excluded, because a shortage of an accelerator's own memory has other remedies.
_DEVICE_WORDS = ('CUDA', 'cuda', 'CUBLAS', 'CUDNN')
# Address space for the stacks of a few threads.
_STACKS_BYTES = 64 << 20
# Errors that may hide a shortage.
_MAY_HIDE = (InputError, InternalError, ModelError, OutputError, ProvenanceError, ProviderError, SetupError)


def as_shortage(error: BaseException) -> ResourceError | None:
    """Return the shortage that an exception reports or hides; None for an exception of another kind.

    The context of an exception (the exception that was being handled) counts too, even after ``from None``.
    """
    if not isinstance(error, _MAY_HIDE if isinstance(error, FaceFusionError) else Exception):
        return None
    for each in _chain(error):
        if isinstance(each, FaceFusionError):
            continue
        kind = _kind_of(each)
        if kind:
            text = ' '.join(str(each).split())[:200]
            return memory_out(text) if kind == 'memory' else threads_out(text)
    return None


def raise_shortage(error: BaseException) -> None:
    """Raise ResourceError when an exception that the caller is about to ignore is a shortage."""
    short = as_shortage(error)
    if short is not None:
        raise short from error


def require_available(consumer: str, size: int, threads: int) -> None:
    """Raise ResourceError unless this process can allocate ``size`` bytes and start ``threads`` threads right now.

    Call it before libraries that crash on a shortage or do not report it.
    """
    has_memory, started = probe_available(size, threads)
    if not has_memory:
        raise memory_out(f'{consumer} needs about {size / 1e6:.0f} MB')
    if started < threads:
        raise threads_out(f'{consumer} needs {threads} threads, and {started} could be started')


def memory_out(why: str) -> ResourceError:
    """Return the error for a shortage of memory, with the nearest limit."""
    limits = memory_limits()
    # At these limits the system refuses memory; at the other limits it kills a process.
    refusing = [limit for limit in limits if limit.kind in ('address', 'data')]
    limit = nearest(refusing or limits)
    advice = f'{limit.advice}, ' if limit else ''
    return ResourceError(
        'memory-out',
        'the memory ran out',
        cause='; '.join(filter(None, (why, str(limit or '')))) or 'the system refused more memory',
        hint=f'{advice}lower --execution-thread-count, or use a smaller target or output',
    )


def threads_out(why: str) -> ResourceError:
    """Return the error for threads that could not be started, with the nearest limit."""
    # A thread needs address space for its stack, which may be the real shortage.
    mapped = [limit for limit in memory_limits() if limit.kind in ('address', 'data') and limit.free < _STACKS_BYTES]
    limit = nearest(mapped or thread_limits())
    advice = f'{limit.advice}, or ' if limit else ''
    return ResourceError(
        'threads-out',
        'the system refused more threads',
        cause='; '.join(filter(None, (why, str(limit or '')))),
        hint=f'{advice}lower --execution-thread-count',
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all causes and contexts behind it, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def _kind_of(error: BaseException) -> str:
    """Return 'memory', 'threads', or '' for another error."""
    if isinstance(error, MemoryError):
        return 'memory'
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOMEM:
        return 'memory'
    if number == errno.EAGAIN:
        # A full pipe raises the same error, but with the number of characters written.
        return '' if hasattr(error, 'characters_written') else 'threads'
    if number is not None:
        return ''
    text = str(error)
    if any(word in text for word in _DEVICE_WORDS):
        return ''
    if any(word in text for word in _MEMORY_WORDS):
        return 'memory'
    return 'threads' if any(word in text for word in _THREAD_WORDS) else ''
