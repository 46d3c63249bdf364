"""Report the failure of a command as its last event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from facefusion.events import Emit, RunFailed
from facefusion.failures import as_failure


@contextmanager
def reported(emit: Emit) -> Iterator[None]:
    """Emit the failure of the block as the last event, and re-raise it."""
    try:
        yield
    except Exception as error:
        emit(RunFailed(as_failure(error).as_record()))
        raise
