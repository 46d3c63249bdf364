"""The registration of workers that watch a job store, with one file for each worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facefusion.errors import JobError
from facefusion.jobs.claim import WORK_FOLDER
from facefusion.jobs.files import remove_quietly
from facefusion.jobs.garbage import remove_dead
from facefusion.jobs.store import JobStore
from facefusion.ownership import Owner, new_owner, split_tag
from facefusion.stopping import StopFlag

WORKERS_FOLDER = '.workers'
REGISTRATION_SECONDS = 5.0
# The interval at which a worker looks whether it was told to stop.
STOPPING_SECONDS = 0.25
# Seconds after which the registration of a worker on another machine expires.
REGISTRATION_TIMEOUT = 60.0


@contextmanager
def registered_worker(store: JobStore, stop_after_current: StopFlag) -> Iterator[None]:
    """Register this process as a worker that watches the store, for the duration of the block.

    When ``stop_after_current`` is set, the registration ends, because the worker takes no other job.
    """
    files, folder = store.files, store.root / WORK_FOLDER / WORKERS_FOLDER
    path = folder / f'worker@{new_owner().tag}'
    stop = threading.Event()

    def renew() -> None:
        renewed = time.monotonic()
        while not stop.wait(STOPPING_SECONDS):
            if stop_after_current.is_set():
                remove_quietly(files, path)
                return
            if time.monotonic() - renewed < REGISTRATION_SECONDS:
                continue
            renewed = time.monotonic()
            # The store may have been deleted, or may be unwritable for a while.
            with suppress(FileNotFoundError, FileExistsError, JobError):
                if path.exists():
                    files.touch(path)
                else:
                    files.make_folder(folder)
                    files.write(path, b'', sync=False)

    files.make_folder(folder)
    remove_dead(files, folder)
    files.write(path, b'', sync=False)
    thread = threading.Thread(target=renew, name='presence', daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=REGISTRATION_SECONDS)
        remove_quietly(files, path)


def has_worker(root: Path, now: Callable[[], float] = time.time) -> bool:
    """Whether a live worker watches the store, as far as this machine can tell."""
    return bool(live_workers(root, now))


def live_workers(root: Path, now: Callable[[], float] = time.time) -> list[Owner]:
    """Return the processes of the live workers that watch the store, as far as this machine can tell."""
    try:
        paths = sorted((root / WORK_FOLDER / WORKERS_FOLDER).iterdir())
    except OSError:
        return []
    found = []
    for path in paths:
        tagged = split_tag(path.name)
        # The file may just have been removed.
        with suppress(OSError):
            is_live = tagged is not None and not tagged[1].is_dead()
            if tagged is not None and is_live and abs(now() - path.stat().st_mtime) < REGISTRATION_TIMEOUT:
                found.append(tagged[1])
    return found
