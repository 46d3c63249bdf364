"""The measured values of one run, taken from its events, its profile and the gauges of the process."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from facefusion.benchmark.gauges import Gauges, Readings
from facefusion.benchmark.gpu import Gpu
from facefusion.events import Event, RunFinished, RunPlanned, StageFinished, StageProgress
from facefusion.pipeline.render import RENDER
from facefusion.profiling import RecordedProfile, StageEvent, StageTime, StageTimes

# The stages of ``pipeline.progress`` in which a run processes its frames.
ANALYSING, PROCESSING = 'analysing', 'processing'


class FrameProfile(RecordedProfile):
    """A profile that also collects, until they are taken, the seconds of each frame in the chain, and the networks."""

    def __init__(self) -> None:
        super().__init__()
        self._frame_seconds: list[float] = []
        self._used: dict[str, tuple[str, ...]] = {}

    def network(self, model_id: str, session: Any) -> Any:
        timed = super().network(model_id, session)
        self._used[model_id] = self.networks()[model_id]
        return timed

    def take_networks(self) -> dict[str, tuple[str, ...]]:
        """Return the networks that were loaded since the last call, with the providers of their sessions."""
        taken, self._used = self._used, {}
        return taken

    def record(self, event: StageEvent, times: StageTimes) -> None:
        super().record(event, times)
        if event.name == RENDER:
            self._frame_seconds += [event.length / 1e9 / event.frames] * event.frames

    def take_frame_seconds(self) -> list[float]:
        """Return the seconds of all frames since the last call."""
        taken, self._frame_seconds = self._frame_seconds, []
        return taken


class Phase(NamedTuple):
    """A phase of a run: its wall and CPU seconds (of all threads of the process), and the times of its stages."""

    seconds: float
    cpu_seconds: float
    times: StageTimes


NO_PHASE = Phase(0.0, 0.0, {})


@dataclass(frozen=True, slots=True)
class Cycle:
    """One run: wall and CPU seconds, the times of its stages, its phases, and the readings of the gauges.

    ``frame_seconds`` are the seconds that each rendered frame spends in the chain, with label and mark.
    """

    seconds: float
    cpu_seconds: float
    times: StageTimes
    phases: Mapping[str, Phase]
    frame_seconds: tuple[float, ...]
    readings: Readings
    faces: int
    plan: RunPlanned | None = None


@dataclass(slots=True)
class _Mark:
    """A moment of a run."""

    seconds: float = field(default_factory=time.perf_counter)
    cpu_seconds: float = field(default_factory=time.process_time)
    times: StageTimes = field(default_factory=dict)

    def phase_since(self, earlier: _Mark) -> Phase:
        """Return the values between two moments."""
        times = {path: time.minus(earlier.times.get(path, StageTime())) for path, time in self.times.items()}
        spent = {path: time for path, time in times.items() if time.calls}
        return Phase(self.seconds - earlier.seconds, self.cpu_seconds - earlier.cpu_seconds, spent)


class CycleMeter:
    """Measures one run: created before it, called with its events, and closed after it."""

    def __init__(self, profile: FrameProfile, gpu: Gpu | None) -> None:
        self._profile = profile
        self._open = ExitStack()
        self._gauges = self._open.enter_context(Gauges(gpu))
        self._phases: dict[str, Phase] = {}
        self._phase = _Mark()
        self._plan: RunPlanned | None = None
        self.cycle: Cycle | None = None
        profile.take_frame_seconds()
        self._start = self._mark()

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunPlanned):
            self._plan = event
        elif isinstance(event, StageProgress) and event.done == 0 and event.stage in (ANALYSING, PROCESSING):
            self._phase = self._mark()
        elif isinstance(event, StageFinished) and event.stage in (ANALYSING, PROCESSING):
            self._phases[event.stage] = self._mark().phase_since(self._phase)
        elif isinstance(event, RunFinished):
            self._finish(event.report)

    def close(self) -> None:
        """Stop the gauges."""
        self._open.close()

    def _mark(self) -> _Mark:
        return _Mark(times=self._profile.times())

    def _finish(self, report: Mapping[str, Any]) -> None:
        whole = self._mark().phase_since(self._start)
        self.cycle = Cycle(
            seconds=whole.seconds,
            cpu_seconds=whole.cpu_seconds,
            times=whole.times,
            phases=self._phases,
            frame_seconds=tuple(self._profile.take_frame_seconds()),
            readings=self._gauges.readings(),
            faces=int(report.get('faces', 0)),
            plan=self._plan,
        )
