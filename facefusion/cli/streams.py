"""Switch the process to UTF-8, so that it reads and prints file names correctly in every locale."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress


def use_utf8() -> None:
    """Make the process read and print names as UTF-8, and print any name.

    In an ASCII locale Python cannot even open a file whose non-ASCII name it has read from a job record. The process
    therefore replaces itself with an interpreter in UTF-8 mode. Characters that cannot be encoded are printed as
    escapes.
    """
    if sys.getfilesystemencoding() == 'ascii' and 'utf8' not in sys._xoptions and sys.executable:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = stream.encoding.lower() in ('ascii', 'us-ascii', 'ansi_x3.4-1968')
            encoding = 'utf-8' if is_ascii and not os.environ.get('PYTHONIOENCODING') else None
            stream.reconfigure(encoding=encoding, errors='backslashreplace')
