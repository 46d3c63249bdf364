"""Progress of a stage, counted from any number of threads."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from facefusion.events import Emit, StageFinished, StageProgress

# A rate measured over fewer seconds is meaningless.
_MINIMUM_SECONDS = 0.5


@dataclass(slots=True)
class Progress:
    """A context manager for a stage of a run that emits the progress and, at the end, the elapsed time."""

    emit: Emit
    stage: str
    total: int
    unit: str = 'frame'
    _done: int = 0
    _skipped: int = 0
    _detail: str = ''
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _started: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Self:
        self.emit(StageProgress(self.stage, 0, self.total, self.unit))
        return self

    def advance(self, units: int = 1) -> None:
        """Count ``units`` more as done."""
        self._count(units, 0)

    def skip(self, units: int) -> None:
        """Count ``units`` that an earlier run has done; they do not affect the rate."""
        self._count(units, units)

    def at(self, detail: str) -> None:
        """Add this detail to the next progress events."""
        with self._lock:
            self._detail = detail

    def _count(self, units: int, skipped: int) -> None:
        with self._lock:
            self._done += units
            self._skipped += skipped
            seconds, processed = time.monotonic() - self._started, self._done - self._skipped
            rate = left = None
            if processed and seconds > _MINIMUM_SECONDS:
                rate = round(processed / seconds, 2)
                left = round((self.total - self._done) * seconds / processed, 1)
            self.emit(StageProgress(self.stage, self._done, self.total, self.unit, self._detail, rate, left))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.emit(StageFinished(self.stage, self._done, time.monotonic() - self._started))
