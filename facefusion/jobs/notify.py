"""The command of ``--notify``, which runs after the end of a job and cannot change its result."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import IO, Any

from facefusion.events import Emit, LogLevel, Message
from facefusion.stopping import POLL_SECONDS

OUTPUT_BYTES = 4096
# Seconds to wait for the end of a killed process, and for its remaining output.
_GRACE_SECONDS = 1.0
_PIECE = 65536


class Notifier:
    """Runs commands in the background, at most ``limit`` at once, each for at most ``seconds``.

    Only one thread may use it. ``emit`` is called from other threads, one at a time.
    """

    def __init__(self, emit: Emit, seconds: float = 30.0, limit: int = 8) -> None:
        self._emit = emit
        self._seconds = seconds
        self._limit = limit
        self._lock = threading.Lock()
        self._running: list[threading.Thread] = []

    def send(self, command: str, job: Mapping[str, Any]) -> None:
        """Start ``command`` in the system's shell and return; while too many commands run, wait for the oldest.

        The command gets the job as one JSON document on stdin, which it need not read, and FACEFUSION_JOB_ID and
        FACEFUSION_JOB_STATE in its environment. The last 4 KiB of its output become a debug message. A failed start
        and an exit code other than 0 cause warnings. A command that runs longer than ``seconds`` causes a warning and
        is killed with its children. A blank command does nothing.
        """
        if not command.strip():
            return
        document = json.dumps(dict(job)).encode('ascii') + b'\n'
        job_id, state = str(job.get('id', '')), str(job.get('state', ''))
        self._running = [thread for thread in self._running if thread.is_alive()]
        while len(self._running) >= self._limit:
            _wait_for(self._running.pop(0))
        environment = {**os.environ, 'FACEFUSION_JOB_ID': job_id, 'FACEFUSION_JOB_STATE': state}
        thread = threading.Thread(
            target=self._run, args=(command, job_id, document, environment), name='notify', daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            self._say('warn', f'the command could not be started for job {job_id}: {error}')
            return
        self._running.append(thread)

    def close(self) -> None:
        """Wait for the end of every command."""
        while self._running:
            _wait_for(self._running.pop(0))

    def _run(self, command: str, job_id: str, document: bytes, environment: Mapping[str, str]) -> None:
        child, output = None, bytearray()
        try:
            child = subprocess.Popen(
                command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env=environment,
                # In a session of its own, the command gets no signals from the terminal, and can be killed together
                # with its children.
                start_new_session=sys.platform != 'win32',
            )
            reader = threading.Thread(target=_read, args=(child.stdout, output), name='notify-read', daemon=True)
            reader.start()
            threading.Thread(target=_write, args=(child.stdin, document), name='notify-write', daemon=True).start()
        except (OSError, ValueError, RuntimeError) as error:
            if child is not None:
                _kill_all(child)
            self._say('warn', f'the command could not be started for job {job_id}: {error}')
            return
        in_time = _has_ended(child, self._seconds)
        if not in_time:
            _kill_all(child)
        # A background process of the command may keep its output open for ever; its further output is ignored.
        reader.join(_GRACE_SECONDS)
        self._report(job_id, child, _as_text(bytes(output)), in_time=in_time)

    def _report(self, job_id: str, child: subprocess.Popen[bytes], output: str, *, in_time: bool) -> None:
        text = f': {output}' if output else ''
        if not in_time:
            self._say('warn', f'the command for job {job_id} was killed after {self._seconds:g} seconds{text}')
        elif child.returncode < 0:
            self._say('warn', f'the command for job {job_id} was killed by {_signal_name(-child.returncode)}{text}')
        elif child.returncode > 0:
            self._say('warn', f'the command for job {job_id} failed with exit code {child.returncode}{text}')
        else:
            self._say('debug', f'the command for job {job_id} is done{text}')

    def _say(self, level: LogLevel, text: str) -> None:
        # The message stream may already be closed.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._emit(Message(level, 'notify', text))


def _wait_for(thread: threading.Thread) -> None:
    while thread.is_alive():
        thread.join(POLL_SECONDS)


def _has_ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a command; return whether it has ended within ``seconds``."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    return child.returncode is not None


def _kill_all(child: subprocess.Popen[bytes]) -> None:
    """Kill the command and its children."""
    if sys.platform == 'win32':
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(child.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    _has_ended(child, _GRACE_SECONDS)


def _read(stream: IO[bytes], output: bytearray) -> None:
    """Read the whole stream, so that the command never blocks, and store its end in ``output``."""
    with stream, contextlib.suppress(OSError):
        while piece := stream.read(_PIECE):
            output += piece
            del output[:-OUTPUT_BYTES]


def _write(stream: IO[bytes], document: bytes) -> None:
    """Write the document; ignore the error when the command does not read it."""
    with stream, contextlib.suppress(OSError):
        rest = memoryview(document)
        while rest:
            rest = rest[stream.write(rest) :]


def _as_text(output: bytes) -> str:
    """Return the output as one line of printable characters."""
    words = output.decode('utf-8', 'replace').split()
    return ''.join(letter if letter.isprintable() else '?' for letter in ' '.join(words))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'
