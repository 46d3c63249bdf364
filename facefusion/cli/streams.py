"""Names of files are UTF-8 text on the way in and out, whatever the locale says."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress


def use_utf8() -> None:
    """Lets the process read and print names as UTF-8, and print any name at all.

    Where the locale knows nothing but ASCII, Python could not even open a file whose name a job record holds: the
    interpreter is started anew in its UTF-8 mode, in the same process. What no text can hold is printed as escapes.
    """
    if sys.getfilesystemencoding() == 'ascii' and 'utf8' not in sys._xoptions and sys.executable:
        with suppress(OSError):
            os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            is_ascii = stream.encoding.lower() in ('ascii', 'us-ascii', 'ansi_x3.4-1968')
            encoding = 'utf-8' if is_ascii and not os.environ.get('PYTHONIOENCODING') else None
            stream.reconfigure(encoding=encoding, errors='backslashreplace')
