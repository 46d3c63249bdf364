"""Publish a verified file under its name in the weights folder, with its record."""

from __future__ import annotations

import os
from pathlib import Path

from facefusion.models.catalog import ModelEntry
from facefusion.models.lockfile import LockFile, Record


def publish(path: Path, entry: ModelEntry, weights: Path, lock: LockFile, record: Record) -> None:
    """Rename ``path`` to the name of the entry and write the record, under one lock.

    ``path`` must be on the disk of ``weights``. Its content is forced to the disk before the rename. A record that only
    repeats the catalogue is not written unless it replaces another one or has a stamp. Raises OSError when the folder
    cannot be written.
    """
    force_to_disk(path)
    target = weights / entry.file
    repeats = record.how == 'catalog' and record.verified is None
    if repeats and lock.record(entry.id) is None:
        _rename(path, target)
    else:
        lock.put(entry.id, record, lambda: _rename(path, target))


def force_to_disk(path: Path) -> None:
    """Wait until the content of the file is on the disk; raises OSError."""
    with path.open('rb+') as stream:
        os.fsync(stream.fileno())


def _rename(path: Path, target: Path) -> None:
    path.replace(target)
    if os.name == 'posix':
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
