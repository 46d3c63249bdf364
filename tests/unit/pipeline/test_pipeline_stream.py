from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from fakes.waits import unlimited_waits
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.pipeline.stream import ordered_map, prefetch

pytestmark = pytest.mark.usefixtures('no_thread_stays')


class Source:
    """A generator that counts its items and records whether it was closed."""

    def __init__(self, count: int, fails_at: int = -1) -> None:
        self.taken = 0
        self.closed = False
        self.thread = ''
        self._items = self._generate(count, fails_at)

    def _generate(self, count, fails_at):
        try:
            for number in range(count):
                if number == fails_at:
                    raise OSError(f'cannot produce {number}')
                self.taken = number + 1
                yield number
        finally:
            self.closed = True
            self.thread = threading.current_thread().name

    def __iter__(self):
        return self._items


def wait_until(condition) -> bool:
    """Whether ``condition`` became true within two seconds."""
    until = time.monotonic() + 2
    while not condition() and time.monotonic() < until:
        time.sleep(0.002)
    return condition()


@given(st.integers(0, 30), st.integers(1, 7))
@settings(max_examples=40, deadline=None)
def test_prefetch_yields_the_same_items(count, capacity):
    source = Source(count)
    assert list(prefetch(source, capacity)) == list(range(count))
    assert source.closed


@given(st.integers(0, 30), st.integers(1, 5), st.one_of(st.none(), st.integers(1, 9)))
@settings(max_examples=40, deadline=None)
def test_ordered_map_yields_results_in_order(count, workers, ahead):
    def slow_at_even(number: int) -> int:
        time.sleep(0.002 if number % 2 == 0 else 0)
        return number * number

    source = Source(count)
    assert list(ordered_map(slow_at_even, source, workers, ahead)) == [number**2 for number in range(count)]
    assert source.closed


@pytest.mark.parametrize('capacity', [1, 4])
def test_prefetch_runs_ahead_up_to_its_capacity(capacity):
    source = Source(100)
    items = prefetch(source, capacity)
    with closing(items):
        next(items)
        # One item was yielded, ``capacity`` are stored, and one more has been produced.
        assert wait_until(lambda: source.taken == capacity + 2)
        time.sleep(0.05)
        assert source.taken == capacity + 2


def test_prefetch_starts_with_the_first_request():
    source = Source(5)
    prefetch(source, 2)
    time.sleep(0.02)
    assert source.taken == 0


@pytest.mark.parametrize(('workers', 'ahead', 'limit'), [(1, None, 2), (3, None, 4), (2, 2, 2), (2, 7, 7)])
def test_ordered_map_requests_a_limited_number_of_items(workers, ahead, limit):
    source = Source(100)
    results = ordered_map(lambda number: number, source, workers, ahead)
    with closing(results):
        for given_out in range(1, 11):
            next(results)
            assert source.taken == given_out + limit - 1


def test_ordered_map_processes_one_item_per_worker_at_once():
    lock, now, most = threading.Lock(), [0], [0]

    def work(number: int) -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1
        return number

    assert list(ordered_map(work, range(30), 3)) == list(range(30))
    assert most[0] == 3


@pytest.mark.parametrize('fails_at', [0, 1, 7])
def test_the_producers_exception_comes_after_the_items_before_it(fails_at):
    source, seen = Source(20, fails_at), []
    with pytest.raises(OSError, match=f'cannot produce {fails_at}'):
        for item in prefetch(source, 3):
            seen.append(item)
    assert seen == list(range(fails_at))
    assert source.closed


@pytest.mark.parametrize('ahead', [1, 4])
def test_an_exception_of_the_items_stops_ordered_map_in_order(ahead):
    source, seen = Source(20, fails_at=9), []
    with pytest.raises(OSError, match='cannot produce 9'):
        for result in ordered_map(lambda number: number, source, 2, ahead):
            seen.append(result)
    # Results computed ahead may be dropped, but the order never changes.
    assert seen == list(range(len(seen))) and len(seen) >= 10 - ahead
    assert source.closed


def test_an_object_that_cannot_be_iterated_raises_instead_of_waiting():
    class Broken:
        def __iter__(self):
            raise OSError('no items')

    for items in (prefetch(Broken(), 2), ordered_map(lambda number: number, Broken(), 2)):
        with pytest.raises(OSError, match='no items'):
            next(items)


@pytest.mark.parametrize('workers', [1, 3])
def test_the_functions_exception_comes_after_the_results_before_it(workers):
    begun, seen = set(), []

    def work(number: int) -> int:
        begun.add(number)
        if number == 5:
            raise ValueError('five')
        return number

    source = Source(1000)
    with pytest.raises(ValueError, match='five'):
        for result in ordered_map(work, source, workers):
            seen.append(result)
    assert seen == [0, 1, 2, 3, 4]
    assert max(begun) <= 5 + workers
    assert source.closed


def test_exceptions_other_than_errors_are_raised_too():
    def produce():
        yield 1
        raise KeyboardInterrupt

    items = prefetch(produce(), 2)
    assert next(items) == 1
    with pytest.raises(KeyboardInterrupt):
        next(items)


@pytest.mark.parametrize('stopped', ['close', 'throw', 'break'])
def test_leaving_prefetch_early_stops_its_thread_and_closes_the_source(stopped):
    source = Source(1000)
    items = prefetch(source, 2)
    assert next(items) == 0
    assert wait_until(lambda: source.taken == 4)  # two items are stored, and one more has been produced
    began = time.monotonic()
    if stopped == 'close':
        items.close()
    elif stopped == 'throw':
        with pytest.raises(RuntimeError, match='consumer'):
            items.throw(RuntimeError('consumer'))
    else:
        for _ in items:
            break
        items.close()
    assert time.monotonic() - began < 10
    assert source.closed and source.thread.startswith('prefetch')
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('prefetch')]


def test_leaving_ordered_map_early_drops_waiting_items_and_waits_for_running_ones():
    begun, ended = [], []

    def work(number: int) -> int:
        begun.append(number)
        time.sleep(0.03 if number else 0)
        ended.append(number)
        return number

    source = Source(1000)
    results = ordered_map(work, source, 2, ahead=20)
    assert next(results) == 0
    results.close()
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 10
    assert source.closed


def test_chained_stages_stop_together():
    source = Source(1000)
    first = prefetch(source, 3)

    def tasks():
        try:
            yield from first
        finally:
            first.close()

    last = ordered_map(lambda number: -number, tasks(), 2)
    assert [next(last) for _ in range(5)] == [0, -1, -2, -3, -4]
    last.close()
    assert source.closed


def test_a_slow_producer_is_waited_for():
    def produce():
        for number in range(3):
            time.sleep(0.15)  # longer than one poll
            yield number

    assert list(prefetch(produce(), 1)) == [0, 1, 2]


def test_no_wait_of_the_caller_blocks_signals():
    def slow(number: int) -> int:
        time.sleep(0.3)
        return number

    def produce():
        try:
            yield slow(0)
            yield slow(1)
        finally:
            time.sleep(0.3)

    with unlimited_waits() as found:
        assert list(prefetch(produce(), 1)) == [0, 1]
        assert list(ordered_map(slow, range(2), 1)) == [0, 1]
        for items in (prefetch(produce(), 1), ordered_map(slow, range(9), 2)):
            next(items)
            items.close()
    assert found == []
