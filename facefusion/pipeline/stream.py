"""Bounded stages: work ahead in threads, give results in order, and stop cleanly when any side fails.

Every queue has a limit, every wait looks at a stop event, and leaving a generator, by its end, by an exception or by
``close()``, ends its threads before control returns.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar('T')
R = TypeVar('R')

POLL_SECONDS = 0.1


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
            is_item, value = ahead.get()
            if not is_item:
                if isinstance(value, BaseException):
                    raise value
                return
            yield value  # type: ignore[misc]
    finally:
        ended.set()
        thread.join()


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
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
        _close(iterator)


def _close(iterator: Iterator[object]) -> None:
    close = getattr(iterator, 'close', None)
    if close is not None:
        close()
