"""SIGINT and SIGTERM set the stop flag of a run, which ends at the next frame boundary."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from facefusion.stopping import StopFlag


@contextmanager
def stop_on_signals(flag: StopFlag) -> Iterator[None]:
    """While the block runs, both signals set ``flag``; afterwards they do what they did before."""

    def stop(number: int, frame: FrameType | None) -> None:
        flag.set(f'{signal.Signals(number).name} was received')

    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in watched}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
