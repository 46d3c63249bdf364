"""The messages of a job in the log of the worker that the page starts."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

MOST_LINES = 500
_OF_JOB = re.compile(r'\[FACEFUSION\.JOBS\] job ([^\s:]+)')
_LINE = re.compile(r'\[FACEFUSION\.(\w+)\] (.*)')


def lines_of_job(log: Path, job_id: str) -> dict[str, Any]:
    """Return the last messages of a job; empty if another worker ran it."""
    lines: deque[dict[str, str]] = deque(maxlen=MOST_LINES)
    count, is_inside = 0, False
    try:
        with log.open(encoding='utf-8', errors='replace') as file:
            for line in file:
                named = _OF_JOB.search(line)
                if named is not None:
                    is_inside = named[1] == job_id
                if is_inside and line.strip():
                    found = _LINE.match(line.strip())
                    level = found[1].lower() if found else ''
                    lines.append({'time': '', 'level': level, 'text': found[2] if found else line.strip()})
                    count += 1
    except OSError:
        return {'lines': [], 'more': 0}
    return {'lines': list(lines), 'more': max(count - MOST_LINES, 0)}
