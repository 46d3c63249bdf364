"""What SIGINT, SIGTERM and SIGHUP do: end a process that has begun nothing, or ask a run to stop at the next frame.

SIGHUP is what a terminal sends that is closed. Where it is ignored from the start, as nohup has it, it stays so.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from facefusion.errors import Interrupted
from facefusion.stopping import StopFlag

# Windows knows no SIGHUP.
_HANGUP = [signal.SIGHUP] if hasattr(signal, 'SIGHUP') else []
_WATCHED = (signal.SIGINT, signal.SIGTERM, *_HANGUP)


def leave_on_signals() -> None:
    """Until ``stop_on_signals`` takes over, the signals end the process at once with the exit code of Interrupted.

    There is nothing to clean up by then. The exception that Python raises for SIGINT would not do: while modules are
    imported it may be raised where it is dropped, and the run would go on.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # Not print: the signal may have come in the midst of one.
        name = signal.Signals(number).name
        text = f'facefusion: the run was interrupted [interrupted]\n  cause: {name} was received\n'
        with suppress(OSError):
            os.write(2, f'{text}  hint: run the same command again\n'.encode())
        os._exit(Interrupted.exit_code)

    for number in _heeded():
        signal.signal(number, leave)


@contextmanager
def stop_on_signals(flag: StopFlag, then: StopFlag | None = None) -> Iterator[None]:
    """While the block runs, the signals set ``flag``; afterwards they do what they did before.

    From the second signal on they set ``then``, too.

    However often they come, they never end the process at once: work files and a half-written output would stay.
    Only the main thread of a process is told of signals: elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        reason = f'{signal.Signals(number).name} was received'
        if then is not None and flag.is_set():
            then.set(reason)
        flag.set(reason)

    before = {number: signal.signal(number, stop) for number in _heeded()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded() -> list[signal.Signals]:
    return [each for each in _WATCHED if each not in _HANGUP or signal.getsignal(each) != signal.SIG_IGN]
