"""The notes of an attempt: small files beside the job file, which stays unchanged while a process has claimed it.

``.work/<job>/<nonce>.json`` names the process and its progress; it is replaced at most once a second.
``.work/<job>/<nonce>.results`` gets a line for each finished step and each published file, flushed to the disk: work
that has a line is not repeated. Both are merged into the record when the job ends, or when another process takes over
the job.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facefusion.errors import JobError
from facefusion.jobs.files import StoreFiles, remove_quietly
from facefusion.jobs.record import (
    VERSION,
    AttemptRecord,
    JobRecord,
    Json,
    StepRecord,
    attempt_from_json,
    check_result,
    now_text,
    plain,
    seconds_of,
)

PROGRESS_SECONDS = 1.0
_RESULT_KEYS = ('status', 'date_started', 'date_finished', 'seconds', 'output', 'error', 'report')


@dataclass(frozen=True, slots=True)
class AttemptNote:
    """The notes of one attempt: its process, its current step and progress, and its results."""

    attempt: AttemptRecord
    step: Json | None
    progress: Json | None
    results: tuple[Json, ...]


class AttemptLog:
    """The writer of the notes of one attempt.

    Raises JobError when they cannot be written, FileNotFoundError when another process removed them, which
    happens after that process took the job over and finished it.
    """

    def __init__(self, files: StoreFiles, folder: Path, attempt: AttemptRecord) -> None:
        self._files = files
        self._folder = folder
        self._attempt = attempt
        self._step: dict[str, Any] | None = None
        self._progress: dict[str, Any] | None = None
        self._written = float('-inf')
        self._lock = threading.Lock()
        self._results = folder / f'{attempt.nonce}.results'

    def begin(self) -> None:
        """Write the first notes."""
        # The process that queued the job may still be removing its empty folder.
        self._files.write_in_folder(self._results, b'', sync=False)
        self._write_note()

    def remove(self) -> None:
        """Remove the notes."""
        for path in (self._results, self._results.with_suffix('.json')):
            remove_quietly(self._files, path)
        self._files.remove_folder(self._folder)

    def step_started(self, step: StepRecord, index: int, count: int) -> None:
        """Note the current step, number ``index`` (from 0) of ``count``."""
        with self._lock:
            self._step = {'id': step.id, 'index': index, 'count': count, 'date_started': step.date_started}
            self._progress = None
            self._write_note()

    def step_ended(self, step: StepRecord) -> None:
        """Note the result of a step."""
        result = {key: value for key, value in plain(step).items() if key in _RESULT_KEYS}
        self._append({'step': {'id': step.id, **result}})

    def published(self, output: Json) -> None:
        """Note a file that was published under its final name."""
        self._append({'output': dict(output)})

    def progress(self, stage: str, done: int, total: int | None, **more: Any) -> None:
        """Note the finished frames of a stage, at most once a second; callable from any thread.

        ``more`` are other facts of the stage, such as its rate and the time left.
        """
        with self._lock:
            self._progress = {'stage': stage, 'done': done, 'total': total, **more}
            if time.monotonic() - self._written >= PROGRESS_SECONDS:
                self._write_note()

    def _append(self, line: Json) -> None:
        self._files.append(self._results, json.dumps(line).encode('ascii') + b'\n')

    def _write_note(self) -> None:
        note: dict[str, Any] = {'version': VERSION, 'date_updated': now_text(), 'attempt': plain(self._attempt)}
        note |= {'step': self._step, 'progress': self._progress}
        path = self._results.with_suffix('.json')
        part = path.with_name(path.name + '.part')
        self._files.write(part, json.dumps(note).encode('ascii'), sync=False)
        try:
            self._files.rename(part, path)
        except (JobError, OSError):
            # A left-over partial file would block all further notes.
            remove_quietly(self._files, part)
            raise
        self._written = time.monotonic()


def read_attempts(folder: Path) -> list[AttemptNote]:
    """Return the notes in a job's work folder in the order in which the attempts started.

    Damaged files are skipped. Of the results, the first damaged or incomplete line and all later lines are skipped.
    """
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    notes = [_read_note(path) for path in paths if path.suffix == '.json' and '.' not in path.stem]
    return sorted((note for note in notes if note is not None), key=lambda note: seconds_of(note.attempt.date_started))


def _read_note(path: Path) -> AttemptNote | None:
    try:
        data = json.loads(path.read_bytes())
        attempt = attempt_from_json(data['attempt'])
        step, progress = data.get('step'), data.get('progress')
        if step is not None:
            check_result({'step': step})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if progress is not None and not isinstance(progress, dict):
        return None
    return AttemptNote(attempt, step, progress, _read_results(path.with_suffix('.results')))


def _read_results(path: Path) -> tuple[Json, ...]:
    try:
        text = path.read_bytes()
    except OSError:
        return ()
    results = []
    # The text after the last line break is incomplete.
    for line in text.split(b'\n')[:-1]:
        try:
            result = json.loads(line)
            if not isinstance(result, dict):
                break
            check_result(result)
        except (ValueError, RecursionError):
            break
        results.append(result)
    return tuple(results)


def merge_attempts(record: JobRecord, notes: Iterable[AttemptNote], live_nonce: str | None) -> JobRecord:
    """Return the record with the notes of all attempts, in their order.

    An attempt without a result counts as lost unless it is the live one. Attempts that already have a result in the
    record are skipped, so merging twice changes nothing.
    """
    for note in notes:
        nonce, is_live = note.attempt.nonce, note.attempt.nonce == live_nonce
        if any(attempt.nonce == nonce and attempt.result is not None for attempt in record.attempts):
            continue
        others = tuple(attempt for attempt in record.attempts if attempt.nonce != nonce)
        attempt = note.attempt if is_live or note.attempt.result else replace(note.attempt, result='lost')
        record = replace(
            record,
            attempts=(*others, attempt),
            date_started=record.date_started or attempt.date_started,
            outputs=_merge_outputs(record.outputs, note),
            steps=_merge_steps(record.steps, note, is_live),
        )
    return record


def _merge_outputs(outputs: tuple[Json, ...], note: AttemptNote) -> tuple[Json, ...]:
    """Return the published files, each path once, with its latest description."""
    published = [line['output'] for line in note.results if isinstance(line.get('output'), dict)]
    return tuple({output.get('path'): output for output in (*outputs, *published)}.values())


def _merge_steps(steps: tuple[StepRecord, ...], note: AttemptNote, is_live: bool) -> tuple[StepRecord, ...]:
    changes: dict[str, dict[str, Any]] = {}
    if is_live and note.step is not None and isinstance(note.step.get('id'), str):
        changes[note.step['id']] = {'status': 'started', 'date_started': note.step.get('date_started')}
    for line in note.results:
        result = line.get('step')
        if isinstance(result, dict) and isinstance(result.get('id'), str):
            changes[result['id']] = {key: result[key] for key in _RESULT_KEYS if key in result}
    return tuple(replace(step, **changes[step.id]) if step.id in changes else step for step in steps)
