"""A worker process: it runs units of one clip, and ends when its pipe closes or its run dies."""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection

from facefusion.engines.messages import (
    Advanced,
    ChunkUnit,
    Done,
    Emitted,
    Failed,
    FromWorker,
    SegmentUnit,
    Stop,
    WorkerTask,
)
from facefusion.engines.process_settings import tune_process
from facefusion.errors import InternalError
from facefusion.events import Event, Message
from facefusion.failures import as_failure
from facefusion.stopping import StopFlag

# The run handles these signals, which a terminal or a service manager sends to all of its processes.
IGNORED_SIGNALS = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP') if hasattr(signal, name))


def serve(connection: Connection) -> None:
    """Run the units that come over the pipe; the main function of a worker process."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, 'pthread_sigmask'):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    worker = _Worker(connection)
    threading.Thread(target=worker.listen, name='pipe', daemon=True).start()
    worker.run()


class _Worker:
    """The units of one run, taken from the pipe one after the other."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._flag = StopFlag()
        self._inbox: queue.SimpleQueue[WorkerTask | ChunkUnit | SegmentUnit] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._is_silent = True

    def listen(self) -> None:
        """Receive messages until the pipe closes, and end the process then, whatever it is doing.

        Its partial files are removed by the next run.
        """
        with suppress(EOFError, OSError):
            while True:
                message = self._connection.recv()
                if isinstance(message, Stop):
                    self._flag.set(message.reason)
                else:
                    self._inbox.put(message)
        os._exit(0)

    def run(self) -> None:
        """Run the units until the pipe closes."""
        try:
            tune_process()
            task = self._inbox.get()
            if not isinstance(task, WorkerTask):
                raise InternalError('worker-task', 'a worker process got a unit before its task')
            # The import is here, because it takes most of the time of the start.
            from facefusion.engines.worker_units import WorkerUnits

            units = WorkerUnits(task, self._flag, self._emit)
        except BaseException as error:
            self._fail(error)
            # Wait for the end of the pipe.
            threading.Event().wait()
            raise
        while True:
            unit = self._inbox.get()
            try:
                # The run has already reported the messages about sources and settings.
                run, self._is_silent = units.prepared(unit), False
                self._send(Done(run(lambda: self._send(Advanced()))))
            except BaseException as error:  # noqa: BLE001
                self._fail(error)
            finally:
                self._is_silent = True

    def _emit(self, event: Event) -> None:
        if not self._is_silent:
            self._send(Emitted(event))

    def _fail(self, error: BaseException) -> None:
        failure = as_failure(error)
        if failure is not error:
            self._send(Emitted(Message('debug', 'worker', ''.join(traceback.format_exception(error)))))
        self._send(Failed.of(failure))

    def _send(self, message: FromWorker) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            os._exit(0)
