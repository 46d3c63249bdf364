"""Handlers of SIGINT, SIGTERM and SIGHUP: exit before a run has started, or ask a run to stop at the next frame.

A closing terminal sends SIGHUP. A process that ignores SIGHUP when it starts, as under nohup, continues to ignore it.
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

# Windows has no SIGHUP.
_HANGUP = [signal.SIGHUP] if hasattr(signal, 'SIGHUP') else []
_WATCHED = (signal.SIGINT, signal.SIGTERM, *_HANGUP)


def leave_on_signals() -> None:
    """Let the signals end the process at once with the exit code of Interrupted, until ``stop_on_signals`` takes over.

    Nothing needs to be cleaned up yet. Python's KeyboardInterrupt is not sufficient, because Python may
    drop it during an import, and the run would continue.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        # print is not safe here, because the signal may have interrupted another print.
        name = signal.Signals(number).name
        text = f'facefusion: the run was interrupted [interrupted]\n  cause: {name} was received\n'
        with suppress(OSError):
            os.write(2, f'{text}  hint: run the same command again\n'.encode())
        os._exit(Interrupted.exit_code)

    for number in _handled():
        signal.signal(number, leave)


@contextmanager
def stop_on_signals(flag: StopFlag, then: StopFlag | None = None) -> Iterator[None]:
    """Let the signals set ``flag`` inside the block; from the second signal on, also set ``then``.

    Even repeated signals do not end the process at once, because work files and a partial output would remain. Python
    runs signal handlers only in the main thread, so this has no effect in other threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        reason = f'{signal.Signals(number).name} was received'
        if then is not None and flag.is_set():
            then.set(reason)
        flag.set(reason)

    before = {number: signal.signal(number, stop) for number in _handled()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handled() -> list[signal.Signals]:
    return [each for each in _WATCHED if each not in _HANGUP or signal.getsignal(each) != signal.SIG_IGN]
