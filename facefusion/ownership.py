"""Who works in a folder or on a file: a tag in its name, by which others can tell that its process is dead."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TAG = re.compile(r'(?P<host>[A-Za-z0-9-]+)\.(?P<pid>\d+)\.(?P<nonce>[0-9a-f]+)')
_LONGEST_HOST = 60
_REALM_SIGNS = 6


class Owner(NamedTuple):
    """A process at work, once: no two pieces of work share a ``nonce``.

    The nonce begins with the realm in which ``pid`` counts: the boot and the process namespace. Containers of one
    image often share a host name and a folder, but not their process numbers.
    """

    host: str
    pid: int
    nonce: str

    @property
    def tag(self) -> str:
        """``<host>.<pid>.<nonce>``, for the end of a name, after an ``@``."""
        return f'{self.host}.{self.pid}.{self.nonce}'

    def is_dead(self) -> bool:
        """Whether the process is known to be dead: it counted in our realm, and there is none with its number."""
        is_near = self.host == host_name() and self.nonce.startswith(_realm())
        return is_near and not _is_running(self.pid)


def new_owner() -> Owner:
    """This process, with a new nonce."""
    return Owner(host_name(), os.getpid(), _realm() + secrets.token_hex(4))


def parse_tag(tag: str) -> Owner | None:
    """The owner of a tag; None for any other text."""
    match = _TAG.fullmatch(tag)
    return None if match is None else Owner(match['host'], int(match['pid']), match['nonce'])


def split_tag(name: str) -> tuple[str, Owner] | None:
    """What stands before the tag, and the owner, of a name that ends in ``@<tag>``; None for any other name."""
    head, sign, tag = name.rpartition('@')
    owner = parse_tag(tag) if head and sign else None
    return None if owner is None else (head, owner)


def host_name() -> str:
    """The name of this machine, without dots and other signs."""
    return re.sub(r'[^A-Za-z0-9-]', '-', platform.node())[:_LONGEST_HOST] or 'host'


def _realm() -> str:
    parts = []
    with suppress(OSError):
        parts.append(Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii'))
    with suppress(OSError):
        parts.append(str(Path('/proc/self/ns/pid').stat().st_ino))
    return hashlib.sha256(' '.join(parts).encode()).hexdigest()[:_REALM_SIGNS]


def _is_running(pid: int) -> bool:
    if sys.platform == 'win32':
        # os.kill would end the process there: nothing is known.
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and only its parent has not asked yet; containers without an init keep those."""
    with suppress(OSError, IndexError):
        text = Path(f'/proc/{pid}/stat').read_text(encoding='ascii', errors='replace')
        return text.rpartition(')')[2].split()[0] in 'ZX'
    return False
