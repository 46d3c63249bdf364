"""The worker that the page starts: a process of its own, so that the server never runs a job itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facefusion.errors import JobError
from facefusion.jobs.job_files import list_job_files
from facefusion.jobs.worker_registry import live_workers
from facefusion.settings import program_path

_LARGEST_LOG = 2_000_000


class WorkerChild:
    """Starts and stops one worker of a store, and lists all that live.

    The worker waits for jobs (``job-run-all --watch``). When the server ends, the worker finishes its current job and
    ends as well. Its messages are in the file ``log``.
    """

    def __init__(self, root: Path, log: Path, words: Sequence[str], environ: dict[str, str]) -> None:
        self._root, self.log, self._words, self._environ = root, log, tuple(words), environ
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Return the live workers with the jobs that they run."""
        running = {}
        for file in list_job_files(self._root, claimed=True):
            if file.kind == 'claim' and file.owner is not None:
                running[file.owner.host, file.owner.pid] = file.job_id
        child = self._process.pid if self._is_alive() and self._process is not None else None
        workers = [(owner.host, owner.pid) for owner in live_workers(self._root)]
        return [
            {'host': host, 'pid': pid, 'job_id': running.get((host, pid)), 'is_child': pid == child}
            for host, pid in dict.fromkeys((*workers, *running))
        ]

    def start(self) -> bool:
        """Start the worker unless one watches the store; return whether it was started."""
        with self._lock:
            if self._is_alive() or live_workers(self._root):
                return False
            self.log.parent.mkdir(parents=True, exist_ok=True)
            mode = 'wb' if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG else 'ab'
            command = [sys.executable, str(program_path() / 'facefusion.py'), 'job-run-all', '--watch']
            with self.log.open(mode) as log:
                self._process = subprocess.Popen(
                    [*command, '--stop-after-current', *self._words],
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    start_new_session=True,
                )
            return True

    def stop_after_current(self) -> None:
        """Let the worker end after its current job. Raises JobError worker-foreign without a worker of this server."""
        with self._lock:
            if not self._is_alive() or self._process is None:
                raise JobError(
                    'worker-foreign',
                    'this server has started no worker',
                    cause='only a worker that the page has started can be stopped here',
                    hint='stop the other worker where it was started',
                )
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Let the worker end after its current job, if there is one, without waiting for it."""
        with self._lock:
            if self._is_alive() and self._process is not None:
                self._process.send_signal(signal.SIGTERM)

    def _is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None
