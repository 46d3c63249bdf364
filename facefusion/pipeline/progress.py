"""Counting the units of a stage from any number of threads."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from facefusion.events import Emit, StageFinished, StageProgress


class Progress:
    """A stage of a run as a context manager: emits progress, and its end with the time that it took."""

    def __init__(self, emit: Emit, stage: str, total: int, unit: str = 'frame') -> None:
        self._emit = emit
        self._stage = stage
        self._total = total
        self._unit = unit
        self._done = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._emit(StageProgress(self._stage, 0, self._total, self._unit))
        return self

    def advance(self, units: int = 1) -> None:
        """Counts ``units`` more as done."""
        with self._lock:
            self._done += units
            self._emit(StageProgress(self._stage, self._done, self._total, self._unit))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._emit(StageFinished(self._stage, self._done, time.monotonic() - self._began))
