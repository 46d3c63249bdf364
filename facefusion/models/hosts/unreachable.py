"""A list of hosts that did not answer, shared by the downloads of a process."""

from __future__ import annotations

import time
from urllib.parse import urlsplit


class UnreachableHosts:
    """Hosts that could not be reached within the last minute; downloads skip them and try other mirrors at once."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._failed: dict[str, float] = {}

    def add(self, url: str) -> None:
        """Record that the host of ``url`` cannot be reached now."""
        self._failed[urlsplit(url).netloc] = time.monotonic()

    def __contains__(self, url: str) -> bool:
        failed = self._failed.get(urlsplit(url).netloc)
        return failed is not None and time.monotonic() - failed < self._seconds
