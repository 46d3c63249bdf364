"""Settings of the entire process, applied by everything that plans or runs a step."""

from __future__ import annotations

import os
import sys

# Parameters of mallopt (malloc.h of the GNU C library).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MAPPED_FROM_BYTES = 4 << 20
_TRIMMED_FROM_BYTES = 8 << 20


def tune_process() -> None:
    """Limit array libraries to one thread each, silence them, and return freed memory to the system.

    Raises ResourceError memory-short when a limit on address space leaves too little memory for the libraries.
    """
    # The import is here because query commands import this module without calling this function.
    from facefusion.pipeline.resources import check_start

    check_start()
    # Worker threads already process frames in parallel; further thread pools would only compete for the cores.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    # Otherwise OpenCV would print libtiff's warnings about tags between the messages of this program.
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    import cv2

    cv2.setNumThreads(1)
    tune_memory()


def tune_memory() -> None:
    """Make glibc map each large block separately, and use two arenas.

    By default glibc raises its mapping threshold whenever a large block is freed, and uses an arena per thread. As a
    result, blocks of the size of frames alternate with small long-lived blocks, and peak memory grows with the length
    of a clip. To measure this, run ``benchmarks/pipeline_cost.py --frames 300 1200`` with and without this function.
    """
    if not sys.platform.startswith('linux'):
        return
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:  # the C library is not glibc
        return
    for parameter, value in (
        (_ARENA_MAX, _ARENAS),
        (_MMAP_THRESHOLD, _MAPPED_FROM_BYTES),
        (_TRIM_THRESHOLD, _TRIMMED_FROM_BYTES),
    ):
        mallopt(parameter, value)
