"""The engine for several processes: each runs whole units, this process as well as its worker processes."""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import TypeVar

from facefusion.engines.messages import (
    Advanced,
    ChunkUnit,
    Done,
    Emitted,
    Failed,
    SegmentUnit,
    Stop,
    ToWorker,
    WorkerTask,
)
from facefusion.engines.parallel import run_in_parallel
from facefusion.engines.threads import ThreadEngine
from facefusion.engines.worker import IGNORED_SIGNALS, serve
from facefusion.errors import ResourceError
from facefusion.events import Emit
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import open_frames
from facefusion.pipeline.manifest import Manifest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.units import AnalysisUnits, RenderUnits
from facefusion.provenance.watermarking import NO_WATERMARKS
from facefusion.stopping import POLL_SECONDS, StopFlag

T = TypeVar('T')
# The number of finished units that may wait for an earlier unit, for each process.
_AHEAD = 4
# A worker that has not ended this long after its pipe closed is killed.
_END_SECONDS = 5.0


class ProcessEngine:
    """Runs units in ``processes`` processes, one of them this one, with ``workers`` threads in all.

    Each worker process uses the next of the devices ``device_ids``; this process uses the first one. The worker
    processes are started for the first units, and end when the engine is closed. A stage with a single unit runs in
    threads.
    """

    def __init__(self, task: WorkerTask, workers: int, processes: int, device_ids: Sequence[int], emit: Emit) -> None:
        self._task = task
        self._workers = workers
        self._processes = processes
        self._device_ids = device_ids
        self._emit = emit
        self._members: list[WorkerProcess] = []

    def analyse(
        self, units: AnalysisUnits, spans: Sequence[Span], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[Span, Manifest], None, None]:
        """Yield each chunk with its manifest, in order. Raises also ResourceError worker-ended."""
        if min(self._processes, len(spans)) < 2:
            yield from ThreadEngine(self._workers).analyse(units, spans, progress, flag)
            return
        stopped = StopFlag(flag)
        with closing(ReaderPool(units.analysis.target, 1, stop=stopped)) as readers:
            own = units.reading_with(readers)

            def run(span: Span, member: WorkerProcess | None, threads: int) -> Manifest:
                if member is None:
                    return own.run(span, stopped, progress.advance)
                return member.run(ChunkUnit(span), stopped, progress.advance)

            yield from self._distribute(run, spans, stopped)

    def render(
        self, units: RenderUnits, numbers: Sequence[int], progress: Progress, flag: StopFlag
    ) -> Generator[tuple[int, Manifest], None, None]:
        """Yield each segment with its manifest, in order. Raises also ResourceError worker-ended."""
        if min(self._processes, len(numbers)) < 2:
            self.close()
            yield from ThreadEngine(self._workers).render(units, numbers, progress, flag)
            return
        stopped, is_altered = StopFlag(flag), units.rendering.watermarks is not NO_WATERMARKS
        with closing(open_frames(units.rendering.target, 1, stopped)) as readers:

            def run(number: int, member: WorkerProcess | None, threads: int) -> Manifest:
                if member is None:
                    return units.reading_with(readers, threads).run(number, stopped, progress.advance)
                return member.run(SegmentUnit(number, threads, is_altered), stopped, progress.advance)

            yield from self._distribute(run, numbers, stopped)
        # The last stage is done; joining and signing can use the memory.
        self.close()

    def close(self) -> None:
        """End the worker processes."""
        members, self._members = self._members, []
        for member in members:
            member.close()
        for member in members:
            member.wait()

    def _distribute(
        self, run: Callable[[T, WorkerProcess | None, int], Manifest], items: Sequence[T], stopped: StopFlag
    ) -> Generator[tuple[T, Manifest], None, None]:
        """Yield each unit with its manifest, in order; each idle process takes the next unit.

        When a unit fails, or the generator is closed, the other units stop at their next frame.
        """
        processes = min(self._processes, len(items))
        while len(self._members) < processes - 1:
            self._members.append(self._start(len(self._members) + 1))
        idle: queue.SimpleQueue[WorkerProcess | None] = queue.SimpleQueue()
        for member in (None, *self._members[: processes - 1]):
            idle.put(member)

        def work(numbered: tuple[int, T]) -> tuple[T, Manifest]:
            number, item = numbered
            # The last units share the threads of the processes that get no further unit.
            threads = max(self._workers // min(processes, len(items) - number), 1)
            member = idle.get()
            try:
                return item, run(item, member, threads)
            finally:
                idle.put(member)

        yield from run_in_parallel(work, enumerate(items), processes, processes * _AHEAD, stopped)

    def _start(self, number: int) -> WorkerProcess:
        device_id = self._device_ids[number % len(self._device_ids)]
        return WorkerProcess(replace(self._task, device_id=device_id), self._emit)


class WorkerProcess:
    """A worker process, which runs one unit at a time. It does not survive this process."""

    def __init__(self, task: WorkerTask, emit: Emit) -> None:
        self._emit = emit
        self._task: WorkerTask | None = task
        context = multiprocessing.get_context('spawn')
        self._connection, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=serve, args=(other,), name='facefusion worker', daemon=True)
        try:
            with _signals_blocked():
                self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            other.close()

    def run(self, unit: ToWorker, flag: StopFlag, advance: Callable[[], None]) -> Manifest:
        """Run a unit; only one thread may call this at a time.

        Raises the errors of the unit, and ResourceError worker-ended if the process ended.
        """
        try:
            if self._task is not None:
                self._connection.send(self._task)
                self._task = None
            self._connection.send(unit)
            return self._result(flag, advance)
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def close(self) -> None:
        """Close the pipe, which ends the process."""
        self._connection.close()

    def wait(self) -> None:
        """Wait until the process has ended, and kill it after a few seconds."""
        self._process.join(_END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._process.close()

    def _result(self, flag: StopFlag, advance: Callable[[], None]) -> Manifest:
        is_stopping = False
        while True:
            if flag.is_set() and not is_stopping:
                self._connection.send(Stop(flag.reason))
                is_stopping = True
            if not self._connection.poll(POLL_SECONDS):
                continue
            message = self._connection.recv()
            if isinstance(message, Advanced):
                advance()
            elif isinstance(message, Emitted):
                self._emit(message.event)
            elif isinstance(message, Done):
                return message.manifest
            elif isinstance(message, Failed):
                raise message.as_error()

    def _ended(self) -> ResourceError:
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        cause = f'it ended with exit code {code}'
        if code is not None and code < 0:
            with suppress(ValueError):
                cause = f'{signal.Signals(-code).name} ended it; when memory is short, the system does so'
        return ResourceError(
            'worker-ended',
            'a worker process of this run ended unexpectedly',
            cause=cause,
            hint='run the same command again, which resumes; if it happens again, use --execution-engine threads',
        )


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block the signals that a worker process ignores, until it does; the process inherits the blocked signals."""
    if not hasattr(signal, 'pthread_sigmask'):
        yield
        return
    from multiprocessing import resource_tracker

    # Its start would unblock the signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
