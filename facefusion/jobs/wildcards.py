"""The files that a pattern with wildcards means, in the names of files and of folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import filter as match_names
from pathlib import Path

ANY_DEPTH = '**'
_MAGIC = re.compile(r'[*?[]')
# Files and folders that systems leave beside those of users, in lower case.
_OF_SYSTEM = frozenset(
    (
        'thumbs.db',
        'ehthumbs.db',
        'desktop.ini',
        '.ds_store',
        '__macosx',
        '@eadir',
        '$recycle.bin',
        'system volume information',
        'lost+found',
    )
)


def find_files(pattern: Path) -> list[Path]:
    """The files that a pattern means, sorted by path.

    ``*``, ``?`` and ``[...]`` stand for signs of one name, ``**`` for any number of folders, and at the end for all
    files below. A name that is there means that file or folder, whatever signs it holds. Wildcards match no hidden
    name, unless the pattern of that name begins with a dot, and nothing that belongs to the system; ``**`` follows no
    links. Raises OSError for a folder that cannot be read, ValueError for what is no path.
    """
    start = Path(pattern.anchor)
    return sorted(set(_matches(start, pattern.parts[1:] if pattern.anchor else pattern.parts)))


def fixed_folder(pattern: Path) -> Path:
    """The folder that a pattern begins in: all before the first name with wildcards that is not there as it stands."""
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
    """What is in a folder under names that the pattern matches."""
    names = os.listdir(folder)  # noqa: PTH208 - names are matched, and a Path for each costs
    hidden = pattern.startswith('.')
    return [
        folder / name
        for name in match_names(names, pattern)
        if (hidden or not name.startswith('.')) and not _is_of_system(name)
    ]


def _folders_from(folder: Path) -> Iterator[Path]:
    """A folder and all below it."""
    yield folder
    with os.scandir(folder) as found:
        names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    for name in names:
        if not name.startswith('.') and not _is_of_system(name):
            yield from _folders_from(folder / name)


def _is_of_system(name: str) -> bool:
    # macOS keeps the attributes of a file beside it, under its name with '._', where the file system cannot hold them.
    return name.startswith('._') or name.lower() in _OF_SYSTEM
