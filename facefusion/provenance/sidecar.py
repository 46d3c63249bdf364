"""Sidecars: the Content Credentials of files that cannot contain them."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path

SIDECAR_SUFFIX = '.c2pa'
# Sidecars of this program have 4 to 10 KB; others may contain thumbnails and the credentials of many ingredients.
LARGEST_SIDECAR = 64_000_000


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar of a file: ``out.mkv.c2pa``."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def read_sidecar(path: Path, named: Path | None = None) -> bytes | None:
    """Return the bytes of ``named``, or else of the sidecar next to ``path``, or next to the file it links to.

    Returns None if the sidecar is missing, empty, unreadable or too large.
    """
    paths = [named or sidecar_of(path)]
    if named is None:
        # A loop of links raises RuntimeError; it is reported when the file itself is opened.
        with suppress(OSError, RuntimeError):
            paths.append(sidecar_of(path.resolve()))
    return next((data for data in map(_read, paths) if data), None)


def _read(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open('rb') as file:
            data = file.read(LARGEST_SIDECAR + 1)
    except (OSError, ValueError):
        return None
    return data if len(data) <= LARGEST_SIDECAR else None
