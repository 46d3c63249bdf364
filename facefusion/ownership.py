"""Who works in a folder or on a file: a tag in its name, by which others can tell that its process is dead."""

from __future__ import annotations

import os
import platform
import re
import secrets
import sys


def new_tag() -> str:
    """``<host>.<pid>.<nonce>`` of this process, new each time; for the end of a name, after an ``@``."""
    return f'{host_name()}.{os.getpid()}.{secrets.token_hex(4)}'


def split_tag(name: str) -> tuple[str, str, int] | None:
    """What stands before the tag, host and pid of a name that ends in ``@<tag>``; None for any other name."""
    match = re.fullmatch(r'([^@]+)@(.+)\.(\d+)\.[0-9a-f]+', name)
    return None if match is None else (match[1], match[2], int(match[3]))


def host_name() -> str:
    """The name of this machine, without dots and other signs."""
    return re.sub(r'[^A-Za-z0-9-]', '-', platform.node()) or 'host'


def is_dead(host: str, pid: int) -> bool:
    """Whether a process is known to be dead: it was of this machine, and there is none with its number."""
    return host == host_name() and not _is_running(pid)


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
    return True
