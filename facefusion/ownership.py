"""Owners of files and folders: a tag in the name identifies the process, so that others can detect that it is dead."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TAG = re.compile(r'(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.(?P<nonce>[0-9a-f]+)')
_LONGEST_HOST = 60
_REALM_LENGTH = 6


class Owner(NamedTuple):
    """A process that owns a file or folder; each claim has its own ``nonce``.

    The nonce begins with the realm in which ``pid`` is valid (a digest of the boot and the process namespace), because
    containers of one image often share a host name and a folder, but not their process ids.
    """

    host: str
    pid: int
    nonce: str

    @property
    def tag(self) -> str:
        """The tag ``<host>.<pid>.<nonce>``, which follows an ``@`` at the end of a name."""
        return f'{self.host}.{self.pid}.{self.nonce}'

    def is_dead(self) -> bool:
        """Whether the process belongs to this realm and no longer runs; False for a process of another realm."""
        is_local = self.host == host_name() and self.nonce.startswith(_realm())
        return is_local and not _is_running(self.pid)


def new_owner() -> Owner:
    """Return this process as an owner with a new nonce."""
    return Owner(host_name(), os.getpid(), _realm() + os.urandom(4).hex())


def parse_tag(tag: str) -> Owner | None:
    """Return the owner in a tag, or None for any other text."""
    match = _TAG.fullmatch(tag)
    return None if match is None else Owner(match['host'], int(match['pid']), match['nonce'])


def split_tag(name: str) -> tuple[str, Owner] | None:
    """Return the text before the tag and the owner of a name that ends in ``@<tag>``, or None for other names."""
    head, at_sign, tag = name.rpartition('@')
    owner = parse_tag(tag) if head and at_sign else None
    return None if owner is None else (head, owner)


def host_name() -> str:
    """Return the name of this machine, with dashes in place of all characters except letters and digits."""
    return re.sub(r'[^A-Za-z0-9-]', '-', platform.node())[:_LONGEST_HOST] or 'host'


def _realm() -> str:
    parts = []
    with suppress(OSError):
        parts.append(Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii'))
    with suppress(OSError):
        parts.append(str(Path('/proc/self/ns/pid').stat().st_ino))
    return hashlib.sha256(' '.join(parts).encode()).hexdigest()[:_REALM_LENGTH]


def _is_running(pid: int) -> bool:
    # Import psutil only here: it takes 15 ms to load, and most commands find no claim.
    import psutil

    if sys.platform == 'win32':
        return psutil.pid_exists(pid)
    # psutil does not find processes that /proc hides, for example with the mount option hidepid.
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    with suppress(psutil.Error):
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    return True
