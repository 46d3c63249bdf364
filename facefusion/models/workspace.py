"""Folders in which a fetch works until its result is whole, and what becomes of those of dead runs.

A workspace is ``weights/.fetching/<label>@<host>.<pid>.<nonce>``: on the same disk as the weights, so that the result
is published by a rename, and never shared between two fetches.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER_NAME = '.fetching'
# A live fetch touches its workspace, so one that rests this long is dead wherever it ran.
EXPIRY_SECONDS = 24 * 3600.0
_TOUCH_SECONDS = 60.0


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
def workspace(weights: Path, label: str, *, adopt: bool, keep: bool = False) -> Iterator[Workspace]:
    """A workspace for ``label``, removed at the end.

    With ``adopt`` the remains of a dead fetch of the same label are taken over (the rename lets only one have them);
    all other remains of the dead are removed. With ``keep`` the folder stays when the body raises, for a later run to
    adopt. Raises OSError when the folder cannot be made.
    """
    parent = weights / FOLDER_NAME
    parent.mkdir(parents=True, exist_ok=True)
    mine = parent / f'{label}@{_host()}.{os.getpid()}.{secrets.token_hex(4)}'
    if not (adopt and _adopt(parent, label, mine)):
        mine.mkdir()
    remove_dead(weights, spare=label if adopt else None)
    done = False
    try:
        yield Workspace(mine)
        done = True
    finally:
        if done or not keep:
            shutil.rmtree(mine, ignore_errors=True)
            # Goes only when it is empty, that is when no other fetch is under way.
            with contextlib.suppress(OSError):
                parent.rmdir()
        else:
            # Ours to give away now: no later look at process ids must keep others from adopting it.
            with contextlib.suppress(OSError):
                mine.rename(parent / f'{label}@left.0.{secrets.token_hex(4)}')


def remove_dead(weights: Path, spare: str | None = None) -> None:
    """Removes the workspaces of dead fetches; those of the label ``spare`` only when they have expired."""
    for path in _dead(weights / FOLDER_NAME):
        if path.name.partition('@')[0] == spare and not _has_expired(path):
            continue
        shutil.rmtree(path, ignore_errors=True)


def _adopt(parent: Path, label: str, mine: Path) -> bool:
    for path in _dead(parent):
        if path.name.partition('@')[0] == label:
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
    match = re.fullmatch(r'[^@]+@(.+)\.(\d+)\.[0-9a-f]+', path.name)
    if match is None:
        return False
    host, pid = match[1], int(match[2])
    if host == 'left' or _has_expired(path):
        return True
    return host == _host() and not _is_running(pid)


def _has_expired(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > EXPIRY_SECONDS
    except FileNotFoundError:
        return False


def _host() -> str:
    return re.sub(r'[^A-Za-z0-9-]', '-', platform.node()) or 'host'


def _is_running(pid: int) -> bool:
    if sys.platform == 'win32':
        # os.kill would end the process there; the expiry decides instead.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
