"""Tests of the choice between threads and processes."""

from __future__ import annotations

import os

import pytest

from facefusion.inference.options import ExecutionOptions
from facefusion.pipeline.crew import MOST_WORKERS, Crew, choose_crew, worker_count


def fit_in(room):
    """Return a function that reduces a crew to ``room``; a process needs 10, a worker 1."""

    def fit(crew):
        workers = crew.workers
        while workers > 1 and min(crew.processes, workers) * 10 + workers > room:
            workers -= 1
        processes = min(crew.processes, workers)
        return Crew(workers, processes), {'all': processes * 10 + workers}

    return fit


@pytest.mark.parametrize(
    ('engine', 'workers', 'segments', 'room', 'wanted'),
    [
        ('threads', 8, 100, 1000, Crew(8, 1)),
        ('processes', 8, 100, 1000, Crew(8, 8)),
        ('processes', 8, 2, 1000, Crew(8, 2)),
        ('processes', 8, 0, 1000, Crew(8, 1)),
        ('processes', 1, 9, 1000, Crew(1, 1)),
        ('processes', 8, 100, 33, Crew(3, 3)),
        ('auto', 2, 4, 1000, Crew(2, 2)),
        ('auto', 2, 3, 1000, Crew(2, 1)),
        ('auto', 8, 6, 1000, Crew(8, 3)),
        ('auto', 8, 0, 1000, Crew(8, 1)),
        ('auto', 1, 9, 1000, Crew(1, 1)),
        # Processes would lose a worker.
        ('auto', 8, 100, 87, Crew(8, 1)),
        ('auto', 8, 100, 88, Crew(8, 8)),
        ('auto', 8, 100, 15, Crew(5, 1)),
    ],
)
def test_processes_are_used_where_segments_and_memory_suffice(engine, workers, segments, room, wanted):
    crew, parts = choose_crew(ExecutionOptions(execution_engine=engine), workers, segments, fit_in(room))
    assert crew == wanted and parts == {'all': wanted.processes * 10 + wanted.workers}


def test_workers_are_as_requested_or_one_per_core():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    assert worker_count(ExecutionOptions()) == min(cores, MOST_WORKERS)
    assert worker_count(ExecutionOptions(execution_thread_count=23)) == 23
