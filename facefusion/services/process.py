"""Settings of the whole process, made once by the commands that run work: never by the library."""

from __future__ import annotations

import os
import sys

# Parameters of mallopt (malloc.h of the GNU C library).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAPPED_FROM_BYTES = 4 << 20
_TRIMMED_FROM_BYTES = 8 << 20


def tune_process() -> None:
    """Keeps array libraries at one thread each and quiet, and gives freed memory back to the system.

    Raises ResourceError memory-short where a limit of address space would not even let the libraries in.
    """
    # Queries import this module, too, and never come here.
    from facefusion.pipeline.resources import check_start

    check_start()
    # Frames are worked on side by side instead; pools of threads that wait for each other only cost.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    # OpenCV prints libtiff's warnings of tags beside the messages of this program.
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    import cv2

    cv2.setNumThreads(1)
    tune_memory()


def tune_memory() -> None:
    """Makes glibc map large blocks one by one, in two arenas.

    Left alone it raises its mapping threshold whenever a large block is freed, and keeps an arena a thread: blocks of
    the size of frames then lie between small ones that live on, and the peak grows with the length of a clip. To
    measure it: ``benchmarks/pipeline_cost.py --frames 300 1200``, with this function and without it.
    """
    if not sys.platform.startswith('linux'):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # another C library
        return
    for parameter, value in (
        (_ARENA_MAX, _ARENAS),
        (_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
        (_TRIM_THRESHOLD, _TRIMMED_FROM_BYTES),
    ):
        mallopt(parameter, value)
