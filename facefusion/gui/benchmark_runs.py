"""Benchmarks that the page starts, each in a process of its own, and their reports."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facefusion.errors import InputError, JobError
from facefusion.settings import program_path

MOST_REPORTS = 20
_NAME = re.compile(r'[0-9]{8}-[0-9]{6}\.json')


class BenchmarkRuns:
    """Runs ``facefusion benchmark``; its JSON becomes a report in ``folder``. The latest MOST_REPORTS are kept."""

    def __init__(self, folder: Path, words: Sequence[str], environ: dict[str, str]) -> None:
        self._folder, self._words, self._environ = folder, tuple(words), environ
        self._process: subprocess.Popen[bytes] | None = None
        self._name = ''
        self._lock = threading.Lock()

    @property
    def running(self) -> str | None:
        """The name of the running benchmark, or None."""
        return self._name if self._process is not None and self._process.poll() is None else None

    def start(self, words: Sequence[str]) -> str:
        """Start a benchmark with these flags; return its name. Raises JobError benchmark-running."""
        with self._lock:
            if self.running is not None:
                raise JobError('benchmark-running', 'a benchmark is running', hint='wait for it, or stop it')
            self._folder.mkdir(parents=True, exist_ok=True)
            self._name = time.strftime('%Y%m%d-%H%M%S.json')
            for path in sorted(self._folder.glob('*.json'))[: -(MOST_REPORTS - 1) or None]:
                path.unlink(missing_ok=True)
            command = [sys.executable, str(program_path() / 'facefusion.py'), 'benchmark', '--progress', 'none']
            report, log = self._folder / self._name, self._folder / 'benchmark.log'
            with report.open('wb') as out, log.open('wb') as messages:
                self._process = subprocess.Popen(
                    [*command, *self._words, *words],
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=messages,
                    start_new_session=True,
                )
            return self._name

    def stop(self) -> None:
        """Stop the benchmark; the cases that it has measured remain."""
        with self._lock:
            if self.running is not None and self._process is not None:
                self._process.send_signal(signal.SIGTERM)

    def listed(self) -> list[dict[str, Any]]:
        """Return name, date and machine of the reports, the latest first."""
        found = []
        for path in sorted(self._folder.glob('*.json'), reverse=True):
            if path.name == self.running:
                continue
            try:
                report = json.loads(path.read_bytes())
                machine = report['machine']['cpu']
                name = machine.get('name', '') if isinstance(machine, dict) else str(machine)
                found.append({'name': path.name, 'date': report['date'], 'machine': name})
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def problem(self) -> str:
        """Return the last messages of a benchmark that ended without a report; '' if there is none."""
        process = self._process
        if process is None or process.poll() in (None, 0):
            return ''
        try:
            return (self._folder / 'benchmark.log').read_text(encoding='utf-8', errors='replace')[-2000:]
        except OSError:
            return ''

    def path(self, name: str) -> Path:
        """Return the file of a report. Raises InputError not-found."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or not path.is_file():
            raise InputError('not-found', f'there is no report {name}')
        return path
