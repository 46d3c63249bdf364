"""How much memory a run may need, and how much there is."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

from facefusion.errors import ResourceError
from facefusion.limits import Limit, can_start, memory_limits, nearest, thread_limits

# Interpreter, libraries, the embedded networks and the source texture, measured: 300 MB.
BASE_BYTES = 330 << 20
# Frames that a decoder with its reference frames and the stages between hold at once.
DECODER_FRAMES = 35
# Frames that a worker adds: its decoder's, those read ahead, and those since the last detection.
WORKER_FRAMES = 22
# What a process has mapped at its peak beside the memory that it uses: code of libraries, heaps of the C library, and
# stacks of threads that are not a worker's. Measured on Linux with all encoders, 320x180 to 3840x2160, one worker to
# eight: the peak of address space (VmPeak) lies up to 520 MB above the estimate of memory, that of data (VmData) 60.
ADDRESS_BYTES = 500 << 20
DATA_BYTES = 64 << 20
# A worker's stack, 8 MB unless ulimit -s says otherwise, and what the C library keeps for its thread.
STACK_BYTES = 9 << 20
# Threads of a run beside its workers: decoder, encoder, conversion, stages, heartbeat; measured up to 16.
THREADS = 20


def memory_of_video(pixels: int, bytes_a_pixel: float, workers: int, encoder_frames: int = 55) -> dict[str, int]:
    """Bytes at the peak of a video run by part, estimated from above.

    ``pixels`` are those of a frame as read or written, if that is more; the encoder holds ``encoder_frames`` of them.

    Crowds are not in it, since nobody is counted before the clip is analysed: a face that is seen in every frame adds
    about 23 MB while chunks are linked, so 64 of them 1.5 GB.
    """
    frame = int(pixels * bytes_a_pixel)
    return {'program and models': BASE_BYTES, 'decoder and encoder': frame * (DECODER_FRAMES + encoder_frames)} | {
        f'frames of {workers} workers': frame * WORKER_FRAMES * workers
    }


def memory_of_image(pixels: int, written_pixels: int) -> dict[str, int]:
    """Bytes at the peak of an image run by part: the picture, its decoded and encoded copies, and one to change.

    When it is written with another size, the copies for the encoder have that size.
    """
    copies = pixels * 3 * 6 if pixels == written_pixels else pixels * 3 * 3 + written_pixels * 4 * 4
    return {'program and models': BASE_BYTES, 'copies of the picture': copies}


def lowest_room(workers: int, limits: Sequence[Limit] | None = None) -> tuple[int, Limit] | None:
    """How many bytes of memory a run of so many workers may use under the tightest limit, and that limit.

    Of a limit of address space, what is mapped without being used is taken off. None where there is no limit.
    """
    rooms = []
    for limit in memory_limits() if limits is None else limits:
        room = limit.free if limit.kind == 'memory' else limit.allowed - _mapped(limit, workers)
        rooms.append((max(room, 0), limit))
    return min(rooms, key=lambda each: each[0], default=None)


def check_memory(needed: int, what: str, workers: int = 1) -> None:
    """Raises ResourceError memory-short when ``needed`` bytes are more than the system's limits leave."""
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
        cause = (
            f'{mapped / 1e6:.0f} MB of these are for libraries and stacks of threads, which are mapped beside the rest'
        )
    raise ResourceError(
        'memory-short',
        f'{what} would need about {counted}',
        cause=cause,
        hint=f'{limit.advice}, lower --execution-thread-count, or use a smaller target or output',
    )


def check_start() -> None:
    """Raises ResourceError memory-short when the limits of address space leave too little for any work at all.

    To be called before libraries are loaded: what they do then is not to be foreseen.
    """
    found = lowest_room(1, [limit for limit in memory_limits() if limit.kind != 'memory'])
    if found is not None and found[0] < BASE_BYTES:
        check_memory(BASE_BYTES, 'the program')


def check_asked(needed: int, what: str, limit: int | None) -> None:
    """Raises ResourceError memory-limit when ``needed`` bytes are more than the user's own ``limit``."""
    if limit is not None and limit < needed:
        raise ResourceError(
            'memory-limit',
            f'{what} would need about {needed / 1e6:.0f} MB of memory, and --system-memory-limit allows '
            f'{limit / 1e6:.0f} MB',
            cause='no number of workers needs less than this',
            hint='raise --system-memory-limit, or use a smaller target or output',
        )


def check_threads(workers: int, what: str) -> None:
    """Raises ResourceError threads-short when a run of so many workers could not start its threads."""
    needed = THREADS + workers
    started = can_start(needed)
    if started == needed:
        return
    limit = nearest(thread_limits())
    advice = f'{limit.advice}, or ' if limit else ''
    raise ResourceError(
        'threads-short',
        f'{what} would need about {needed} threads, and {started} can be started',
        cause=str(limit) if limit else '',
        hint=f'{advice}lower --execution-thread-count',
    )


def _mapped(limit: Limit, workers: int) -> int:
    return (ADDRESS_BYTES if limit.kind == 'address' else DATA_BYTES) + workers * STACK_BYTES


def return_freed_memory() -> None:
    """Gives what a finished stage has freed back to the system, where the C library keeps it otherwise (glibc)."""
    if sys.platform.startswith('linux'):
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim is not None:
            trim(0)
