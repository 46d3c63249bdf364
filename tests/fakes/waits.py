"""Waits of tests for a condition, and a record of waits without a time limit, which block signals on Windows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from unittest import mock

T = TypeVar('T')
LONG = 0.2


def wait_until(condition: Callable[[], T], seconds: float = 10.0, poll: float = 0.02) -> T:
    """Wait until ``condition`` returns a true value, and return it; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, 'it never happened'
        time.sleep(poll)
    return found


@contextmanager
def unlimited_waits() -> Iterator[list[float]]:
    """Yield a list of the durations of all long waits without a time limit in this thread."""
    mine, found = threading.current_thread(), []

    def watched(wait):
        def call(self, timeout=None):
            began = time.monotonic()
            try:
                return wait(self, timeout)
            finally:
                took = time.monotonic() - began
                if timeout is None and took > LONG and threading.current_thread() is mine:
                    found.append(took)

        return call

    with (
        mock.patch.object(threading.Condition, 'wait', watched(threading.Condition.wait)),
        mock.patch.object(threading.Thread, 'join', watched(threading.Thread.join)),
    ):
        yield found
