"""Working folders of fetches: their creation, and the removal or reuse of folders that dead processes left.

A workspace is ``weights/.fetching/<kind>-<label>@<host>.<pid>.<nonce>``. It is on the same disk as the weights,
so that the fetched file can be published by a rename. Two fetches never share a workspace.
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
# A live fetch touches its workspace, so a workspace older than this belongs to a dead process, on any machine.
EXPIRY_SECONDS = 24 * 3600.0
_TOUCH_SECONDS = 60.0
_RESUMABLE = 'resume-'
_ONCE = 'once-'
_RELEASED = 'left'


class Workspace:
    """The folder of one fetch of this process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._touched = time.monotonic()

    def touch(self) -> None:
        """Show other processes that this fetch is alive; cheap enough to be called for every piece."""
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            self._touched = now
            os.utime(self.path)


@contextlib.contextmanager
def workspace(weights: Path, label: str, *, resumable: bool) -> Iterator[Workspace]:
    """Create a workspace for ``label`` (without ``@``) and remove it at the end; raises OSError if creating it fails.

    When the body raises, a resumable workspace that is not empty stays, and a later fetch of the same label takes it
    over by a rename, which succeeds for only one fetch. Workspaces of other dead fetches are removed, but resumable
    ones only once they expire.
    """
    parent = weights / FOLDER_NAME
    name = f'{_RESUMABLE if resumable else _ONCE}{label}'
    path = parent / f'{name}@{new_owner().tag}'
    if not (resumable and _take_over(parent, name, path)):
        _create(path)
    for dead in _dead_workspaces(parent):
        if not dead.name.startswith(_RESUMABLE) or _has_expired(dead):
            _remove(dead)
    finished = False
    try:
        yield Workspace(path)
        finished = True
    finally:
        if finished or not resumable or not any(path.iterdir()):
            for done in (path, *_dead_workspaces(parent, name)):
                _remove(done)
        else:
            # The new name releases the workspace: others can take it over while this process still runs.
            with contextlib.suppress(OSError):
                path.rename(parent / f'{name}@{_RELEASED}.0.{secrets.token_hex(4)}')


def _create(path: Path) -> None:
    # Another fetch that ends may remove the empty parent between the two steps.
    for _ in range(10):
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.mkdir()
            return
    path.mkdir(parents=True)


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    # This fails while other fetches have workspaces in the parent folder.
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _take_over(parent: Path, name: str, path: Path) -> bool:
    for dead in _dead_workspaces(parent, name):
        with contextlib.suppress(OSError):
            dead.rename(path)
            os.utime(path)
            return True
    return False


def _dead_workspaces(parent: Path, name: str = '') -> list[Path]:
    """Return the workspaces of dead fetches, for one name or for all."""
    try:
        paths = sorted(parent.iterdir())
    except FileNotFoundError:
        return []
    return [path for path in paths if _is_dead(path) and name in ('', path.name.partition('@')[0])]


def _is_dead(path: Path) -> bool:
    tagged = split_tag(path.name)
    if tagged is None:
        return False
    _, owner = tagged
    return owner.host == _RELEASED or _has_expired(path) or owner.is_dead()


def _has_expired(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > EXPIRY_SECONDS
    except FileNotFoundError:
        return False
