"""The content of a folder, for the file dialog of the page."""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any

from facefusion.errors import InputError, UsageError
from facefusion.gui.media_roots import MediaRoots
from facefusion.media.kinds import AUDIO_EXTENSIONS, IMAGE_EXTENSIONS, VIDEO_EXTENSIONS

MOST_ENTRIES = 2000
# Entries beyond this number are not read, so that a huge folder cannot stop the server.
MOST_SCANNED = 20_000
_KINDS = (('image', IMAGE_EXTENSIONS), ('video', VIDEO_EXTENSIONS), ('audio', AUDIO_EXTENSIONS))
MEDIA = ('image', 'video', 'audio')
_WANTED = {
    'all': (*MEDIA, 'other'),
    'media': MEDIA,
    'target': ('image', 'video'),
    **{kind: (kind,) for kind in MEDIA},
}


def kind_of(name: str) -> str:
    """Return 'image', 'video', 'audio' or 'other', from the extension of a name."""
    extension = Path(name).suffix.lower()
    return next((kind for kind, extensions in _KINDS if extension in extensions), 'other')


def list_folder(roots: MediaRoots, folder: str, kind: str) -> dict[str, Any]:
    """Return the folders and files of a folder inside the roots, folders first, then by name.

    ``kind`` is 'all', 'media', 'target' (images and videos), 'image', 'video' or 'audio'. Hidden files, special files,
    links that lead out of the roots and names that are not UTF-8, which a browser cannot send back, are left out;
    ``more`` is the number of entries beyond the limits, at least. Raises UsageError request-argument, InputError
    folder-unreadable, and the errors of ``MediaRoots.resolve``.
    """
    if kind not in _WANTED:
        raise UsageError('request-argument', f'{kind} is not a kind of files', hint=f'use one of: {", ".join(_WANTED)}')
    path = roots.resolve(folder) if folder else roots.folders[0]
    wanted = _WANTED[kind]
    try:
        names, is_cut = _names(path)
        entries = [entry for name in names if (entry := _entry(roots, path / name, wanted)) is not None]
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
        'more': max(len(entries) - MOST_ENTRIES, 0) + is_cut,
    }


def _names(path: Path) -> tuple[list[str], bool]:
    """Return the names that may be shown among the first MOST_SCANNED of a folder, and whether there are more."""
    with os.scandir(path) as scan:
        scanned = [entry.name for entry in islice(scan, MOST_SCANNED + 1)]
    names = [name for name in scanned[:MOST_SCANNED] if not name.startswith('.') and _is_text(name)]
    return names, len(scanned) > MOST_SCANNED


def _is_text(name: str) -> bool:
    """Whether a name has no surrogates, which stand for bytes that are not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _entry(roots: MediaRoots, path: Path, wanted: tuple[str, ...]) -> dict[str, Any] | None:
    """Return a folder, or a file of a wanted kind, or None."""
    try:
        status = path.stat()
        if path.is_symlink() and not roots.contain(Path(os.path.realpath(path))):
            return None
    except OSError:
        return None
    kind = 'folder' if stat.S_ISDIR(status.st_mode) else kind_of(path.name)
    if kind != 'folder' and not (stat.S_ISREG(status.st_mode) and kind in wanted):
        return None
    size = status.st_size if kind != 'folder' else 0
    return {'name': path.name, 'path': str(path), 'kind': kind, 'size': size, 'modified': status.st_mtime}
