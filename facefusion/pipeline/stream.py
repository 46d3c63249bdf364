"""Bounded stages: work ahead in threads, give results in order, and stop cleanly when any side fails.

Every queue has a limit. Every wait is made of slices of at most POLL_SECONDS, so that signal handlers run meanwhile on
every system. Leaving a generator, by its end, by an exception or by ``close()``, ends its threads before control
returns.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from facefusion.stopping import POLL_SECONDS

T = TypeVar('T')
R = TypeVar('R')


def prefetch(items: Iterable[T], capacity: int) -> Generator[T, None, None]:
    """The same items, produced by a thread that holds ``capacity`` items and works on one more.

    An exception of the producer is raised here, after the items that came before it.
    """
    ahead: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(maxsize=capacity)
    ended = threading.Event()

    def put(entry: tuple[bool, T | BaseException | None]) -> bool:
        while not ended.is_set():
            try:
                ahead.put(entry, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    # Not in the thread: were it to raise there, nothing would ever be put.
    iterator = iter(items)

    def produce() -> None:
        try:
            for item in iterator:
                if not put((True, item)):
                    break
            else:
                put((False, None))
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            put((False, error))
        finally:
            _close(iterator)

    thread = threading.Thread(target=produce, name='prefetch', daemon=True)
    thread.start()
    try:
        while True:
            try:
                is_item, value = ahead.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if not is_item:
                if isinstance(value, BaseException):
                    raise value
                return
            yield value  # type: ignore[misc]
    finally:
        ended.set()
        while thread.is_alive():
            thread.join(POLL_SECONDS)


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], workers: int, ahead: int | None = None
) -> Generator[R, None, None]:
    """``function`` of each item, in order, computed by ``workers`` threads at most ``ahead`` items ahead.

    The first exception, of an item or of the iterable, ends everything: what has not begun is dropped, what runs is
    waited for.
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
        # Its threads have nothing left to do: this wait is for their last steps only.
        pool.shutdown(wait=True, cancel_futures=True)
        _close(iterator)


def _first_result(pending: deque[Future[R]]) -> R:
    # It stays among the pending ones while it is waited for: they are what the end has to wait for.
    _wait([pending[0]])
    return pending.popleft().result()


def _wait(futures: Sequence[Future[R]]) -> None:
    while wait(futures, timeout=POLL_SECONDS).not_done:
        pass


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, 'close', None)
    if close is not None:
        close()
