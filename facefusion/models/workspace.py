"""Folders in which a fetch works until its result is whole, and what becomes of those of dead runs.

A workspace is ``weights/.fetching/<kind>-<label>@<host>.<pid>.<nonce>``: on the same disk as the weights, so that the
result is published by a rename, and never shared between two fetches.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from facefusion.ownership import new_owner, split_tag

FOLDER_NAME = '.fetching'
# A live fetch touches its workspace, so one that rests this long is dead wherever it ran.
EXPIRY_SECONDS = 24 * 3600.0
_TOUCH_SECONDS = 60.0
_RESUMABLE = 'resume-'
_ONCE = 'once-'
_GIVEN_AWAY = 'left'


class Workspace:
    """A folder that belongs to one fetch of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._touched = time.monotonic()

    def touch(self) -> None:
        """Shows others that this fetch is alive; cheap enough to be called for every piece."""
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            self._touched = now
            os.utime(self.path)


@contextlib.contextmanager
def workspace(weights: Path, label: str, *, resumable: bool) -> Iterator[Workspace]:
    """A workspace for ``label`` (no ``@`` in it), removed at the end; raises OSError when it cannot be made.

    A resumable one that holds something stays when the body raises, and a later fetch of the same label takes over
    what a dead one left (the rename lets only one have it). What other dead fetches left is removed, resumable work
    once it has expired.
    """
    parent = weights / FOLDER_NAME
    full = f'{_RESUMABLE if resumable else _ONCE}{label}'
    mine = parent / f'{full}@{new_owner().tag}'
    if not (resumable and _adopt(parent, full, mine)):
        _make(mine)
    remove_dead(weights)
    finished = False
    try:
        yield Workspace(mine)
        finished = True
    finally:
        if finished or not resumable or not any(mine.iterdir()):
            _remove(mine)
            for path in _dead(parent):
                if path.name.partition('@')[0] == full:
                    _remove(path)
        else:
            # Given away by its name: others need not wait until this process has ended to go on with it.
            with contextlib.suppress(OSError):
                mine.rename(parent / f'{full}@{_GIVEN_AWAY}.0.{secrets.token_hex(4)}')


def remove_dead(weights: Path) -> None:
    """Removes the workspaces of dead fetches; those that can be resumed only when they have expired."""
    for path in _dead(weights / FOLDER_NAME):
        if not path.name.startswith(_RESUMABLE) or _has_expired(path):
            _remove(path)


def _make(path: Path) -> None:
    # Another fetch that ends may take the empty parent away between the two steps.
    for _ in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.mkdir()
            return
    path.mkdir(parents=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    # Goes only when it is empty, that is when no other fetch is under way.
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _adopt(parent: Path, full: str, mine: Path) -> bool:
    for path in _dead(parent):
        if path.name.partition('@')[0] == full:
            with contextlib.suppress(OSError):
                path.rename(mine)
                os.utime(mine)
                return True
    return False


def _dead(parent: Path) -> list[Path]:
    try:
        paths = sorted(parent.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if _is_dead(path)]


def _is_dead(path: Path) -> bool:
    tagged = split_tag(path.name)
    if tagged is None:
        return False
    _, owner = tagged
    return owner.host == _GIVEN_AWAY or _has_expired(path) or owner.is_dead()


def _has_expired(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > EXPIRY_SECONDS
    except FileNotFoundError:
        return False
