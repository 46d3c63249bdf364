"""Tests of the distribution of units among processes; tests/pipeline/test_pipeline_engines.py has complete runs."""

from __future__ import annotations

import threading
import time

import pytest

from facefusion.engines.processes import ProcessEngine
from facefusion.errors import Interrupted, MediaError
from facefusion.events import silent
from facefusion.stopping import StopFlag


class Member:
    """A stand-in for a worker process."""

    def __init__(self, number):
        self.number = number
        self.is_closed = False

    def close(self):
        self.is_closed = True

    def wait(self):
        assert self.is_closed


class Engine(ProcessEngine):
    """An engine without worker processes."""

    def __init__(self, workers, processes):
        super().__init__(None, workers, processes, (0,), silent)
        self.started = []

    def _start(self, number):
        self.started.append(Member(number))
        return self.started[-1]


@pytest.mark.parametrize(
    ('workers', 'processes', 'units', 'wanted'),
    [
        (2, 2, 5, [1, 1, 1, 1, 2]),
        (8, 3, 6, [2, 2, 2, 2, 4, 8]),
        (4, 4, 2, [2, 4]),
        (1, 2, 3, [1, 1, 1]),
    ],
)
def test_the_last_units_get_the_threads_of_idle_processes(workers, processes, units, wanted):
    engine, given = Engine(workers, processes), {}

    def run(unit, member, threads):
        given[unit] = threads
        # Earlier units take longer, so that they end after later ones.
        time.sleep(0.02 * (units - unit))
        return f'manifest {unit}'

    found = list(engine._distribute(run, range(units), StopFlag()))
    assert found == [(unit, f'manifest {unit}') for unit in range(units)]
    assert [given[unit] for unit in range(units)] == wanted
    assert [each.number for each in engine.started] == list(range(1, min(processes, units)))
    engine.close()
    assert all(each.is_closed for each in engine.started)


def test_an_idle_process_takes_the_next_unit():
    engine, ran, is_free = Engine(2, 2), {}, threading.Event()

    def run(unit, member, threads):
        ran.setdefault(member and member.number, []).append(unit)
        if unit == 0:
            assert is_free.wait(10)
        elif unit == 5:
            is_free.set()
        return unit

    assert len(list(engine._distribute(run, range(6), StopFlag()))) == 6
    assert sorted(ran.values()) == [[0], [1, 2, 3, 4, 5]]


def test_a_failed_unit_stops_the_others_and_is_the_reason():
    engine, run_flag, stopped, started = Engine(2, 2), StopFlag(), StopFlag(), threading.Event()

    def run(unit, member, threads):
        if unit == 1:
            assert started.wait(10)
            raise MediaError('broken-frame', 'frame 1 is broken')
        started.set()
        for _ in range(1000):
            stopped.check()
            time.sleep(0.01)
        return pytest.fail('the flag was not set')

    with pytest.raises(MediaError, match='frame 1 is broken'):
        list(engine._distribute(run, range(6), stopped))
    assert not run_flag.is_set()


def test_closing_the_generator_stops_the_units():
    engine, stopped, reasons = Engine(2, 2), StopFlag(), []

    def run(unit, member, threads):
        if unit == 0:
            return unit
        while not stopped.is_set():
            time.sleep(0.01)
        reasons.append(stopped.reason)
        raise Interrupted()

    units = engine._distribute(run, range(6), stopped)
    assert next(units) == (0, 0)
    units.close()
    assert set(reasons) == {'the units are no longer needed'}
