"""The progress of a benchmark in frames, with the time left, which counts the pixels of the frames to come."""

from __future__ import annotations

import time
from collections.abc import Sequence

from facefusion.benchmark.clips import size_of
from facefusion.events import Emit, Event, Message, StageFinished, StageProgress

STAGE = 'benchmark'
# Work per frame that does not depend on its size, in pixels.
_FIXED_PIXELS = 300_000
_MINIMUM_SECONDS = 1.0


class BenchmarkProgress:
    """Emits the progress of cases with these resolutions. A case has ``runs`` runs of ``frames`` frames."""

    def __init__(self, emit: Emit, resolutions: Sequence[str], runs: int, frames: int) -> None:
        self._emit = emit
        self._run_frames = frames
        self._case_frames = runs * frames
        self._weights = {each: _FIXED_PIXELS + size_of(each)[0] * size_of(each)[1] for each in resolutions}
        self._total = len(resolutions) * self._case_frames
        self._work = self._case_frames * sum(self._weights[each] for each in resolutions)
        self._skipped = 0.0
        self._ended, self._ended_work = 0, 0.0
        self._started = time.monotonic()
        self._detail = ''
        self._show(0, 0)

    def begin(self, label: str, resolution: str) -> None:
        """Name the case that begins."""
        self._detail = f'{label} {resolution}'

    def at(self, resolution: str, runs: int, frames: float) -> None:
        """Show that this many runs and frames of the case have ended."""
        done = min(runs * self._run_frames + frames, self._case_frames)
        self._show(done, done * self._weights[resolution])

    def end(self, resolution: str, is_skipped: bool = False) -> None:
        """Count the case as ended; if it ``is_skipped``, it does not count in the rate."""
        work = self._case_frames * self._weights[resolution]
        self._skipped += work if is_skipped else 0
        self._ended += self._case_frames
        self._ended_work += work
        self._show(0, 0)

    def finish(self) -> None:
        """Emit the end."""
        self._emit(StageFinished(STAGE, self._ended, time.monotonic() - self._started))

    def _show(self, frames: float, work: float) -> None:
        done, seconds = int(self._ended + frames), time.monotonic() - self._started
        measured = self._ended_work - self._skipped + work
        left = rate = None
        if measured > 0 and seconds > _MINIMUM_SECONDS:
            left = seconds * (self._work - self._ended_work - work) / measured
            # The bar computes the time left from the rate.
            rate = (self._total - done) / left if left else None
            left, rate = round(left, 1), None if rate is None else round(rate, 4)
        self._emit(StageProgress(STAGE, done, self._total, 'frame', self._detail, rate, left))


def without_repeats(emit: Emit) -> Emit:
    """Return an ``Emit`` that drops a message if it was emitted before, because every run repeats its messages."""
    shown = set[str]()

    def emit_once(event: Event) -> None:
        if isinstance(event, Message):
            if event.text in shown:
                return
            shown.add(event.text)
        emit(event)

    return emit_once
