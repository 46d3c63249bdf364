"""When the memory of an accelerator runs out: smaller calls, fewer sessions, one call at a time, and then an error.

A step down lasts until the end of the run, so that a network is not driven into the same failure at every call. Each
is reported as a warning and listed in the manifests of the segments rendered after it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from facefusion.device_failure import as_device_failure, is_device_memory_error
from facefusion.errors import ProviderError, ResourceError
from facefusion.events import Emit, Message, silent

T = TypeVar('T')
_REQUESTED = re.compile(r'requested buffer of size (\d+)')


class MemoryLadder:
    """The steps down of a run on one accelerator; any number of threads may share it."""

    def __init__(self, emit: Emit = silent) -> None:
        self.emit = emit
        self._steps: list[dict[str, Any]] = []
        self._sizes: dict[str, int] = {}
        self._changed = threading.Condition()
        self._calls = 0
        self._is_alone = False

    def begin(self, emit: Emit) -> None:
        """Begin a run, whose results do not depend on those before it: go back to the top, and warn with ``emit``."""
        with self._changed:
            self.emit = emit
            self._steps.clear()
            self._sizes.clear()
            self._is_alone = False

    def most_crops(self, model: str, count: int) -> int:
        """Return the number of crops of the calls of a network, at most ``count``."""
        with self._changed:
            return min(self._sizes.get(model, count), count)

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps down so far as plain JSON: model, step, and the number of crops per call if it changed."""
        with self._changed:
            return list(self._steps)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait until a call may start, and count it while it runs."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_alone and self._calls))
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def note_smaller_calls(self, model: str, size: int) -> None:
        """Note that a network is called with at most ``size`` crops from now on."""
        with self._changed:
            self._sizes[model] = min(self._sizes.get(model, size), size)
        crops = f'{size} crop{"s" * (size > 1)}'
        self._note({'model': model, 'step': 'smaller calls', 'crops': size}, f'{model} gets {crops} per call')

    def with_fewer_sessions(self, model: str, release: Callable[[], int], work: Callable[[], T]) -> T:
        """Repeat ``work``, which ran out of memory, with less beside it; raises its last error if that fails too.

        First the idle sessions are freed, which ``release`` does and counts; then no other call runs beside ``work``,
        nor beside any later call.
        """
        freed = release()
        if freed:
            try:
                result = work()
            except Exception as error:  # onnxruntime raises unrelated types of its own
                if not is_device_memory_error(error):
                    raise
            else:
                self._note({'model': model, 'step': 'idle sessions freed', 'freed': freed}, f'{freed} idle were freed')
                return result
        with self._changed:
            was_alone, self._is_alone = self._is_alone, True
            # The calls that run now keep their sessions until they end.
            self._changed.wait_for(lambda: not self._calls)
        release()
        result = work()
        if not was_alone:
            self._note({'model': model, 'step': 'one call at a time'}, 'networks run one after the other')
        return result

    def loaded(self, model: str, release: Callable[[], int], create: Callable[[], T]) -> T:
        """Return the session that ``create`` makes, with fewer sessions beside it if the memory runs out.

        Raises ResourceError device-memory-out, and the errors of ``create``.
        """

        def work() -> T:
            try:
                return create()
            except ProviderError as error:
                # The words of onnxruntime are in its cause.
                cause = error.__cause__
                raise cause if cause is not None and is_device_memory_error(cause) else error from error

        try:
            return work()
        except Exception as error:  # see ``with_fewer_sessions``
            if not is_device_memory_error(error):
                raise
        try:
            return self.with_fewer_sessions(model, release, work)
        except Exception as error:  # see ``with_fewer_sessions``
            raise device_error(error, model, 'its weights did not fit') or error from error

    def _note(self, step: dict[str, Any], text: str) -> None:
        with self._changed:
            if step in self._steps:
                return
            self._steps.append(step)
        name = step['model']
        self.emit(Message('warn', 'run', f'the memory of the accelerator ran out in {name}: {text}'))


def device_error(error: Exception, model: str, needs: str) -> ResourceError | ProviderError | None:
    """Return the error for a call that failed on an accelerator, or None if the device is not at fault.

    ``needs`` states in words what the call held in memory.
    """
    text = ' '.join(str(error).split())
    if is_device_memory_error(error):
        found = _REQUESTED.search(text)
        asked = f'; the last request was for {int(found[1]) / 1e6:.1f} MB' if found else ''
        return ResourceError(
            'device-memory-out',
            f'the memory of the accelerator is too small for {model}',
            cause=f'{needs}{asked}; smaller calls and freeing other networks did not help',
            hint='close other programs that use the accelerator, choose a smaller model, or use '
            '--execution-providers cpu',
        )
    return as_device_failure(error)
