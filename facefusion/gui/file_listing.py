"""The content of a folder, for the file dialog of the page."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facefusion.errors import InputError
from facefusion.gui.media_roots import MediaRoots
from facefusion.media.kinds import AUDIO_EXTENSIONS, IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

MOST_ENTRIES = 2000
# Entries beyond this number are not even looked at, so that a huge folder cannot stop the server.
MOST_SCANNED = 20_000
_KINDS = (('image', IMAGE_EXTENSIONS), ('video', VIDEO_EXTENSIONS), ('audio', AUDIO_EXTENSIONS))
MEDIA = ('image', 'video', 'audio')


def kind_of(name: str) -> str:
    """Return 'image', 'video', 'audio' or 'other', from the extension of a name."""
    extension = Path(name).suffix.lower()
    return next((kind for kind, extensions in _KINDS if extension in extensions), 'other')


def list_folder(roots: MediaRoots, folder: str, kind: str) -> dict[str, Any]:
    """Return the folders and files of a folder inside the roots, folders first, then by name.

    ``kind`` is 'all', 'media', 'image', 'video' or 'audio'. Hidden files, special files and links that lead out of the
    roots are left out; ``more`` is the number of entries beyond MOST_ENTRIES, at least. Raises InputError
    folder-unreadable, and the errors of ``MediaRoots.resolve``.
    """
    path = roots.resolve(folder) if folder else roots.folders[0]
    wanted = {'all': (*MEDIA, 'other'), 'media': MEDIA}.get(kind, (kind,))
    try:
        entries = list(_entries(roots, path, wanted))
    except OSError as error:
        hint = 'choose another folder'
        raise InputError('folder-unreadable', f'cannot list {path}', cause=error.strerror or '', hint=hint) from None
    entries.sort(key=lambda entry: (entry['kind'] != 'folder', entry['name'].casefold(), entry['name']))
    is_root = path in roots.folders
    return {
        'dir': str(path),
        'parent': None if is_root else str(path.parent),
        'roots': [str(root) for root in roots.folders if root.is_dir()],
        'entries': entries[:MOST_ENTRIES],
        'more': max(len(entries) - MOST_ENTRIES, 0),
    }


def _entries(roots: MediaRoots, path: Path, wanted: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    with os.scandir(path) as scan:
        for number, entry in enumerate(scan):
            if number >= MOST_SCANNED:
                return
            if entry.name.startswith('.'):
                continue
            try:
                status = entry.stat()
                target = Path(os.path.realpath(entry.path)) if entry.is_symlink() else None
            except OSError:
                continue
            if target is not None and not roots.contain(target):
                continue
            if stat.S_ISDIR(status.st_mode):
                kind = 'folder'
            elif stat.S_ISREG(status.st_mode) and kind_of(entry.name) in wanted:
                kind = kind_of(entry.name)
            else:
                continue
            size = status.st_size if kind != 'folder' else 0
            yield {'name': entry.name, 'path': entry.path, 'kind': kind, 'size': size, 'modified': status.st_mtime}
