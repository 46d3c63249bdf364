"""A record of waits without a time limit, which would block signal handlers on Windows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

LONG = 0.2


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
