"""How much memory a run may need, and how much there is."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from pathlib import Path

from facefusion.errors import ResourceError

# Interpreter, libraries, the embedded networks and the source texture, measured: 300 MB.
BASE_BYTES = 330 << 20
# Frames that a decoder with its reference frames, the stages between, and x264 with its look-ahead hold at once.
HELD_FRAMES = 90
# Frames that a worker adds: its decoder's, those read ahead, and those since the last detection.
WORKER_FRAMES = 22


def memory_of_video(pixels: int, bytes_a_pixel: float, workers: int) -> dict[str, int]:
    """Bytes at the peak of a video run by part, estimated from above.

    ``pixels`` are those of a frame as read or written, if that is more.

    Crowds are not in it, since nobody is counted before the clip is analysed: a face that is seen in every frame adds
    about 23 MB while chunks are linked, so 64 of them 1.5 GB.
    """
    frame = int(pixels * bytes_a_pixel)
    return {'program and models': BASE_BYTES, 'decoder and encoder': frame * HELD_FRAMES} | {
        f'frames of {workers} workers': frame * WORKER_FRAMES * workers
    }


def memory_of_image(pixels: int, written_pixels: int) -> dict[str, int]:
    """Bytes at the peak of an image run by part: the picture, its decoded and encoded copies, and one to change.

    When it is written with another size, the copies for the encoder have that size.
    """
    copies = pixels * 3 * 6 if pixels == written_pixels else pixels * 3 * 3 + written_pixels * 4 * 4
    return {'program and models': BASE_BYTES, 'copies of the picture': copies}


def available_memory(system: Path = Path('/')) -> int | None:
    """Bytes that this process could still take, from the kernel and its control group; None where unknown.

    ``system`` is the root under which ``proc`` and ``sys`` lie.
    """
    limits = []
    with suppress(OSError, ValueError):
        for line in (system / 'proc/meminfo').read_text(encoding='ascii').splitlines():
            if line.startswith('MemAvailable:'):
                limits.append(int(line.split()[1]) * 1024)
    for group in _control_groups(system):
        with suppress(OSError, ValueError):
            # File pages that are not in use count as taken, but are given back before anything is refused.
            most, taken = int((group / 'memory.max').read_text()), int((group / 'memory.current').read_text())
            limits.append(most - taken + _cached_bytes(group))
    return min(limits, default=None)


def _control_groups(system: Path) -> list[Path]:
    """The folders of this process's memory groups (version 2), from its own up to the root."""
    root = system / 'sys/fs/cgroup'
    name = ''
    with suppress(OSError, IndexError):
        lines = (system / 'proc/self/cgroup').read_text(encoding='utf-8').splitlines()
        name = next((line for line in lines if line.startswith('0::')), '0::/').split('::', 1)[1].strip('/')
    parts = [part for part in name.split('/') if part]
    return [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _cached_bytes(group: Path) -> int:
    for line in (group / 'memory.stat').read_text(encoding='ascii').splitlines():
        if line.startswith('inactive_file '):
            return int(line.split()[1])
    return 0


def check_memory(needed: int, what: str, limit: int | None = None) -> None:
    """Raises ResourceError when ``needed`` bytes are more than ``limit``, or than what is there."""
    if limit is not None and limit < needed:
        raise ResourceError(
            'memory-limit',
            f'{what} would need about {needed / 1e6:.0f} MB of memory, and --system-memory-limit allows '
            f'{limit / 1e6:.0f} MB',
            cause='no number of workers needs less than this',
            hint='raise --system-memory-limit, or use a smaller target or output',
        )
    free = available_memory()
    if free is not None and free < needed:
        raise ResourceError(
            'memory-short',
            f'{what} would need about {needed / 1e6:.0f} MB of memory, and {free / 1e6:.0f} MB are free',
            hint='close other programs, lower --execution-thread-count, or use a smaller target or output',
        )


def return_freed_memory() -> None:
    """Gives what a finished stage has freed back to the system, where the C library keeps it otherwise (glibc)."""
    if sys.platform.startswith('linux'):
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
        if trim is not None:
            trim(0)
