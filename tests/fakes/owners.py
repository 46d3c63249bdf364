"""Owners of files and folders whose process is dead, alive or of another machine."""

from __future__ import annotations

import subprocess
import sys

from facefusion.ownership import Owner, new_owner


def dead_owner() -> Owner:
    """One of this machine whose process has ended."""
    ended = subprocess.Popen([sys.executable, '-c', ''])
    ended.wait()
    return new_owner()._replace(pid=ended.pid)


def foreign_owner(pid: int = 1) -> Owner:
    """One of another machine: nothing is known of its process."""
    return new_owner()._replace(host='elsewhere', pid=pid)
