"""How a command that emits events ends them when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from facefusion.events import Emit, RunFailed
from facefusion.failures import as_failure


@contextmanager
def reported(emit: Emit) -> Iterator[None]:
    """Ends the events with what the block fails with, and lets that pass."""
    try:
        yield
    except Exception as error:
        emit(RunFailed(as_failure(error).as_record()))
        raise
