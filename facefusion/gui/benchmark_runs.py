"""Benchmarks that the page starts, each in a process of its own, and their reports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from facefusion.errors import InputError, JobError
from facefusion.gui.broadcast import Broadcast
from facefusion.settings import program_command

MOST_REPORTS = 20
_NAME = re.compile(r'[0-9]{8}-[0-9]{6}\.json')
_STAGE = 'benchmark'
_IDLE: dict[str, Any] = {
    'is_running': False,
    'name': None,
    'done': 0,
    'total': None,
    'rate': None,
    'seconds_left': None,
    'detail': '',
    'error': None,
}


class BenchmarkRuns:
    """Runs ``facefusion benchmark`` and keeps its report in ``folder``: the latest MOST_REPORTS.

    Each change of its progress is an event named 'benchmark' with the keys of ``state``.
    """

    def __init__(self, folder: Path, words: Sequence[str], environ: dict[str, str], broadcast: Broadcast) -> None:
        self._folder, self._words, self._environ, self._broadcast = folder, tuple(words), environ, broadcast
        self._process: subprocess.Popen[str] | None = None
        self._state = _IDLE
        self._lock = threading.Lock()

    @property
    def state(self) -> dict[str, Any]:
        """Whether a benchmark is running, its name and progress in frames, and the error of the last one."""
        return self._state

    def start(self, words: Sequence[str]) -> dict[str, Any]:
        """Start a benchmark with these flags; return the state. Raises JobError benchmark-running."""
        with self._lock:
            if self._state['is_running']:
                raise JobError('benchmark-running', 'a benchmark is running', hint='wait for it, or stop it')
            self._folder.mkdir(parents=True, exist_ok=True)
            command = program_command('benchmark', *self._words, *words, '--progress', 'json')
            with (self._folder / 'benchmark.log').open('wb') as messages:
                self._process = subprocess.Popen(
                    command,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=messages,
                    encoding='utf-8',
                    start_new_session=sys.platform != 'win32',
                )
            self._change(**{**_IDLE, 'is_running': True, 'name': time.strftime('%Y%m%d-%H%M%S.json')})
            # The thread ends with the process, which ``stop`` ends.
            threading.Thread(target=self._follow, args=(self._process,), name='benchmark', daemon=True).start()
            return self._state

    def stop(self) -> None:
        """Stop the benchmark; unless the server ends, the cases that it has measured remain in its report."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def listed(self) -> list[dict[str, Any]]:
        """Return name, date and machine of the reports, the latest first."""
        found = []
        for path in self._paths():
            with suppress(OSError, ValueError, KeyError, TypeError):
                report = json.loads(path.read_bytes())
                found.append({'name': path.name, 'date': report['date'], 'machine': _machine(report['machine'])})
        return found

    def path(self, name: str) -> Path:
        """Return the file of a report. Raises InputError not-found."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_file():
            raise InputError('not-found', f'there is no report {name}', hint='GET /api/v1/benchmark lists all reports')
        return path

    def _follow(self, process: subprocess.Popen[str]) -> None:
        """Publish the progress of a benchmark, and keep its report."""
        error: dict[str, Any] | None = None
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                with suppress(ValueError, KeyError, TypeError):
                    event = json.loads(line)
                    if event['event'] == 'stage_progress' and event['stage'] == _STAGE:
                        keys = ('done', 'total', 'rate', 'seconds_left', 'detail')
                        self._change(**{key: event[key] for key in keys})
                    elif event['event'] == 'benchmark':
                        self._keep(event['report'])
                    elif event['event'] == 'run_failed':
                        error = event['error']
        code = process.wait()
        if code and error is None:
            hint = f'see {self._folder / "benchmark.log"}'
            failure = JobError('benchmark-failed', 'the benchmark has failed', cause=self._last_lines(), hint=hint)
            error = failure.as_record()
        self._change(is_running=False, error=error)

    def _keep(self, report: dict[str, Any]) -> None:
        """Write a report with a measured case, and remove the oldest ones."""
        if report['cases']:
            path = self._folder / str(self._state['name'])
            part = path.with_suffix('.part')
            part.write_text(json.dumps(report), encoding='utf-8')
            part.replace(path)
        for path in self._paths()[MOST_REPORTS:]:
            path.unlink(missing_ok=True)

    def _change(self, **values: Any) -> None:
        self._state = {**self._state, **values}
        self._broadcast.publish('benchmark', self._state)

    def _paths(self) -> list[Path]:
        """Return the files of all reports, the latest first."""
        return sorted((path for path in self._folder.glob('*.json') if _NAME.fullmatch(path.name)), reverse=True)

    def _last_lines(self) -> str:
        with suppress(OSError):
            text = (self._folder / 'benchmark.log').read_text(encoding='utf-8', errors='replace')
            return '; '.join(line.strip() for line in text.strip().splitlines()[-3:])
        return ''


def _machine(machine: dict[str, Any]) -> str:
    cpu = machine.get('cpu')
    return str(cpu.get('model', '')) if isinstance(cpu, dict) else str(cpu or '')
