"""SHA-256 of files, read in bounded pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

from facefusion.stopping import StopFlag

_PIECE = 1 << 20


def file_sha256(path: Path, stop: StopFlag | None = None) -> str:
    """Return the SHA-256 of a file in lower-case hexadecimal digits.

    Raises OSError when the file cannot be read, and Interrupted when ``stop`` is set.
    """
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while piece := stream.read(_PIECE):
            if stop is not None:
                stop.check()
            digest.update(piece)
    return digest.hexdigest()
