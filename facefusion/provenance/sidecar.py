"""Sidecars: the Content Credentials of files that cannot contain them."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

SIDECAR_SUFFIX = '.c2pa'
# This program's have 4 to 10 KB; others may contain thumbnails and the credentials of many ingredients.
LARGEST_SIDECAR = 64_000_000


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar of a file: ``out.mkv.c2pa``."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def sidecars_of(path: Path) -> tuple[Path, ...]:
    """Return the possible sidecars of a file: next to it, and next to the file that it links to."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        # A loop of links: opening the file reports it.
        return (sidecar_of(path),)
    return tuple(dict.fromkeys((sidecar_of(path), sidecar_of(real))))


def read_sidecar(path: Path) -> bytes | None:
    """Return the bytes of a sidecar; None for a missing, empty, unreadable or too large one."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open('rb') as file:
            data = file.read(LARGEST_SIDECAR + 1)
    except (OSError, ValueError):
        return None
    return data if 0 < len(data) <= LARGEST_SIDECAR else None


def first_sidecar(paths: Iterable[Path]) -> bytes | None:
    """Return the bytes of the first readable sidecar of several."""
    return next((data for data in map(read_sidecar, paths) if data is not None), None)
