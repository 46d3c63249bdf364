"""Expansion of patterns with wildcards in the names of files and folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import filter as match_names
from pathlib import Path

ANY_DEPTH = '**'
_MAGIC = re.compile(r'[*?[]')
# Files and folders that operating systems create in the folders of users, in lower case.
_OF_WINDOWS = ('thumbs.db', 'ehthumbs.db', 'desktop.ini', '$recycle.bin', 'system volume information')
_OF_OTHERS = ('.ds_store', '__macosx', '@eadir', 'lost+found')


def find_files(pattern: Path) -> list[Path]:
    """Return the files that match a pattern, sorted by path.

    ``*``, ``?`` and ``[...]`` match characters of one name; ``**`` matches any number of folders and, as the last name,
    all files below. An existing name matches itself, even if it contains wildcard characters. Wildcards do not match
    system files, and match hidden names only if the pattern of that name starts with a dot; ``**`` follows no links.
    Raises OSError for an unreadable folder, ValueError for an invalid path.
    """
    start = Path(pattern.anchor)
    return sorted(set(_matches(start, pattern.parts[1:] if pattern.anchor else pattern.parts)))


def fixed_folder(pattern: Path) -> Path:
    """Return the folder before the first name in a pattern that has wildcards and is not an existing name."""
    folder = Path(pattern.anchor)
    for name in pattern.parent.parts[1 if pattern.anchor else 0 :]:
        if not _is_fixed(folder, name):
            break
        folder /= name
    return folder


def _matches(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:
        return
    name, rest = parts[0], parts[1:]
    if name == ANY_DEPTH:
        for below in _folders_from(folder):
            yield from _matches(below, rest or ('*',))
        return
    for path in [folder / name] if _is_fixed(folder, name) else _like(folder, name):
        if rest and path.is_dir():
            yield from _matches(path, rest)
        elif not rest and path.is_file():
            yield path


def _is_fixed(folder: Path, name: str) -> bool:
    return not _MAGIC.search(name) or os.path.lexists(folder / name)


def _like(folder: Path, pattern: str) -> list[Path]:
    """Return the paths in a folder whose names match the pattern."""
    names = os.listdir(folder)  # noqa: PTH208 - a Path for each name is slow
    hidden = pattern.startswith('.')
    return [
        folder / name
        for name in match_names(names, pattern)
        if (hidden or not name.startswith('.')) and not _is_of_system(name)
    ]


def _folders_from(folder: Path) -> Iterator[Path]:
    """Yield a folder and all folders below it."""
    yield folder
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in names:
        if not name.startswith('.') and not _is_of_system(name):
            yield from _folders_from(folder / name)


def _is_of_system(name: str) -> bool:
    # On file systems without attributes, macOS stores the attributes of a file in a second file, with '._' before the
    # name.
    return name.startswith('._') or name.lower() in (*_OF_WINDOWS, *_OF_OTHERS)
