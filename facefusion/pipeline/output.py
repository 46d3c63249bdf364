"""Whether an output path can be written, asked before any work is done."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facefusion.errors import MediaError, OutputError, ResourceError
from facefusion.media.containers import CONTAINERS
from facefusion.media.files import write_failure
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, address_text, check_address
from facefusion.pipeline.file_names import check_names

# WEBP_MAX_DIMENSION; libjpeg's JPEG_MAX_DIMENSION; what the 32-bit sizes in a BMP hold; PNG has 31-bit sides;
# TIFF has 32-bit ones, and libtiff takes 31.
LARGEST_SIDES = {'webp': 16383, 'jpeg': 65500, 'bmp': 32000, 'png': 2**31 - 1, 'tiff': 2**31 - 1}

# For what is read and not written, by its content.
_WRITTEN_INSTEAD = {'mp4': '.mp4', 'flv': '.mp4', 'mpegts': '.ts', 'mpeg': '.mpg', 'asf': '.wmv'}


def check_output(output: Path, target: Path, sources: Iterable[Path], family: str) -> None:
    """Raises OutputError when ``output`` is no writable file of the target's family, or one of the inputs.

    ``family`` is 'image' or 'video', as in ``facefusion.media.kinds``.
    """
    # Before the length of the name: that of an address does not matter.
    _check_no_address(output)
    check_names(output)
    _check_name(output)
    check_not_input(output, target, sources)
    extensions = [*IMAGE_EXTENSIONS] if family == 'image' else [*CONTAINERS]
    extension = output.suffix.lower()
    if extension not in extensions:
        shown = output.suffix if output.suffix == output.suffix.strip() else f'"{output.suffix}" with its space'
        found = f'{shown} is not' if shown else 'a name without an extension is not'
        better = _WRITTEN_INSTEAD.get(VIDEO_EXTENSIONS.get(extension, '')) if family == 'video' else None
        raise OutputError(
            'output-extension',
            f'the output {output} cannot be written',
            cause=f'{found} a kind of {family} that is written, and the content of {target.name} is {family}',
            hint=f'name it {output.stem}{better}' if better else f'use one of: {", ".join(extensions)}',
        )
    folder = existing_folder(output.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(
            'output-unwritable',
            f'the output folder {output.parent} cannot be written',
            cause=f'{folder} is {"not writable" if folder.is_dir() else "a file"}',
            hint='choose another folder, or change its permissions',
        )


def _check_no_address(output: Path) -> None:
    try:
        check_address(str(output))
    except MediaError as error:
        raise OutputError(
            'output-address',
            f'the output {address_text(str(output))} is an address',
            cause='outputs are written to files',
            hint='name the file by its path',
        ) from error


def _check_name(output: Path) -> None:
    """Raises OutputError when what is there under the name, or the name itself, keeps a file from being there."""
    try:
        mode = output.stat().st_mode if output.exists() else None
    except OSError as error:
        raise OutputError(
            'output-name',
            f'no file can be written at {output}',
            cause=error.strerror or str(error),
            hint='choose another name',
        ) from None
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(
            'output-is-directory',
            f'the output {output} is a directory',
            cause='the output is one file',
            hint='name a file, such as output.mp4',
        )
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(
            'output-not-a-file',
            f'the output {output} is no regular file',
            cause='it is a pipe, a socket or a device, which the rename of the finished file would replace',
            hint='choose another name',
        )
    if output.is_symlink() and mode is None:
        raise OutputError(
            'output-broken-link',
            f'the output {output} is a link to nothing',
            cause=f'it leads to {output.readlink()}',
            hint='remove the link',
        )


def check_not_input(output: Path, target: Path, sources: Iterable[Path]) -> None:
    """Raises OutputError when ``output`` is one of the inputs, by whatever names."""
    for name, path in (('target', target), *(('source', source) for source in sources)):
        if _is_same(output, path):
            raise OutputError(
                'output-is-input',
                f'the output {output} is the {name} file itself',
                cause='both names lead to one file' if output != path else 'both have the same name',
                hint='choose another output; inputs are never overwritten',
            )


def check_picture_size(output: Path, width: int, height: int) -> None:
    """Raises OutputError when the format of the picture ``output`` does not hold so many pixels a side."""
    image_format = IMAGE_EXTENSIONS[output.suffix.lower()]
    limit = LARGEST_SIDES[image_format]
    if max(width, height) > limit:
        raise OutputError(
            'output-too-large',
            f'the output {output} would have {width}x{height} pixels',
            cause=f'{image_format} holds up to {limit} pixels a side',
            hint='write a png, or lower --output-image-scale',
        )


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it; raises OutputError or ResourceError."""
    for attempt in range(10):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # A run that ends may take an empty folder above this one away between two steps.
            if isinstance(error, FileNotFoundError) and attempt < 9:
                continue
            raise write_failure(error, folder) from error
        return


def check_work_folder(folder: Path, named_by: str) -> None:
    """Raises OutputError work-unwritable when no work files can be made in ``folder``; ``named_by`` is its option."""
    existing = existing_folder(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        why = f'{existing} is {"not writable" if existing.is_dir() else "a file"}'
        raise _no_work_files(folder, why, named_by)


@contextmanager
def naming_work_folder(folder: Path, named_by: str) -> Iterator[None]:
    """An OutputError in the block, which makes folders within ``folder``, becomes one of ``check_work_folder``."""
    try:
        yield
    except OutputError as error:
        raise _no_work_files(folder, error.cause or error.message, named_by) from error


def _no_work_files(folder: Path, why: str, named_by: str) -> OutputError:
    return OutputError(
        'work-unwritable',
        f'work files cannot be written in {folder}',
        cause=why,
        hint=f'choose another folder with {named_by}, or change its permissions',
    )


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises ResourceError when the file system of ``folder`` has fewer than ``needed`` bytes free."""
    total, _, free = shutil.disk_usage(existing_folder(folder))
    if free < needed:
        raise ResourceError(
            'disk-short',
            f'{what} would need about {_megabytes(needed)} in {folder}, and {_megabytes(free)} are free',
            cause='' if total else 'that is in a file system that holds no files of users',
            hint='free space, or choose another folder (--temp-path for work files)',
        )


def shares_disk(folder: Path, other: Path) -> bool:
    """Whether two folders, or the ones above them that exist, lie on the same file system."""
    return existing_folder(folder).stat().st_dev == existing_folder(other).stat().st_dev


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
        # Not there yet, or in a folder that is not: then '..' leads where it will when that folder is made.
        return os.path.realpath(output) == os.path.realpath(other)


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.0f} MB' if size >= 1e6 else f'{size / 1e6:.2f} MB'
