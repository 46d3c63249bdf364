"""Asking a run to stop: a flag that signals and failing stages set, and loops read at frame boundaries."""

from __future__ import annotations

from facefusion.errors import Interrupted

# The longest wait at a stretch, in seconds, for whatever a caller may want to stop. On Windows a wait for a lock that
# has no time limit keeps Python from running signal handlers until it ends.
POLL_SECONDS = 0.1


class StopFlag:
    """Set once, from any thread or a signal handler; never cleared.

    It holds no lock: a handler that interrupts another one, or this class, in the same thread would wait for it
    forever. Reading and assigning one attribute are atomic.

    A flag with a ``parent`` is also set when that one is: a stage can stop its own workers without stopping the run.
    """

    def __init__(self, parent: StopFlag | None = None) -> None:
        self._parent = parent
        self._reason: str | None = None

    def set(self, reason: str) -> None:
        """Asks to stop; the first reason stays."""
        if self._reason is None:
            self._reason = reason

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._reason is not None or (self._parent is not None and self._parent.is_set())

    @property
    def reason(self) -> str:
        """Why, in a few words; empty while the flag is not set."""
        if self._reason is not None:
            return self._reason
        return self._parent.reason if self._parent is not None else ''

    def check(self) -> None:
        """Raises Interrupted when a stop was asked for."""
        if self.is_set():
            raise Interrupted(cause=self.reason, hint='run the same command again')

    def confirm(self) -> None:
        """``check``, right before something that cannot be undone. Whoever works on a claim makes sure of it here."""
        self.check()
