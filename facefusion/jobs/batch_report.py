"""The report of a batch: a file with a line of JSON for each finished step."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from facefusion.errors import OutputError, UsageError
from facefusion.events import Emit, Message
from facefusion.jobs.naming import comparable
from facefusion.jobs.record import JobRecord, StepRecord


class BatchReport:
    """The report in ``path``. A failure to write a line causes only a warning, so that the batch continues."""

    def __init__(self, path: Path, emit: Emit) -> None:
        self._path = path
        self._emit = emit
        self._is_broken = False

    def check(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Check that the file is writable, and create it if missing; ``steps`` are the arguments of all steps.

        Raises UsageError report-is-file-of-batch, OutputError report-unwritable.
        """
        try:
            if self._path.exists() and not stat.S_ISREG(self._path.stat().st_mode):
                raise self._unwritable('it is not a regular file')
            self._check_files(steps)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open('ab').close()
        except OSError as error:
            raise self._unwritable(error.strerror or str(error)) from None

    def begin(self, record: JobRecord) -> None:
        """Overwrite the file with a line for each step that an earlier batch has completed."""
        steps = enumerate(record.steps)
        self._write('wb', [_line(record.id, index, step) for index, step in steps if step.status == 'completed'])

    def add(self, job_id: str, index: int, step: StepRecord) -> None:
        """Append the line of a finished step."""
        self._write('ab', [_line(job_id, index, step)])

    def _write(self, mode: str, lines: list[bytes]) -> None:
        if self._is_broken:
            return
        try:
            # The file is opened for each line, so that a kill damages at most the last line.
            with self._path.open(mode) as file:
                file.write(b''.join(lines))
        except OSError as error:
            self._is_broken = True
            text = f'the report {self._path} is no longer writable: {error.strerror or error}; the batch continues'
            self._emit(Message('warn', 'jobs', text))

    def _check_files(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Raise UsageError when the report is also a source, target or output of the batch."""
        own = comparable(str(self._path))
        for args in steps:
            sources = [('source', path) for path in args['source_paths']]
            for name, path in (*sources, ('target', args['target_path']), ('output', args['output_path'])):
                if comparable(path) == own or self._is_same(path):
                    raise UsageError(
                        'report-is-file-of-batch',
                        f'the report {self._path} is the {name} of a step',
                        cause='both paths lead to the same file' if comparable(path) != own else 'the paths are equal',
                        hint='choose another path with --report-path',
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
            hint='choose another file with --report-path, or omit the option',
        )


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
