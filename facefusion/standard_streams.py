"""Write to the standard streams; drop a message that cannot be written, so that the run continues.

Writing fails when the reader of a pipe exits, a terminal closes, a disk is full, or the caller closed the stream.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

_STREAMS = (('stdin', 'r'), ('stdout', 'w'), ('stderr', 'w'))


def open_missing_streams() -> None:
    """Open the null device for each standard stream that was closed before the process started.

    Otherwise the next opened file would get the descriptor of that stream, and libraries would write their messages
    into the file.
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
    """Whether ``stream`` is an open terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def write_line(text: str, stream: TextIO | None) -> None:
    """Write a line at once; drop it when the stream is missing or closed, or the write fails."""
    if stream is None:
        return
    try:
        stream.write(text + '\n')
        stream.flush()
    except (OSError, ValueError):
        drop_unwritten(stream)


def drop_unwritten(stream: TextIO | None) -> None:
    """Empty the buffer of a stream after a failed write.

    If the text stayed in the buffer, the next flush would fail again, and so would the exit of the interpreter (exit
    code 120). The stream stays open, because a full disk may have space again later.
    """
    if stream is None:
        return
    with suppress(OSError, ValueError):
        descriptor = stream.fileno()
        saved, null = os.dup(descriptor), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(null, descriptor)
            stream.flush()
        finally:
            os.dup2(saved, descriptor)
            os.close(saved)
            os.close(null)
