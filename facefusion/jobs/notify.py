"""Runs the command of the user's ``--notify`` when a job has ended. It can never change what became of the job."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO, Any

from facefusion.events import Emit, LogLevel, Message
from facefusion.stopping import POLL_SECONDS

KEPT_BYTES = 4096
# What a killed process, and what is left of its output, may take to come; after that nobody waits for it.
_GRACE_SECONDS = 1.0
_PIECE = 65536


class Notifier:
    """Runs commands beside the work, at most ``most`` of them at once, each for at most ``seconds``.

    One thread may use it. ``emit`` is called from other threads, one at a time.
    """

    def __init__(self, emit: Emit, seconds: float = 30.0, most: int = 8) -> None:
        self._emit = emit
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._running: list[threading.Thread] = []

    def send(self, command: str, job: Mapping[str, Any]) -> None:
        """Starts ``command`` in the system's shell and returns; while too many run it waits for the oldest.

        The command reads the job as one JSON document on stdin, and finds FACEFUSION_JOB_ID and FACEFUSION_JOB_STATE
        (the job's 'id' and 'state') in its environment. What it prints is a debug message, cut to its last 4 KiB.
        That it cannot be started, ends with another code than 0, or is ended after ``seconds`` with all that it
        started, is a warning. A command need not read its stdin. Blank commands are none.
        """
        if not command.strip():
            return
        document = json.dumps(dict(job)).encode('ascii') + b'\n'
        job_id, state = str(job.get('id', '')), str(job.get('state', ''))
        self._running = [thread for thread in self._running if thread.is_alive()]
        while len(self._running) >= self._most:
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
        """Waits until every command has ended, or was ended."""
        while self._running:
            _wait_for(self._running.pop(0))

    def _run(self, command: str, job_id: str, document: bytes, environment: Mapping[str, str]) -> None:
        try:
            child = subprocess.Popen(
                command,
                shell=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                env=environment,
                # Signals of the terminal are for the run; and all that the command starts can be ended with it.
                start_new_session=sys.platform != 'win32',
            )
        except (OSError, ValueError) as error:
            self._say('warn', f'the command could not be started for job {job_id}: {error}')
            return
        kept = bytearray()
        reader = threading.Thread(target=_read, args=(child.stdout, kept), name='notify-read', daemon=True)
        writer = threading.Thread(target=_write, args=(child.stdin, document), name='notify-write', daemon=True)
        try:
            reader.start()
            writer.start()
        except RuntimeError as error:
            _end_all(child)
            self._say('warn', f'the command could not be served for job {job_id}: {error}')
            return
        in_time = _ends_within(child, self._seconds)
        if not in_time:
            _end_all(child)
        # A process that the command left behind may hold its output for ever. What it still prints goes nowhere.
        reader.join(_GRACE_SECONDS)
        self._report(job_id, child, _as_text(bytes(kept)), in_time=in_time)

    def _report(self, job_id: str, child: subprocess.Popen[bytes], output: str, *, in_time: bool) -> None:
        said = f': {output}' if output else ''
        if not in_time:
            self._say('warn', f'the command for job {job_id} ran longer than {self._seconds:g} seconds, ended{said}')
        elif child.returncode < 0:
            self._say('warn', f'the command for job {job_id} was killed by {_signal_name(-child.returncode)}{said}')
        elif child.returncode > 0:
            self._say('warn', f'the command for job {job_id} failed with exit code {child.returncode}{said}')
        else:
            self._say('debug', f'the command for job {job_id} is done{said}')

    def _say(self, level: LogLevel, text: str) -> None:
        # Whoever read the messages may be gone.
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._emit(Message(level, 'notify', text))


def _wait_for(thread: threading.Thread) -> None:
    while thread.is_alive():
        thread.join(POLL_SECONDS)


def _ends_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_SECONDS)
            return True
    return child.poll() is not None


def _end_all(child: subprocess.Popen[bytes]) -> None:
    """Ends the command and all that it started."""
    if sys.platform == 'win32':
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ['taskkill', '/F', '/T', '/PID', str(child.pid)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_GRACE_SECONDS * 5,
                check=False,
            )
        child.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    _ends_within(child, _GRACE_SECONDS)


def _read(stream: IO[bytes], kept: bytearray) -> None:
    """Takes all that comes, so that the command never waits, and keeps the end of it."""
    with stream, contextlib.suppress(OSError):
        while piece := stream.read(_PIECE):
            kept += piece
            del kept[:-KEPT_BYTES]


def _write(stream: IO[bytes], document: bytes) -> None:
    """Hands the document over; a command that does not read it needs none of it."""
    with stream, contextlib.suppress(OSError):
        rest = memoryview(document)
        while rest:
            rest = rest[stream.write(rest) :]


def _as_text(output: bytes) -> str:
    """One line of signs that a terminal may be shown."""
    words = output.decode('utf-8', 'replace').split()
    return ''.join(sign if sign.isprintable() else '?' for sign in ' '.join(words))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f'signal {number}'
