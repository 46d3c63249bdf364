"""What a process tells of a job while it works on it: small files beside the record, which nobody may touch then.

``.work/<job>/<nonce>.json`` says who works and how far it is; it is replaced at most once a second.
``.work/<job>/<nonce>.results`` gets a line for each step that ended and each file that was published, flushed to the
disk: what a line says is done is not done again. Both are merged into the record when the job ends, or when somebody
else goes on with it.
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
    RecordError,
    StepRecord,
    attempt_from_json,
    check_result,
    now_text,
    plain,
    seconds_of,
)

PROGRESS_SECONDS = 1.0
_STEP_RESULTS = ('status', 'date_started', 'date_finished', 'seconds', 'output', 'error', 'report')


@dataclass(frozen=True, slots=True)
class AttemptNote:
    """What was found of one attempt: who, how far, and what of the job is done."""

    attempt: AttemptRecord
    step: Json | None
    progress: Json | None
    results: tuple[Json, ...]


class AttemptLog:
    """The files of one attempt, written by the process that makes it. Raises JobError when they cannot be written,
    FileNotFoundError when somebody has removed them: then the job was given away and is done."""

    def __init__(self, files: StoreFiles, folder: Path, attempt: AttemptRecord) -> None:
        self._files = files
        self._folder = folder
        self._attempt = attempt
        self._step: dict[str, Any] | None = None
        self._progress: dict[str, Any] | None = None
        self._written = float('-inf')
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Shows others that the attempt has begun."""
        # Whoever has queued the job may still be removing its empty folder.
        self._files.write_in_folder(self._results, b'', sync=False)
        self._write_note()

    def remove(self) -> None:
        """Takes back what was noted."""
        for path in (self._results, self._results.with_suffix('.json')):
            remove_quietly(self._files, path)
        self._files.remove_folder(self._folder)

    def step_started(self, step: StepRecord, index: int, count: int) -> None:
        """Notes the step that is worked on, the ``index``-th from 0 of ``count``."""
        with self._lock:
            self._step = {'id': step.id, 'index': index, 'count': count, 'date_started': step.date_started}
            self._progress = None
            self._write_note()

    def step_ended(self, step: StepRecord) -> None:
        """Keeps the result of a step."""
        kept = {key: value for key, value in plain(step).items() if key in _STEP_RESULTS}
        self._append({'step': {'id': step.id, **kept}})

    def published(self, output: Json) -> None:
        """Keeps that a file has got its final name."""
        self._append({'output': dict(output)})

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Notes how many frames of a stage are done, at most once a second; callable from any thread."""
        with self._lock:
            now = time.monotonic()
            self._progress = {'stage': stage, 'done': done, 'total': total}
            if now - self._written >= PROGRESS_SECONDS:
                self._write_note()

    @property
    def _results(self) -> Path:
        return self._folder / f'{self._attempt.nonce}.results'

    def _append(self, line: Json) -> None:
        self._files.append(self._results, json.dumps(line).encode('ascii') + b'\n')

    def _write_note(self) -> None:
        note: dict[str, Any] = {'version': VERSION, 'date_updated': now_text(), 'attempt': plain(self._attempt)}
        note |= {'step': self._step, 'progress': self._progress}
        path = self._folder / f'{self._attempt.nonce}.json'
        part = path.with_name(path.name + '.part')
        self._files.write(part, json.dumps(note).encode('ascii'), sync=False)
        try:
            self._files.rename(part, path)
        except (JobError, OSError):
            # Else no further note could be written.
            remove_quietly(self._files, part)
            raise
        self._written = time.monotonic()


def read_attempts(folder: Path) -> list[AttemptNote]:
    """What the attempts in a job's work folder have told, in the order in which they began; damaged files are left
    out, and so is the rest of a file of results from a line on that was not written to its end."""
    notes = []
    for path in _listed(folder):
        if path.suffix == '.json' and '.' not in path.stem:
            note = _read_note(path)
            if note is not None:
                notes.append(note)
    return sorted(notes, key=lambda note: seconds_of(note.attempt.date_started))


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read_note(path: Path) -> AttemptNote | None:
    try:
        data = json.loads(path.read_bytes())
        attempt = attempt_from_json(data['attempt'])
        step, progress = data.get('step'), data.get('progress')
        if step is not None:
            check_result({'step': step})
    except (OSError, ValueError, KeyError, TypeError, RecordError):
        return None
    is_sound = progress is None or isinstance(progress, dict)
    results = _read_results(path.with_suffix('.results'))
    return AttemptNote(attempt, step, progress, results) if is_sound else None


def _read_results(path: Path) -> tuple[Json, ...]:
    try:
        text = path.read_bytes()
    except OSError:
        return ()
    lines = []
    # What follows the last line break was never finished.
    for line in text.split(b'\n')[:-1]:
        try:
            found = json.loads(line)
            if not isinstance(found, dict):
                break
            check_result(found)
        except (ValueError, RecursionError):
            break
        lines.append(found)
    return tuple(lines)


def merge_attempts(record: JobRecord, notes: Iterable[AttemptNote], live_nonce: str | None) -> JobRecord:
    """The record with everything that the attempts have told, each in its turn.

    An attempt that is not the live one and told no result was lost with its process. Attempts that are in the record
    already are left alone: merging twice changes nothing.
    """
    for note in notes:
        if any(known.nonce == note.attempt.nonce and known.result is not None for known in record.attempts):
            continue
        others = tuple(known for known in record.attempts if known.nonce != note.attempt.nonce)
        is_live = note.attempt.nonce == live_nonce
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
    """The published files, each once: by its path, as it was told last."""
    told = [line['output'] for line in note.results if isinstance(line.get('output'), dict)]
    return tuple({output.get('path'): output for output in (*outputs, *told)}.values())


def _merge_steps(steps: tuple[StepRecord, ...], note: AttemptNote, is_live: bool) -> tuple[StepRecord, ...]:
    told: dict[str, dict[str, Any]] = {}
    if is_live and note.step is not None and isinstance(note.step.get('id'), str):
        told[note.step['id']] = {'status': 'started', 'date_started': note.step.get('date_started')}
    for line in note.results:
        result = line.get('step')
        if isinstance(result, dict) and isinstance(result.get('id'), str):
            told[result['id']] = {key: result[key] for key in _STEP_RESULTS if key in result}
    return tuple(replace(step, **told[step.id]) if step.id in told else step for step in steps)
