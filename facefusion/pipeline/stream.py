"""Bounded stages: threads that work ahead, return results in order, and stop cleanly when any side fails.

Every queue has a limit. Every wait consists of slices of at most POLL_SECONDS, so that signal handlers run on every
system. Leaving a generator, by its end, an exception or ``close()``, stops its threads before control returns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar, cast

from facefusion.stopping import POLL_SECONDS

T = TypeVar('T')
R = TypeVar('R')


def prefetch(items: Iterable[T], capacity: int) -> Generator[T, None, None]:
    """Yield the same items, produced by a thread that stores up to ``capacity`` items while it produces the next one.

    An exception in the producer is raised here, after all earlier items have been yielded.
    """
    iterator, end = iter(items), object()
    pending: deque[Future[object]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix='prefetch')
    try:
        while True:
            while len(pending) < capacity + 2:
                pending.append(pool.submit(next, iterator, end))
            item = _first_result(pending)
            if item is end:
                return
            yield cast('T', item)
    finally:
        for future in pending:
            future.cancel()
        # Close the iterator in its own thread, after the item that it is producing.
        _wait([pool.submit(_close, iterator)])
        pool.shutdown()


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int | None = None
) -> Generator[R, None, None]:
    """Yield ``function(item)`` of each item, in order; ``workers`` threads compute up to ``ahead`` items ahead.

    The first exception in ``function`` or the iterable stops the map: waiting items are dropped, running ones finish.
    """
    limit = ahead or workers + 1
    iterator = iter(items)
    pending: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix='worker')
    try:
        for item in iterator:
            pending.append(pool.submit(function, item))
            if len(pending) >= limit:
                yield _first_result(pending)
        while pending:
            yield _first_result(pending)
    finally:
        _wait([future for future in pending if not future.cancel()])
        # The threads are idle, so this only waits for them to exit.
        pool.shutdown(wait=True, cancel_futures=True)
        _close(iterator)


def _first_result(pending: deque[Future[R]]) -> R:
    # The item stays in ``pending`` during the wait, because leaving the generator waits for all pending items.
    _wait([pending[0]])
    return pending.popleft().result()


def _wait(futures: Sequence[Future[R]]) -> None:
    while wait(futures, timeout=POLL_SECONDS).not_done:
        pass


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, 'close', None)
    if close is not None:
        close()
