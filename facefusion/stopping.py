"""The stop flag of a run: signals and failing stages set it, and loops check it at every frame."""

from __future__ import annotations

from facefusion.errors import Interrupted

# The maximum duration of a single wait in code that can be stopped. On Windows, Python runs no signal handlers during
# a wait for a lock without a timeout.
POLL_SECONDS = 0.1


class StopFlag:
    """A flag that any thread or signal handler sets once; it is never cleared.

    It uses no lock, because a signal handler that interrupts the holder of the lock in the same thread would wait
    forever. Reading and assigning one attribute are atomic.

    A flag also counts as set when its ``parent`` is set: a stage can stop its own worker threads without stopping the
    run.
    """

    def __init__(self, parent: StopFlag | None = None) -> None:
        self._parent = parent
        self._reason: str | None = None

    def set(self, reason: str) -> None:
        """Request a stop; only the first reason counts."""
        if self._reason is None:
            self._reason = reason

    def is_set(self) -> bool:
        """Whether a stop was requested."""
        return self._reason is not None or (self._parent is not None and self._parent.is_set())

    @property
    def reason(self) -> str:
        """The reason in a few words; empty while the flag is not set."""
        if self._reason is not None:
            return self._reason
        return self._parent.reason if self._parent is not None else ''

    def check(self) -> None:
        """Raise Interrupted when a stop was requested."""
        if self.is_set():
            raise Interrupted(cause=self.reason, hint='run the same command again')

    def confirm(self) -> None:
        """Call ``check`` right before an irreversible change; the flag of a claimed job also checks the claim."""
        self.check()
