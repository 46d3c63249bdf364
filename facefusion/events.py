"""What happens to a run, as records, and the sinks that show them.

Producers call an ``Emit`` function with an event; they never print. People read stderr (bar and log sinks), programs
read stdout (the NDJSON sink). A sink whose stream cannot be written to loses the event: that never ends a run.
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
    """A line for people. ``origin`` is the part of the program that speaks, in capitals when shown."""

    level: LogLevel
    origin: str
    text: str


@dataclass(frozen=True, slots=True)
class StageProgress:
    """``done`` of ``total`` units of a stage are finished; the first event of a stage has ``done`` 0.

    ``total`` is None while it is unknown. ``unit`` is 'frame', 'B' (bytes) or another plain word. ``rate`` is in units
    a second over the stage so far, without what an earlier run had done, and ``seconds_left`` follows from it; both
    None while nothing says.
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
    """A stage ended; ``seconds`` is its wall time."""

    stage: str
    done: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """What a run will do: ``kind`` is 'image' or 'video'; estimates in bytes. ``digest`` names the plan of a video:
    two runs with the same one make the same pixels."""

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
    """What is in the source frames ``start`` to ``stop`` (exclusive) is known and kept.

    ``origin`` is 'analysed' (now), 'work' (by an earlier run of the step) or 'cache' (by another run of the clip).
    """

    start: int
    stop: int
    faces: int
    origin: str


@dataclass(frozen=True, slots=True)
class FacesLinked:
    """All chunks are linked, and the content gate has passed the target: rendering begins."""

    frames: int
    faces: int
    tracks: int
    frames_without_face: int


@dataclass(frozen=True, slots=True)
class FramesWithoutFaces:
    """Where no face was found: ``ranges`` are first and last frame, ``more_ranges`` counts those left out."""

    frames: int
    ranges: list[list[int]]
    more_ranges: int


@dataclass(frozen=True, slots=True)
class FramesDamaged:
    """Which frames of the target could not be read, or not all of them; ``ranges`` and ``more_ranges`` as above."""

    frames: int
    ranges: list[list[int]]
    more_ranges: int


@dataclass(frozen=True, slots=True)
class SegmentRendered:
    """The ``number``-th of ``count`` segments, counted from 0, is whole: output frames ``start`` to ``stop``
    (exclusive). ``origin`` is 'rendered' (now) or 'work' (by an earlier run of the step)."""

    number: int
    count: int
    start: int
    stop: int
    origin: str


@dataclass(frozen=True, slots=True)
class OutputPublished:
    """The output lies under its name; ``size`` in bytes."""

    output_path: str
    size: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The end report of a run: the output's path and plain JSON facts about what was done."""

    output_path: str
    report: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The error record of a run that ended without an output."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ContentChecked:
    """The content gate has looked at a file: ``verdict`` is 'passed', 'refused' or 'failed'.

    ``models`` have model_id, threshold and their highest score, ``worst`` the frame with it and its seconds.
    """

    file: str
    verdict: str
    models: list[dict[str, Any]]
    frames: int
    worst: dict[str, Any] | None
    reason: str
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class JobStarted:
    """A process has begun to work on a job of so many steps."""

    job_id: str
    steps: int


@dataclass(frozen=True, slots=True)
class StepStarted:
    """The ``index``-th step of a job, counted from 0, has begun."""

    job_id: str
    index: int
    output_path: str | None


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A step has 'completed', 'failed' or was 'skipped'; ``error`` is the record of why."""

    job_id: str
    index: int
    status: str
    error: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class JobFinished:
    """A process has ended its work on a job, which is now 'completed', 'failed' or 'queued' again."""

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
    | JobStarted
    | StepStarted
    | StepFinished
    | JobFinished
)
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """An ``Emit`` that drops everything."""


def tee(sinks: Iterable[Emit]) -> Emit:
    """An ``Emit`` that hands every event to each of ``sinks`` in order."""
    fixed = tuple(sinks)

    def emit(event: Event) -> None:
        for sink in fixed:
            sink(event)

    return emit


class LogSink:
    """Writes messages at or above a level to a text stream, as ``[FACEFUSION.ORIGIN] text``."""

    def __init__(self, level: LogLevel, stream: TextIO | None = None) -> None:
        self._shown = LOG_LEVELS[: LOG_LEVELS.index(level) + 1]
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Message) and event.level in self._shown:
            with self._lock:
                write_line(f'[FACEFUSION.{event.origin.upper()}] {event.text}', self._stream or sys.stderr)


class JsonSink:
    """Writes every event but debug messages as one JSON object a line (NDJSON), progress at most ten times a second."""

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
    """Shows one tqdm bar on stderr for each stage that is running."""

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
                # What an earlier run had done says nothing about the speed: the rate is to be the event's.
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
        """Ends every bar, so that the next line starts on its own."""
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def _open(self, event: StageProgress) -> Any:
        from tqdm import tqdm

        stream = self._stream or sys.stderr
        # A terminal that does not say how large it is has no row for a bar, as tqdm sees it.
        columns, rows = _size_of(stream)
        return tqdm(
            total=event.total,
            desc=event.stage,
            unit=event.unit,
            unit_scale=event.unit == 'B',
            unit_divisor=1024 if event.unit == 'B' else 1000,
            ascii=' =',
            smoothing=0 if event.unit == 'frame' else 0.3,
            # Else it waits for as many frames as an earlier run had done at once.
            miniters=1,
            file=stream,
            ncols=columns,
            nrows=rows,
        )


def _size_of(stream: TextIO) -> tuple[int | None, int | None]:
    """Columns and rows to take for a terminal that does not say how many it has; None where that can be asked."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        return None, None
    return (None, None) if size.columns and size.lines else (size.columns or 80, size.lines or 24)
