"""Telling a shortage of memory or threads from the faults that libraries take it for.

A library that gets no memory says so in its own words, or in none: FFmpeg calls it a fault of the encoder, ONNX Runtime
one of the model. This is the only place that knows these words.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence

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
from facefusion.limits import Limit, find_room, memory_limits, thread_limits

# The words of, in this order: C++, MSVC, the C library, OpenCV, Pillow, numpy, ONNX Runtime, x264, the dynamic linker.
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
# Of Python, and of C and C++ libraries.
_THREAD_WORDS = ("can't start new thread", 'pthread_create', 'Resource temporarily unavailable')
# An accelerator's own memory is another one, and has other remedies.
_DEVICE_WORDS = ('CUDA', 'cuda', 'CUBLAS', 'CUDNN')
# The stacks of a few threads.
_STACKS_BYTES = 64 << 20
# The errors that a shortage is taken for.
_MISTAKEN = (InputError, InternalError, ModelError, OutputError, ProvenanceError, ProviderError, SetupError)


def as_shortage(error: BaseException) -> ResourceError | None:
    """The shortage that an exception tells, or that it was raised for by mistake; None when it is of another kind.

    What was raised while another exception was handled, ``from None`` too, has that one as its context.
    """
    if not isinstance(error, _MISTAKEN if isinstance(error, FaceFusionError) else Exception):
        return None
    for each in _chain(error):
        if isinstance(each, FaceFusionError):
            continue
        kind = _kind_of(each)
        if kind == 'memory':
            return memory_out(_words_of(each))
        if kind == 'threads':
            return threads_out(_words_of(each))
    return None


def raise_shortage(error: BaseException) -> None:
    """Raises ResourceError when an exception that a caller means to pass over is a shortage."""
    short = as_shortage(error)
    if short is not None:
        raise short from error


def prove_room(what: str, size: int, threads: int) -> None:
    """Raises ResourceError unless this process gets ``size`` bytes and so many more threads at once.

    For libraries that do not say, or do not survive, that they got none.
    """
    is_there, started = find_room(size, threads)
    if not is_there:
        raise memory_out(f'{what} needs about {size / 1e6:.0f} MB')
    if started < threads:
        raise threads_out(f'{what} needs {threads} threads, and {started} could be started')


def memory_out(why: str) -> ResourceError:
    """The error of memory that ran out, with the limit that is nearest."""
    limits = memory_limits()
    # Memory beyond these is refused; beyond the others a process is ended.
    refusing = [limit for limit in limits if limit.kind in ('address', 'data')]
    nearest = _nearest(refusing or limits)
    advice = f'{nearest.advice}, ' if nearest else ''
    return ResourceError(
        'memory-out',
        'the memory ran out',
        cause='; '.join(filter(None, (why, str(nearest) if nearest else ''))) or 'the system gave no more',
        hint=f'{advice}lower --execution-thread-count, or use a smaller target or output',
    )


def threads_out(why: str) -> ResourceError:
    """The error of threads that could not be started, with the limit that is nearest."""
    # A thread needs address space for its stack: that may be all that it lacks.
    mapped = [limit for limit in memory_limits() if limit.kind in ('address', 'data') and limit.free < _STACKS_BYTES]
    nearest = _nearest(mapped or thread_limits())
    advice = f'{nearest.advice}, or ' if nearest else ''
    return ResourceError(
        'threads-out',
        'the system gave no more threads',
        cause='; '.join(filter(None, (why, str(nearest) if nearest else ''))),
        hint=f'{advice}lower --execution-thread-count',
    )


def _nearest(limits: Sequence[Limit]) -> Limit | None:
    return min(limits, key=lambda limit: limit.free, default=None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and all those that were being handled when it was raised, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [other for other in (each.__cause__, each.__context__) if other is not None]


def _kind_of(error: BaseException) -> str:
    """'memory', 'threads', or '' for what is no shortage."""
    if isinstance(error, MemoryError):
        return 'memory'
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOMEM:
        return 'memory'
    if number == errno.EAGAIN:
        # A pipe that takes nothing more at the moment says how much it took.
        return '' if hasattr(error, 'characters_written') else 'threads'
    if number is not None:
        return ''
    text = str(error)
    if any(word in text for word in _DEVICE_WORDS):
        return ''
    if any(word in text for word in _MEMORY_WORDS):
        return 'memory'
    return 'threads' if any(word in text for word in _THREAD_WORDS) else ''


def _words_of(error: BaseException) -> str:
    text = ' '.join(str(error).split())
    return text[:200]
