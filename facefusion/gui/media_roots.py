"""The folders whose files the page may read and write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facefusion.errors import UsageError


@dataclass(frozen=True, slots=True)
class MediaRoots:
    """Resolved folders that contain every file that the page may read or write."""

    folders: tuple[Path, ...]

    def resolve(self, path: str) -> Path:
        """Return an absolute path without links and ``..``; the file need not exist.

        Raises UsageError path-outside-roots if the path, or the target of a link in it, is outside all roots,
        path-not-absolute, and path-invalid.
        """
        try:
            is_invalid = b'\0' in os.fsencode(path)
        except UnicodeEncodeError:
            is_invalid = True
        if is_invalid:
            raise UsageError('path-invalid', f'{path!r} cannot be a path on this system', hint='choose the file again')
        if not Path(path).is_absolute():
            raise UsageError('path-not-absolute', f'{path!r} is not an absolute path', hint='send the complete path')
        resolved = Path(os.path.realpath(path))
        if not self.contain(resolved):
            raise UsageError(
                'path-outside-roots',
                f'the page may not use {path}',
                cause='it is outside of ' + ', '.join(map(str, self.folders)),
                hint='start the page with --media-roots and the folder of the file',
            )
        return resolved

    def contain(self, resolved: Path) -> bool:
        """Whether a path without links is inside a root."""
        return any(resolved.is_relative_to(folder) for folder in self.folders)

    def including(self, folder: Path) -> MediaRoots:
        """Return the roots with one more folder, which need not exist yet."""
        return MediaRoots(tuple(dict.fromkeys((*self.folders, Path(os.path.realpath(folder))))))


def find_roots(named: Sequence[str]) -> MediaRoots:
    """Return the roots of ``--media-roots``, or the home folder and the working folder.

    Raises UsageError media-root for a path that is not a folder.
    """
    for path in named:
        if not Path(path).is_dir():
            raise UsageError('media-root', f'{path} is not a folder', hint='name existing folders with --media-roots')
    folders = [Path(path) for path in named] or [Path.home(), Path.cwd()]
    return MediaRoots(tuple(dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders)))
