"""Events of a run, and the sinks that show them: bars and log lines on stderr, NDJSON on stdout.

Producers call an ``Emit`` function with an event; they never print. A sink drops an event when its stream fails, so
that no failing stream ends a run. docs/progress-events.md describes the events for programs.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TextIO

from facefusion.standard_streams import drop_unwritten, write_line

LogLevel = Literal['error', 'warn', 'info', 'debug']
LOG_LEVELS: tuple[LogLevel, ...] = ('error', 'warn', 'info', 'debug')
EVENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Message:
    """A line of text for users; ``origin`` is the part of the program that emits it."""

    level: LogLevel
    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class StageProgress:
    """``done`` of ``total`` units of a stage are finished; the first event of a stage has ``done`` 0.

    ``total`` is None while it is unknown. ``unit`` is 'frame', 'B' (bytes) or another plain word. ``rate`` is the
    average of the stage so far in units per second, without the work of earlier runs; ``seconds_left`` is computed
    from it. Both are None while they are unknown.
    """

    stage: str
    done: int
    total: int | None
    unit: str = 'frame'
    detail: str = ''
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class StageFinished:
    """A stage is finished; ``seconds`` is its wall time."""

    stage: str
    done: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """The plan of a run: ``kind`` is 'image' or 'video'; estimates are in bytes. ``digest`` identifies the plan of a
    video: two runs with the same digest produce the same pixels."""

    kind: str
    digest: str
    frames: int
    chunks: int
    segments: int
    workers: int
    memory_bytes: int
    work_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkAnalysed:
    """The analysis of the source frames ``start`` to ``stop`` (exclusive) is stored.

    ``origin`` is 'analysed' (now), 'work' (by an earlier run of the step) or 'cache' (by another run of the clip).
    """

    start: int
    stop: int
    faces: int
    origin: str


@dataclass(frozen=True, slots=True)
class FacesLinked:
    """All chunks are linked, and the content gate has passed the target, so rendering starts."""

    frames: int
    faces: int
    tracks: int
    frames_without_face: int


@dataclass(frozen=True, slots=True)
class FramesWithoutFaces:
    """Frames without a detected face: ``ranges`` of first and last frames; ``more_ranges`` counts omitted ranges."""

    frames: int
    ranges: list[list[int]]
    more_ranges: int


@dataclass(frozen=True, slots=True)
class FramesDamaged:
    """Frames of the target that did not decode completely; ``ranges`` and ``more_ranges`` as in FramesWithoutFaces."""

    frames: int
    ranges: list[list[int]]
    more_ranges: int


@dataclass(frozen=True, slots=True)
class SegmentRendered:
    """The ``number``-th of ``count`` segments, counted from 0, is complete: output frames ``start`` to ``stop``
    (exclusive). ``origin`` is 'rendered' (now) or 'work' (by an earlier run of the step)."""

    number: int
    count: int
    start: int
    stop: int
    origin: str


@dataclass(frozen=True, slots=True)
class OutputPublished:
    """The output is published under its name; ``size`` is in bytes."""

    output_path: str
    size: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The final report of a run: the path of the output, and plain JSON facts about the run."""

    output_path: str
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The error record of a run without an output."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ContentChecked:
    """The content gate has checked a file: ``verdict`` is 'passed', 'refused' or 'failed'.

    Each entry of ``models`` has model_id, threshold and the highest score of the model. A frame is positive when at
    least ``votes`` models reach their thresholds; ``worst`` contains the frame with the most votes, and its time.
    """

    file: str
    verdict: str
    models: list[dict[str, Any]]
    votes: int
    frames: int
    worst: dict[str, Any] | None
    reason: str
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class PeopleFound:
    """``faces`` has found the people of a target; docs/faces-command.md describes ``survey``."""

    survey: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A process has started a job with this number of steps."""

    job_id: str
    steps: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The ``index``-th step of a job, counted from 0, has started."""

    job_id: str
    index: int
    output_path: str | None


