"""The registration of workers that watch a job store, each by a file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from facefusion.errors import JobError
from facefusion.jobs.claim import WORK_FOLDER
from facefusion.jobs.files import remove_quietly
from facefusion.jobs.store import JobStore
from facefusion.ownership import new_owner, split_tag

WORKERS_FOLDER = '.workers'
REGISTRATION_SECONDS = 5.0
# When the registration of a worker on another machine expires.
REGISTRATION_TIMEOUT = 60.0


class WorkerRegistration:
    """The file of a worker that watches the store, as a context manager."""

    def __init__(self, store: JobStore) -> None:
        self._files = store.files
        self._folder = store.root / WORK_FOLDER / WORKERS_FOLDER
        self._path = self._folder / f'worker@{new_owner().tag}'
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew, name='presence', daemon=True)

    def __enter__(self) -> WorkerRegistration:
        self._files.make_folder(self._folder)
        self._remove_dead()
        self._files.write(self._path, b'', sync=False)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=REGISTRATION_SECONDS)
        remove_quietly(self._files, self._path)

    def _remove_dead(self) -> None:
        """Remove the files of killed workers."""
        for path in self._folder.iterdir():
            tagged = split_tag(path.name)
            if tagged is not None and tagged[1].is_dead():
                remove_quietly(self._files, path)

    def _renew(self) -> None:
        while not self._stop.wait(REGISTRATION_SECONDS):
            # The store may have been deleted, or may be unwritable for a while.
            with suppress(FileNotFoundError, FileExistsError, JobError):
                if self._path.exists():
                    self._files.touch(self._path)
                else:
                    self._files.make_folder(self._folder)
                    self._files.write(self._path, b'', sync=False)


def has_worker(root: Path, now: Callable[[], float] = time.time) -> bool:
    """Whether a live worker watches the store, as far as this machine can tell."""
    try:
        paths = list((root / WORK_FOLDER / WORKERS_FOLDER).iterdir())
    except OSError:
        return False
    for path in paths:
        tagged = split_tag(path.name)
        if tagged is None or tagged[1].is_dead():
            continue
        try:
            if abs(now() - path.stat().st_mtime) < REGISTRATION_TIMEOUT:
                return True
        except OSError:
            # It was just removed, or is not readable.
            continue
    return False
