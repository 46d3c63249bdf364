"""The standard streams of the process: a message that cannot be written is lost, and the work goes on.

The reader of a pipe ends, a terminal is closed, the disk of a log fills up, or a caller closes a stream at the start.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_STREAMS = (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))


def open_missing_streams() -> None:
    """Opens the null device in the place of each standard stream that was closed before the process began.

    Otherwise the next file that is opened takes its descriptor, and libraries write their messages into that file.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            if null != descriptor:
                os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding='utf-8', closefd=False))


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person can see what is written to ``stream``; a missing or closed one is no terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def write_line(text: str, stream: TextIO | None) -> None:
    """Writes a line in one piece; a stream that is missing, closed or does not take it loses it."""
    if stream is None:
        return
    try:
        stream.write(text + '\n')
        stream.flush()
    except (OSError, ValueError):
        drop_unwritten(stream)


def drop_unwritten(stream: TextIO | None) -> None:
    """Empties the buffer of a stream that cannot be written to, so that nothing fails of it later.

    What is left in a buffer is written again by the next flush, and when the interpreter ends, with exit code 120. The
    stream itself stays: a disk that was full may have space again.
    """
    if stream is None:
        return
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        kept, null = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, descriptor)
            stream.flush()
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            os.close(null)
