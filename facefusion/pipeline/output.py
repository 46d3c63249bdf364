"""Whether an output path can be written, asked before any work is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from facefusion.errors import OutputError, ResourceError
from facefusion.media.files import write_failure
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS


def check_output(output: Path, target: Path, sources: Iterable[Path], family: str) -> None:
    """Raises OutputError when ``output`` is no writable file of the target's family, or one of the inputs.

    ``family`` is 'image' or 'video', as in ``facefusion.media.kinds``.
    """
    if output.is_dir():
        raise OutputError(
            'output-is-directory', f'the output {output} is a directory', hint='name a file, such as output.mp4'
        )
    if output.is_symlink() and not output.exists():
        raise OutputError('output-broken-link', f'the output {output} is a link to nothing', hint='remove the link')
    for name, path in (('target', target), *(('source', source) for source in sources)):
        if _is_same(output, path):
            raise OutputError(
                'output-is-input',
                f'the output {output} is the {name} file itself',
                hint='choose another output; inputs are never overwritten',
            )
    extensions = IMAGE_EXTENSIONS if family == 'image' else VIDEO_EXTENSIONS
    if output.suffix.lower() not in extensions:
        found = f'{output.suffix} is not' if output.suffix else 'a name without an extension is not'
        raise OutputError(
            'output-extension',
            f'the output {output} cannot be written',
            cause=f'{found} a kind of {family} that is written',
            hint='use one of: ' + ', '.join(extensions),
        )
    folder = existing_folder(output.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            'output-unwritable',
            f'the output folder {output.parent} cannot be written',
            cause=f'{folder} is {"not writable" if folder.is_dir() else "a file"}',
            hint='choose another folder, or change its permissions',
        )


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it; raises OutputError or ResourceError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(error, folder) from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises ResourceError when the file system of ``folder`` has fewer than ``needed`` bytes free."""
    free = shutil.disk_usage(existing_folder(folder)).free
    if free < needed:
        raise ResourceError(
            'disk-short',
            f'{what} would need about {_megabytes(needed)} in {folder}, and {_megabytes(free)} are free',
            hint='free space, or choose another folder (--temp-path for work files)',
        )


def existing_folder(folder: Path) -> Path:
    """The nearest of ``folder`` and those above it that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _is_same(output: Path, other: Path) -> bool:
    try:
        return output.samefile(other)
    except OSError:
        return output.absolute() == other.absolute()


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.0f} MB'
