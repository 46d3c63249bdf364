"""SHA-256 of files, read in bounded pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PIECE = 1 << 20


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes in lower-case hexadecimal digits; raises OSError when it cannot be read."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
