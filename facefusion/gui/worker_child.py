"""The worker that the page starts: a process of its own, so that the server never runs a job itself.

The server holds the other end of the worker's standard input. When it closes this end, or ends for any reason, the
worker finishes its current job and ends; the remaining jobs stay in the queue.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from facefusion.errors import JobError, ResourceError
from facefusion.jobs.job_files import list_job_files
from facefusion.jobs.worker_registry import live_workers
from facefusion.ownership import host_name
from facefusion.settings import program_command

LARGEST_LOG = 2_000_000
_TAIL_BYTES = 2000


class WorkerChild:
    """Starts and stops a worker of a store, and lists all that live. The methods may be called from several threads.

    The worker waits for jobs (``job-run-all --watch``). Its messages are in the file ``log``.
    """

    def __init__(self, root: Path, log: Path, words: Sequence[str], environ: dict[str, str]) -> None:
        self._root, self.log, self._words, self._environ = root, log, tuple(words), environ
        # From the oldest to the newest: one that ends after its current job, and one that takes the next ones.
        self._children: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()

    def listed(self) -> list[dict[str, Any]]:
        """Return the live workers and other processes that run a job, and whether each is a child of this server."""
        with self._lock:
            children = [child.pid for child in self._children if child.poll() is None]
        running = {}
        for file in list_job_files(self._root, claimed=True):
            if file.kind == 'claim' and file.owner is not None and not file.owner.is_dead():
                running[file.owner.host, file.owner.pid] = file.job_id
        # A child that has just started is not registered yet.
        places = [(host_name(), pid) for pid in children]
        places += [(owner.host, owner.pid) for owner in live_workers(self._root)]
        return [
            {
                'host': host,
                'pid': pid,
                'job_id': running.get((host, pid)),
                'is_child': (host, pid) in places[: len(children)],
            }
            for host, pid in dict.fromkeys(places)
        ]

    def start(self) -> bool:
        """Start a worker unless one watches the store; return whether it was started.

        Raises ResourceError worker-not-started.
        """
        with self._lock:
            if any(child.poll() is None and not _is_stopping(child) for child in self._children):
                return False
            # A child that ends after its current job takes no other job.
            own = {child.pid for child in self._children}
            if any(owner.host != host_name() or owner.pid not in own for owner in live_workers(self._root)):
                return False
            self._children.append(self._started())
            return True

    def stop_after_current(self) -> None:
        """Let the worker end after its current job. Raises JobError worker-foreign without a worker of this server."""
        with self._lock:
            if all(child.poll() is not None for child in self._children):
                raise JobError(
                    'worker-foreign',
                    'this server has started no worker',
                    cause='only a worker that the page has started can be stopped here',
                    hint='stop the other worker where it was started',
                )
        self.close()

    def close(self) -> None:
        """Let the worker end after its current job, if there is one, without waiting for it."""
        with self._lock:
            for child in self._children:
                if child.stdin is not None:
                    with suppress(OSError):
                        child.stdin.close()

    def failures(self) -> list[str]:
        """Return a text for each worker that has failed since the last call; keep the log short."""
        with self._lock:
            ended = [child for child in self._children if child.poll() is not None]
            self._children = [child for child in self._children if child not in ended]
        with suppress(OSError):
            if self.log.stat().st_size > LARGEST_LOG:
                # The worker appends to the file, so it may be cut at any time.
                with self.log.open('r+b') as log:
                    log.truncate(0)
        # With 1 a job has failed, whose record says why.
        return [f'the worker has ended: {self._last_lines()}' for child in ended if child.returncode not in (0, 1)]

    def _started(self) -> subprocess.Popen[bytes]:
        command = program_command('job-run-all', '--watch', '--until-eof')
        own_group: Any = {'start_new_session': True}
        if sys.platform == 'win32':
            own_group = {'creationflags': subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open('ab') as log:
                return subprocess.Popen(
                    [*command, *self._words, '--progress', 'none'],
                    env=self._environ,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    # Ctrl-C in the terminal of the server must not interrupt the job.
                    **own_group,
                )
        except OSError as error:
            raise ResourceError(
                'worker-not-started',
                'the worker cannot be started',
                cause=str(error),
                hint='run `facefusion job-run-all --watch` in a terminal',
            ) from None

    def _last_lines(self) -> str:
        with suppress(OSError):
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode('utf-8', 'replace').strip()
            return '; '.join(line.strip() for line in text.splitlines()[-3:]) or 'it wrote no message'
        return 'it wrote no message'


def _is_stopping(child: subprocess.Popen[bytes]) -> bool:
    return child.stdin is None or child.stdin.closed
