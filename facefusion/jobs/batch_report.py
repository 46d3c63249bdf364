"""The report of a batch: a file with a line of JSON for each step that has ended."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from facefusion.errors import OutputError, UsageError
from facefusion.events import Emit, Message
from facefusion.jobs.naming import comparable
from facefusion.jobs.record import JobRecord, StepRecord


class BatchReport:
    """Writes the lines to ``path`` while the steps end. A failure then is a warning: the steps are worth more."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self._path = path
        self._emit = emit
        self._is_broken = False

    def check(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Makes sure that the file can be written, for which it is made where it is missing.

        ``steps`` are the arguments of all steps. Raises UsageError report-is-file-of-batch, OutputError
        report-unwritable.
        """
        try:
            if self._path.exists() and not stat.S_ISREG(self._path.stat().st_mode):
                raise self._unwritable('it is no regular file')
            self._check_files(steps)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open('ab').close()
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from None

    def begin(self, record: JobRecord) -> None:
        """Writes the file anew, with a line for each step that an earlier run has completed."""
        steps = enumerate(record.steps)
        self._write('wb', [_line(record.id, index, step) for index, step in steps if step.status == 'completed'])

    def add(self, job_id: str, index: int, step: StepRecord) -> None:
        """Adds the line of a step that has ended."""
        self._write('ab', [_line(job_id, index, step)])

    def _write(self, mode: str, lines: list[bytes]) -> None:
        if self._is_broken:
            return
        try:
            # Opened for each line, so that others may read along, and a kill breaks no line but the last.
            with self._path.open(mode) as file:
                file.write(b''.join(lines))
        except OSError as error:
            self._is_broken = True
            text = f'the report {self._path} cannot be written any more: {error.strerror or error}; the batch goes on'
            self._emit(Message('warn', 'jobs', text))

    def _check_files(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Raises UsageError when the report would be written over a file of the batch, or the other way round."""
        own = comparable(str(self._path))
        for args in steps:
            for name, path in _files(args):
                if comparable(path) == own or self._is_same(path):
                    raise UsageError(
                        'report-is-file-of-batch',
                        f'the report {self._path} is the {name} of a step',
                        cause='both names lead to one file' if comparable(path) != own else 'both have the same name',
                        hint='choose another name with --report-path',
                    )

    def _is_same(self, path: str) -> bool:
        try:
            return self._path.samefile(path)
        except OSError:
            return False

    def _unwritable(self, cause: str) -> OutputError:
        return OutputError(
            'report-unwritable',
            f'the report {self._path} cannot be written',
            cause=cause,
            hint='choose another file with --report-path, or leave it out',
        )


def _files(args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from (('source', path) for path in args['source_paths'])
    yield 'target', args['target_path']
    yield 'output', args['output_path']


def _line(job_id: str, index: int, step: StepRecord) -> bytes:
    sources = step.args.get('source_paths') or (None,)
    facts = {
        'job': job_id,
        'index': index,
        'status': step.status,
        'source': sources[0],
        'target': step.args.get('target_path'),
        'output': step.output_path,
        'sha256': step.output.get('sha256') if step.output else None,
        'seconds': step.seconds,
        'error': step.error,
    }
    return json.dumps(facts).encode('ascii') + b'\n'
