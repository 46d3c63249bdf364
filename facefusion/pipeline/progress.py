"""Counting the units of a stage from any number of threads."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from facefusion.events import Emit, StageFinished, StageProgress

# Before this many seconds a rate says nothing.
_SOONEST_RATE = 0.5


class Progress:
    """A stage of a run as a context manager: emits progress, and its end with the time that it took."""

    def __init__(self, emit: Emit, stage: str, total: int, unit: str = 'frame') -> None:
        self._emit = emit
        self._stage = stage
        self._total = total
        self._unit = unit
        self._done = 0
        self._skipped = 0
        self._detail = ''
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._emit(StageProgress(self._stage, 0, self._total, self._unit))
        return self

    def advance(self, units: int = 1) -> None:
        """Counts ``units`` more as done."""
        with self._lock:
            self._done += units
            self._tell()

    def skip(self, units: int) -> None:
        """Counts ``units`` more that were done before: they say nothing about the speed."""
        with self._lock:
            self._done += units
            self._skipped += units
            self._tell()

    def at(self, detail: str) -> None:
        """Says what is worked on, with the next progress."""
        with self._lock:
            self._detail = detail

    def _tell(self) -> None:
        seconds, worked = time.monotonic() - self._began, self._done - self._skipped
        rate = left = None
        if worked and seconds > _SOONEST_RATE:
            rate = round(worked / seconds, 2)
            left = round((self._total - self._done) * seconds / worked, 1)
        self._emit(StageProgress(self._stage, self._done, self._total, self._unit, self._detail, rate, left))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._emit(StageFinished(self._stage, self._done, time.monotonic() - self._began))
