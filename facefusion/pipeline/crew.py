"""The workers of a run, and the processes that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from facefusion.inference.options import ExecutionOptions
from facefusion.limits import usable_cores

# Each process should get this many segments. With fewer, the others wait for the last one, and threads, which share
# the frames of each segment, are faster (docs/performance.md, "Workers and engine").
SEGMENTS_A_PROCESS = 2

# More workers need more memory for little gain, because decoder and encoder have their own threads.
MOST_WORKERS = 8


class Crew(NamedTuple):
    """The number of workers of a run, and of the processes that share them; 1 is the engine of threads."""

    workers: int
    processes: int = 1


def worker_count(options: ExecutionOptions) -> int:
    """Return the requested number of workers, otherwise one per core of this process, at most 8."""
    return options.execution_thread_count or min(usable_cores(), MOST_WORKERS)


Fit = Callable[[Crew], tuple[Crew, Mapping[str, int]]]


def choose_crew(options: ExecutionOptions, workers: int, segments: int, fit: Fit) -> tuple[Crew, Mapping[str, int]]:
    """Return the crew of a video with this many segments, and its memory in bytes by part.

    ``fit`` reduces a crew until its memory fits. With the engine 'auto', processes are used only if this loses no
    worker, because a process needs more memory than a thread.
    """
    engine, processes = options.execution_engine, 1
    if engine == 'processes':
        processes = min(workers, segments)
    elif engine == 'auto':
        processes = min(workers, segments // SEGMENTS_A_PROCESS)
    crew, parts = fit(Crew(workers, max(processes, 1)))
    if engine == 'auto' and processes > 1 and crew.workers < workers:
        return fit(Crew(workers))
    return crew, parts
