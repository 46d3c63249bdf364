"""The log of a job: the messages of its attempts, kept beside the store as long as the job.

``jobs/.logs/<id>.jsonl`` gets one line for each message. When it is full it is renamed to ``<id>@old.jsonl``, so that
the newest messages stay. A log that cannot be written never stops a job.
"""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from facefusion.events import Emit, Event, Message
from facefusion.jobs.record import now_text

LOGS_FOLDER = '.logs'
MOST_BYTES = 200_000
MOST_LINES = 1000
_LONGEST_TEXT = 4000


class JobLog:
    """An ``Emit`` that writes the messages of a job to its log, and passes all events on."""

    def __init__(self, root: Path, job_id: str, emit: Emit) -> None:
        self._path, self._old = _paths(root, job_id)
        self._emit = emit
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write a message unless it is for debugging; callable from any thread."""
        if isinstance(event, Message) and event.level != 'debug':
            self.write(event.level, event.text)
        self._emit(event)

    def write(self, level: str, text: str) -> None:
        """Add a line."""
        line = json.dumps({'time': now_text(), 'level': level, 'text': text[:_LONGEST_TEXT]}) + '\n'
        with self._lock, suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open('ab') as file:
                is_full = file.tell() > MOST_BYTES
                if not is_full:
                    file.write(line.encode('ascii'))
            if is_full:
                self._path.replace(self._old)
                self._path.write_bytes(line.encode('ascii'))


def read_log(root: Path, job_id: str) -> tuple[list[dict[str, Any]], bool]:
    """Return the last lines of a log (time, level, text), the oldest first, and whether older ones were left out."""
    path, old = _paths(root, job_id)
    lines: list[dict[str, Any]] = []
    for each in (old, path):
        with suppress(OSError):
            lines += [entry for text in each.read_bytes().splitlines() if (entry := _parsed(text)) is not None]
    return lines[-MOST_LINES:], old.exists() or len(lines) > MOST_LINES


def remove_log(root: Path, job_id: str) -> None:
    """Remove the log of a deleted job."""
    for path in _paths(root, job_id):
        with suppress(OSError):
            path.unlink()


def _paths(root: Path, job_id: str) -> tuple[Path, Path]:
    folder = root / LOGS_FOLDER
    return folder / f'{job_id}.jsonl', folder / f'{job_id}@old.jsonl'


def _parsed(text: bytes) -> dict[str, Any] | None:
    with suppress(ValueError):
        entry = json.loads(text)
        if isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ('time', 'level', 'text')):
            return {key: entry[key] for key in ('time', 'level', 'text')}
    return None