@dataclass(frozen=True, slots=True)
class StepFinished:
    """The ``status`` of a step is now 'completed', 'failed' or 'skipped'; ``error`` is the error record."""

    job_id: str
    index: int
    status: str
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A process has finished with a job, which is now 'completed', 'failed' or 'queued' again."""

    job_id: str
    state: str
    error: dict[str, Any] | None = None


Event = (
    Message
    | StageProgress
    | StageFinished
    | RunPlanned
    | ChunkAnalysed
    | FacesLinked
    | FramesWithoutFaces
    | FramesDamaged
    | SegmentRendered
    | OutputPublished
    | RunFinished
    | RunFailed
    | ContentChecked
    | PeopleFound
    | JobStarted
    | StepStarted
    | StepFinished
    | JobFinished
)
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """An ``Emit`` that drops everything."""


def tee(sinks: Iterable[Emit]) -> Emit:
    """Return an ``Emit`` that passes every event to each of ``sinks`` in order."""
    fixed = tuple(sinks)

    def emit(event: Event) -> None:
        for sink in fixed:
            sink(event)

    return emit


class LogSink:
    """Write messages at or above a level to a text stream, as ``[FACEFUSION.ORIGIN] text``."""

    def __init__(self, level: LogLevel, stream: TextIO | None = None) -> None:
        self._shown = LOG_LEVELS[: LOG_LEVELS.index(level) + 1]
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message) and event.level in self._shown:
            with self._lock:
                write_line(f'[FACEFUSION.{event.origin.upper()}] {event.text}', self._stream or sys.stderr)


class JsonSink:
    """Write every event except debug messages as one JSON object per line, with progress limited to ten per second."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message) and event.level == 'debug':
            return
        if isinstance(event, StageProgress) and not self._is_due(event):
            return
        name = ''.join('_' + c.lower() if c.isupper() else c for c in type(event).__name__).lstrip('_')
        record = {'version': EVENT_VERSION, 'event': name, **asdict(event)}
        with self._lock:
            write_line(json.dumps(record, ensure_ascii=True), self._stream or sys.stdout)

    def _is_due(self, event: StageProgress) -> bool:
        now = self._clock()
        ends = event.done == 0 or event.done == event.total
        if not ends and now - self._last.get(event.stage, float('-inf')) < 0.1:
            return False
        self._last[event.stage] = now
        return True


class BarSink:
    """Show one tqdm bar on stderr for each running stage."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._bars: dict[str, Any] = {}

    def __call__(self, event: Event) -> None:
        try:
            self._show(event)
        except (OSError, ValueError):
            drop_unwritten(self._stream or sys.stderr)

    def _show(self, event: Event) -> None:
        if isinstance(event, StageProgress):
            bar = self._bars.get(event.stage)
            if bar is None:
                bar = self._bars[event.stage] = self._open(event)
            if event.unit == 'frame':
                # This makes tqdm show the rate of the event, which excludes the work of an earlier run.
                bar.initial = event.done - (event.rate or 0) * bar.format_dict['elapsed']
            if event.detail:
                bar.set_postfix_str(event.detail, refresh=False)
            bar.update(event.done - bar.n)
        elif isinstance(event, StageFinished):
            bar = self._bars.pop(event.stage, None)
            if bar is not None:
                bar.close()
        elif isinstance(event, RunFinished | RunFailed):
            self.close()

    def close(self) -> None:
        """Close every bar, so that the next message starts on a new line."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _open(self, event: StageProgress) -> Any:
        from tqdm import tqdm

        stream = self._stream or sys.stderr
        # On a terminal that does not report its size, tqdm would assume that there is no row for a bar.
        columns, rows = _size_of(stream)
        return tqdm(
            total=event.total,
            desc=event.stage,
            unit=event.unit,
            unit_scale=event.unit == 'B',
            unit_divisor=1024 if event.unit == 'B' else 1000,
            ascii=' =',
            smoothing=0 if event.unit == 'frame' else 0.3,
            # By default tqdm redraws after as many frames as its largest update added. That update may add all
            # frames of an earlier run.
            miniters=1,
            file=stream,
            ncols=columns,
            nrows=rows,
        )


def _size_of(stream: TextIO) -> tuple[int | None, int | None]:
    """Return columns and rows for a terminal that does not report them; None where tqdm can determine them."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return None, None
    return (None, None) if size.columns and size.lines else (size.columns or 80, size.lines or 24)
