"""The profile of a run: the time of its stages, and a trace of them for Perfetto and speedscope.

A stage is timed with ``with profile.span('decode'):``; stages inside it belong to it. Each thread has its own stack of
stages, so any number of threads may share a profile. ``NO_PROFILE`` measures nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, TextIO, TypeVar

T = TypeVar('T')
# A stage in the trace needs about 300 bytes of memory, and 150 bytes in the file.
MOST_EVENTS = 200_000
# Names of stages that call a network or load it; the id of its model follows.
NETWORK, LOAD = 'network ', 'load '
# The stages of a processor beside its networks: before its first call of one, and all other work.
PRE, POST = 'pre', 'post'
_NOTHING = nullcontext()


@dataclass(frozen=True, slots=True)
class StageTime:
    """How often a stage ran, and its seconds and CPU seconds without the stages inside it.

    CPU seconds are those of the thread of the stage; the threads of a library, such as an encoder, do not count.
    """

    calls: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def plus(self, other: StageTime) -> StageTime:
        """Return the sum of two times."""
        return StageTime(self.calls + other.calls, self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def minus(self, earlier: StageTime) -> StageTime:
        """Return the time since ``earlier``, a time of the same stage."""
        return self.plus(StageTime(-earlier.calls, -earlier.seconds, -earlier.cpu_seconds))


# The time of stages by the names that lead to each, such as ('analyse', 'detect', 'network centerface').
StageTimes = dict[tuple[str, ...], StageTime]


class Profile:
    """A profile that measures nothing; ``RecordedProfile`` measures."""

    def span(self, name: str, frames: int = 0) -> AbstractContextManager[object]:
        """Return a context manager that times a stage; ``frames`` is the number of its frames."""
        return _NOTHING

    def processor(self, name: str, frames: int) -> AbstractContextManager[object]:
        """Return a context manager that times a batch of frames of a processor, divided into PRE, networks and POST.

        If a processor calls no network, all of its time is PRE.
        """
        return _NOTHING

    def items(self, name: str, items: Iterable[T]) -> Iterable[T]:
        """Return the same items; the time to produce each belongs to the stage ``name``."""
        return items

    def network(self, model_id: str, session: Any) -> Any:
        """Return the session of a model with its calls timed."""
        return session


NO_PROFILE = Profile()


class StageEvent(NamedTuple):
    """A stage in the trace: ``start`` and ``length`` are in nanoseconds, ``thread`` is the row.

    ``frames`` is the number of its frames, 0 if it has none.
    """

    name: str
    start: int
    length: int
    thread: int
    frames: int = 0


class RecordedProfile(Profile):
    """A profile that measures.

    ``most_events`` limits the stages in the trace; ``dropped_events`` counts those beyond it. The times of stages
    include all.
    """

    def __init__(self, most_events: int = MOST_EVENTS) -> None:
        self.dropped_events = 0
        self._most_events = most_events
        self._began = time.perf_counter_ns()
        self._lock = threading.Lock()
        self._local = threading.local()
        self._events: list[StageEvent] = []
        self._threads: dict[int, _Thread] = {}
        self._times: StageTimes = {}
        self._networks: dict[str, tuple[str, ...]] = {}

    def span(self, name: str, frames: int = 0) -> AbstractContextManager[object]:
        return _Span(self, name, frames)

    def processor(self, name: str, frames: int) -> AbstractContextManager[object]:
        return _ProcessorSpan(self, name, frames)

    def items(self, name: str, items: Iterable[T]) -> Iterable[T]:
        return _timed(self, name, iter(items))

    def network(self, model_id: str, session: Any) -> Any:
        reported = tuple(session.get_providers()) if hasattr(session, 'get_providers') else ()
        with self._lock:
            self._networks[model_id] = reported
        return _TimedSession(self, model_id, session)

    def networks(self) -> dict[str, tuple[str, ...]]:
        """Return the loaded networks by the ids of their models, with the execution providers of their sessions."""
        with self._lock:
            return dict(self._networks)

    def times(self) -> StageTimes:
        """Return the times of all stages that have ended."""
        with self._lock:
            return dict(self._times)

    def write(self, stream: TextIO) -> None:
        """Write the trace in the Trace Event Format of Chrome; times are in microseconds since the profile began."""
        with self._lock:
            events, threads, dropped = self._events.copy(), list(self._threads.values()), self.dropped_events
        facts = json.dumps({'program': 'facefusion', 'dropped_events': dropped})
        stream.write(f'{{"displayTimeUnit": "ms", "otherData": {facts}, "traceEvents": [\n')
        names = [('process_name', 0, 'facefusion'), *(('thread_name', each.number, each.name) for each in threads)]
        heads = [{'name': kind, 'ph': 'M', 'pid': 1, 'tid': tid, 'args': {'name': name}} for kind, tid, name in names]
        stream.write(',\n'.join(json.dumps(head) for head in heads))
        # No arguments are written, because speedscope would take stages with different ones for different stages.
        for event in sorted(events, key=lambda event: (event.start, -event.length)):
            record: dict[str, Any] = {'name': event.name, 'cat': 'stage', 'ph': 'X', 'pid': 1, 'tid': event.thread}
            record |= {'ts': (event.start - self._began) / 1e3, 'dur': event.length / 1e3}
            stream.write(',\n' + json.dumps(record))
        stream.write('\n]}\n')

    def thread(self) -> _Thread:
        """Return the stack of the calling thread."""
        found: _Thread | None = getattr(self._local, 'thread', None)
        if found is None:
            ident = threading.get_ident()
            with self._lock:
                # The system gives the identifier of an ended thread to a new one, which continues its row of the trace.
                number = self._threads[ident].number if ident in self._threads else len(self._threads) + 1
                found = self._threads[ident] = _Thread(number, threading.current_thread().name)
            self._local.thread = found
        return found

    def record(self, event: StageEvent, times: StageTimes) -> None:
        """Add a stage that has ended to the trace, and its times to the sums."""
        with self._lock:
            for path, added in times.items():
                self._times[path] = self._times.get(path, StageTime()).plus(added)
            if len(self._events) < self._most_events:
                self._events.append(event)
            else:
                self.dropped_events += 1


class _Thread:
    """A thread: its row in the trace, and the stages that it is in."""

    __slots__ = ('name', 'number', 'stack')

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.stack: list[_Span] = []


class _Span:
    """A running stage; ``inside`` is the time of the stages inside it, and of its thread in them, in nanoseconds."""

    __slots__ = ('_frames', '_profile', '_thread', 'inside', 'name', 'path', 'started')

    def __init__(self, profile: RecordedProfile, name: str, frames: int) -> None:
        self._profile = profile
        self._frames = frames
        self.name = name
        self.inside = (0, 0)

    def __enter__(self) -> None:
        self._thread = self._profile.thread()
        stack = self._thread.stack
        self.path: tuple[str, ...] = (*stack[-1].path, self.name) if stack else (self.name,)
        self.started = time.perf_counter_ns(), time.thread_time_ns()
        stack.append(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        length, cpu = self.elapsed()
        stack = self._thread.stack
        stack.pop()
        if stack:
            wall_inside, cpu_inside = stack[-1].inside
            stack[-1].inside = wall_inside + length, cpu_inside + cpu
        own = length - self.inside[0], cpu - self.inside[1]
        self._profile.record(self._event(self.name, self.started[0], length), self._times(own))

    def elapsed(self) -> tuple[int, int]:
        """Return the nanoseconds since the stage began, and those of its thread."""
        return time.perf_counter_ns() - self.started[0], time.thread_time_ns() - self.started[1]

    def _times(self, own: tuple[int, int]) -> StageTimes:
        return {self.path: _stage_time(own)}

    def _event(self, name: str, start: int, length: int) -> StageEvent:
        return StageEvent(name, start, length, self._thread.number, self._frames)


class _ProcessorSpan(_Span):
    """A running batch of a processor.

    ``_before`` is its own time before its first call of a network, ``_called`` the start of this call and the end of
    the last one, in nanoseconds.
    """

    __slots__ = ('_before', '_called')

    def __init__(self, profile: RecordedProfile, name: str, frames: int) -> None:
        super().__init__(profile, name, frames)
        self._before: tuple[int, int] | None = None
        self._called: tuple[int, int] | None = None

    def network_starts(self) -> None:
        """Note the start of a call of a network."""
        if self._before is None:
            length, cpu = self.elapsed()
            self._before = length - self.inside[0], cpu - self.inside[1]
            self._called = self.started[0] + length, self.started[0] + length

    def network_ends(self) -> None:
        """Note the end of a call of a network."""
        if self._called is not None:
            self._called = self._called[0], time.perf_counter_ns()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._called is not None:
            # The trace shows the parts before the first network and after the last one.
            start, (first, last), now = self.started[0] + 1, self._called, time.perf_counter_ns()
            for name, begin, end in ((PRE, start, first), (POST, last, now)):
                self._profile.record(self._event(name, begin, end - begin), {})
        super().__exit__(kind, error, traceback)

    def _times(self, own: tuple[int, int]) -> StageTimes:
        before = own if self._before is None else self._before
        after = own[0] - before[0], own[1] - before[1]
        return {
            self.path: StageTime(1),
            (*self.path, PRE): _stage_time(before),
            (*self.path, POST): _stage_time(after),
        }


def _stage_time(nanoseconds: tuple[int, int]) -> StageTime:
    return StageTime(1, nanoseconds[0] / 1e9, nanoseconds[1] / 1e9)


class _TimedSession:
    """A session of onnxruntime whose calls are stages."""

    def __init__(self, profile: RecordedProfile, model_id: str, session: Any) -> None:
        self._profile = profile
        self._name = NETWORK + model_id
        self._session = session

    def run(self, *inputs: Any, **options: Any) -> Any:
        """Call the network."""
        spans = reversed(self._profile.thread().stack)
        processor = next((span for span in spans if isinstance(span, _ProcessorSpan)), None)
        if processor is not None:
            processor.network_starts()
        with self._profile.span(self._name):
            outputs = self._session.run(*inputs, **options)
        if processor is not None:
            processor.network_ends()
        return outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def _timed(profile: RecordedProfile, name: str, iterator: Iterator[T]) -> Iterator[T]:
    try:
        while True:
            with profile.span(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        close = getattr(iterator, 'close', None)
        if close is not None:
            close()
