"""How much memory a run may need, and how much there is."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from facefusion.errors import ResourceError

# Interpreter, libraries, both embedded networks and the source texture, measured: 230 MB.
BASE_BYTES = 260 << 20
# Frames that a decoder with its reference frames, the stages between, and x264 with its look-ahead hold at once.
HELD_FRAMES = 90


def memory_of_video(pixels: int, bytes_a_pixel: float, workers: int) -> int:
    """Bytes at the peak of a video run, estimated from above; ``pixels`` of a frame as read or written, if more."""
    frame = int(pixels * bytes_a_pixel)
    return BASE_BYTES + frame * (HELD_FRAMES + 8 * workers)


def memory_of_image(pixels: int, written_pixels: int) -> int:
    """Bytes at the peak of an image run: the picture, its decoded and encoded copies, and one to change.

    When it is written with another size, the copies for the encoder have that size.
    """
    if pixels == written_pixels:
        return BASE_BYTES + pixels * 3 * 6
    return BASE_BYTES + pixels * 3 * 3 + written_pixels * 4 * 4


def available_memory() -> int | None:
    """Bytes that this process could still take, from the kernel and its control group; None where unknown."""
    limits = []
    try:
        for line in Path('/proc/meminfo').read_text(encoding='ascii').splitlines():
            if line.startswith('MemAvailable:'):
                limits.append(int(line.split()[1]) * 1024)
        group = Path('/sys/fs/cgroup')
        most = (group / 'memory.max').read_text(encoding='ascii').strip()
        if most != 'max':
            limits.append(int(most) - int((group / 'memory.current').read_text(encoding='ascii')))
    except (OSError, ValueError):
        pass
    return min(limits, default=None)


def check_memory(needed: int, what: str) -> None:
    """Raises ResourceError when ``needed`` bytes are more than what is there."""
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
