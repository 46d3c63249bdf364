"""Owners of files and folders whose process is dead or runs on another machine."""

from __future__ import annotations

import subprocess
import sys

from facefusion.ownership import Owner, new_owner


def dead_owner() -> Owner:
    """Return an owner on this machine whose process has ended."""
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    return new_owner()._replace(pid=ended.pid)


def foreign_owner(pid: int = 1) -> Owner:
    """Return an owner on another machine; this machine cannot check whether its process is alive."""
    return new_owner()._replace(host='elsewhere', pid=pid)
