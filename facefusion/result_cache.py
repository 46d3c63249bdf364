"""Results that a process keeps for later runs, each by everything that it depends on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from facefusion.events import Emit, Event

T = TypeVar('T')


class ResultCache:
    """The results that were used last, at most ``most`` of them; threads may share a cache."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._results: OrderedDict[Hashable, tuple[Any, tuple[Event, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[Emit], T], emit: Emit) -> T:
        """Return the result under ``key``, or that of ``make``, which is kept unless it raises an error.

        ``make`` gets the function to emit its events; they are emitted again whenever the kept result is returned.
        """
        with self._lock:
            kept = self._results.get(key)
            if kept is not None:
                self._results.move_to_end(key)
        if kept is not None:
            for event in kept[1]:
                emit(event)
            result: T = kept[0]
            return result
        events: list[Event] = []

        def emit_and_note(event: Event) -> None:
            events.append(event)
            emit(event)

        result = make(emit_and_note)
        with self._lock:
            self._results[key] = result, tuple(events)
            while len(self._results) > self._most:
                self._results.popitem(last=False)
        return result

    def clear(self) -> int:
        """Drop all results; return their number."""
        with self._lock:
            count = len(self._results)
            self._results.clear()
        return count
