"""Check the memory and the threads that a run needs against the limits of the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

from facefusion.errors import ResourceError
from facefusion.limits import Limit, can_start, memory_limits, nearest, thread_limits

# Memory of the interpreter, libraries, the embedded networks and the source texture, measured at 300 MB.
BASE_BYTES = 330 << 20
# Frames in memory for a decoder, its reference frames and the stages.
DECODER_FRAMES = 35
# Frames in memory per worker: those of its decoder, those decoded ahead, and those since the last detection.
WORKER_FRAMES = 22
# Address space mapped at the peak in addition to the used memory: code of libraries, heaps of the C library, and stacks
# of threads other than workers. Measured on Linux with all encoders, 320x180 to 3840x2160, one to eight workers: the
# peak of address space (VmPeak) is up to 520 MB above the estimate of memory, and that of data (VmData) up to 60 MB.
ADDRESS_BYTES = 500 << 20
DATA_BYTES = 64 << 20
# The stack of a worker, which is 8 MB by the default of ulimit -s, and the data of its thread in the C library.
STACK_BYTES = 9 << 20
# Memory of published networks in multiples of the size of their weights: for the networks, and for each worker that
# runs them. Measured at 1.7 and 0.34 with stand-ins that have the sizes of the classifiers of the content gate.
NETWORK_SHARE = 1.75
NETWORK_WORKER_SHARE = 0.4
# Threads of a process in addition to its workers: decoder, encoder, conversion, stages, heartbeat; up to 16 were
# measured.
THREADS = 20


def memory_of_video(
    pixels: int, bytes_a_pixel: float, workers: int, encoder_frames: int = 55, processes: int = 1
) -> dict[str, int]:
    """Return an upper estimate of the peak memory of a video run, in bytes by part.

    ``pixels`` are those of a frame as read or written, whichever is more; the encoder stores ``encoder_frames`` frames.
    Each of ``processes`` has a decoder and an encoder.

    The faces are not included, because they are counted only during the run: one face in every frame adds about 23 MB
    while chunks are linked, and 64 faces add 1.5 GB.
    """
    frame = int(pixels * bytes_a_pixel)
    own = {'program and models': BASE_BYTES, 'decoder and encoder': frame * (DECODER_FRAMES + encoder_frames)}
    further = {f'{processes - 1} more processes': sum(own.values()) * (processes - 1)} if processes > 1 else {}
    return own | further | {f'frames of {workers} workers': frame * WORKER_FRAMES * workers}


def memory_of_enlarged(pixels: int, bytes_a_pixel: int, workers: int) -> dict[str, int]:
    """Return the memory of frames that processors enlarged, in bytes by part; each worker holds one such frame.

    The frames that wait for the encoder already have the size of the output. Returns nothing for 0 pixels.
    """
    return {f'enlarged frames of {workers} workers': pixels * bytes_a_pixel * workers} if pixels else {}


def memory_of_image(pixels: int, written_pixels: int) -> dict[str, int]:
    """Return the peak memory of an image run, in bytes by part: the copies to decode, to process and to encode.

    The copies for the encoder have the size of the output.
    """
    copies = pixels * 3 * 6 if pixels == written_pixels else pixels * 3 * 3 + written_pixels * 4 * 4
    return {'program and models': BASE_BYTES, 'copies of the picture': copies}


def memory_of_published(weight_bytes: int, workers: int, processes: int = 1) -> dict[str, int]:
    """Return the memory of published networks on a CPU, in bytes by part; empty without weights.

    ``BASE_BYTES`` includes the embedded networks.
    """
    needed = int(weight_bytes * (NETWORK_SHARE * processes + NETWORK_WORKER_SHARE * workers))
    return {'published models': needed} if weight_bytes else {}


def lowest_room(workers: int, limits: Sequence[Limit] | None = None) -> tuple[int, Limit] | None:
    """Return the bytes of memory that a run with this many workers may use under the lowest limit, and that limit.

    A limit of address space is reduced by the mapped but unused bytes. Returns None if there is no limit.
    """
    rooms = []
    for limit in memory_limits() if limits is None else limits:
        room = limit.free if limit.kind == 'memory' else limit.allowed - _mapped(limit, workers)
        rooms.append((max(room, 0), limit))
    return min(rooms, key=lambda each: each[0], default=None)


def check_memory(needed: int, subject: str, workers: int = 1) -> None:
    """Raise ResourceError memory-short when ``needed`` bytes are more than the limits of the system allow."""
    found = lowest_room(workers)
    if found is None or found[0] >= needed:
        return
    room, limit = found
    if limit.kind == 'memory':
        counted = f'{needed / 1e6:.0f} MB of memory, and {room / 1e6:.0f} MB are free'
        cause = str(limit)
    else:
        mapped = _mapped(limit, workers)
        noun = 'address space' if limit.kind == 'address' else 'data'
        counted = f'{(needed + mapped) / 1e6:.0f} MB of {noun}, and {limit.name} allows {limit.allowed / 1e6:.0f} MB'
        cause = f'{mapped / 1e6:.0f} MB of these are mapped for libraries and stacks of threads'
    raise ResourceError(
        'memory-short',
        f'{subject} would need about {counted}',
        cause=cause,
        hint=f'{limit.advice}, lower --execution-thread-count, or use a smaller target or output',
    )


def check_start() -> None:
    """Raise ResourceError memory-short when the limits of address space are too low for any run.

    Call this before libraries are loaded, because libraries that run out of memory behave unpredictably.
    """
    found = lowest_room(1, [limit for limit in memory_limits() if limit.kind != 'memory'])
    if found is not None and found[0] < BASE_BYTES:
        check_memory(BASE_BYTES, 'the program')


def check_asked(needed: int, subject: str, limit: int | None) -> None:
    """Raise ResourceError memory-limit when ``needed`` bytes exceed the user's own ``limit``."""
    if limit is not None and limit < needed:
        raise ResourceError(
            'memory-limit',
            f'{subject} would need about {needed / 1e6:.0f} MB of memory, and --system-memory-limit allows '
            f'{limit / 1e6:.0f} MB',
            cause='this is the minimum, with one worker',
            hint='raise --system-memory-limit, or use a smaller target or output',
        )


def check_threads(workers: int, subject: str, processes: int = 1) -> None:
    """Raise ResourceError threads-short when a run with this many workers could not start its threads."""
    needed = THREADS * processes + workers
    started = can_start(needed)
    if started == needed:
        return
    limit = nearest(thread_limits())
    advice = f'{limit.advice}, or ' if limit else ''
    raise ResourceError(
        'threads-short',
        f'{subject} would need about {needed} threads, and {started} can be started',
        cause=str(limit) if limit else '',
        hint=f'{advice}lower --execution-thread-count',
    )


def _mapped(limit: Limit, workers: int) -> int:
    return (ADDRESS_BYTES if limit.kind == 'address' else DATA_BYTES) + workers * STACK_BYTES


def return_freed_memory() -> None:
    """Return the freed memory of a finished stage to the system; the C library (glibc) would otherwise keep it."""
    if sys.platform.startswith('linux'):
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim is not None:
            trim(0)
