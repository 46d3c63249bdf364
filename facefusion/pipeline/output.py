"""Check that an output can be written, before any processing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facefusion.errors import MediaError, OutputError, ResourceError, UsageError
from facefusion.media.containers import CONTAINERS
from facefusion.media.files import write_failure
from facefusion.media.kinds import IMAGE_EXTENSIONS, VIDEO_EXTENSIONS, address_text, check_address
from facefusion.pipeline.file_names import check_names

# The limits are WEBP_MAX_DIMENSION, libjpeg's JPEG_MAX_DIMENSION and the 32-bit sizes in a BMP. A PNG has 31-bit sides.
# A TIFF has 32-bit sides, but libtiff supports only 31 bits.
LARGEST_SIDES = {'webp': 16383, 'jpeg': 65500, 'bmp': 32000, 'png': 2**31 - 1, 'tiff': 2**31 - 1}

# The extension to suggest, by format, when the given extension can be read but not written.
_WRITTEN_INSTEAD = {'mp4': '.mp4', 'flv': '.mp4', 'mpegts': '.ts', 'mpeg': '.mpg', 'asf': '.wmv'}


def check_output(output: Path, target: Path, sources: Iterable[Path], family: str, reason: str = '') -> None:
    """Raise OutputError when ``output`` is not a writable file of the target's family, or is one of the inputs.

    ``family`` is 'image' or 'video', as in ``facefusion.media.kinds``; ``reason`` explains a family other than that of
    the target.
    """
    # Check for an address before the length of the name, because the length of an address does not matter.
    try:
        check_address(str(output))
    except MediaError as error:
        raise OutputError(
            'output-address',
            f'the output {address_text(str(output))} is an address',
            cause='outputs are written to files',
            hint='pass the path of a file',
        ) from error
    check_names(output)
    _check_name(output)
    check_not_input(output, target, sources)
    extensions = [*IMAGE_EXTENSIONS] if family == 'image' else [*CONTAINERS]
    extension = output.suffix.lower()
    if extension not in extensions:
        shown = output.suffix if output.suffix == output.suffix.strip() else f'"{output.suffix}" with its space'
        subject = f'the extension {shown}' if shown else 'a name without an extension'
        better = _WRITTEN_INSTEAD.get(VIDEO_EXTENSIONS.get(extension, '')) if family == 'video' else None
        raise OutputError(
            'output-extension',
            f'the output {output} cannot be written',
            cause=f'{subject} does not specify an output format for {family}, '
            f'and {reason or f"the content of {target.name} is {family}"}',
            hint=f'name it {output.stem}{better}' if better else f'use one of: {", ".join(extensions)}',
        )
    if problem := folder_problem(output.parent):
        raise OutputError(
            'output-unwritable',
            f'the output folder {output.parent} cannot be written',
            cause=problem,
            hint='choose another folder, or change its permissions',
        )


def _check_name(output: Path) -> None:
    """Raise OutputError when the name is impossible, or exists and is not a regular file."""
    try:
        mode = output.stat().st_mode if output.exists() else None
    except OSError as error:
        raise OutputError(
            'output-name',
            f'no file can be written at {output}',
            cause=error.strerror or str(error),
            hint='choose another name',
        ) from None
    if mode is None and output.is_symlink():
        reference, problem = 'output-broken-link', 'a broken link'
        cause, hint = f'it points to {output.readlink()}', 'remove the link'
    elif mode is not None and stat.S_ISDIR(mode):
        reference, problem = 'output-is-directory', 'a directory'
        cause, hint = 'the output must be a file', 'add a file name, such as output.mp4'
    elif mode is not None and not stat.S_ISREG(mode):
        reference, problem = 'output-not-a-file', 'not a regular file'
        cause = 'it is a pipe, a socket or a device, and the finished file would replace it'
        hint = 'choose another name'
    else:
        return
    raise OutputError(reference, f'the output {output} is {problem}', cause=cause, hint=hint)


def check_not_input(output: Path, target: Path, sources: Iterable[Path]) -> None:
    """Raise OutputError when ``output`` is one of the inputs, even under another name."""
    for name, path in (('target', target), *(('source', source) for source in sources)):
        if _is_same(output, path):
            raise OutputError(
                'output-is-input',
                f'the output {output} is the {name} file itself',
                cause='both names refer to the same file' if output != path else 'both have the same name',
                hint='choose another output; inputs are never overwritten',
            )


def check_picture_size(output: Path, width: int, height: int) -> None:
    """Raise OutputError when the format of the image ``output`` does not support this many pixels per side."""
    image_format = IMAGE_EXTENSIONS[output.suffix.lower()]
    limit = LARGEST_SIDES[image_format]
    if max(width, height) > limit:
        raise OutputError(
            'output-too-large',
            f'the output {output} would have {width}x{height} pixels',
            cause=f'{image_format} supports up to {limit} pixels per side',
            hint='write a png, or lower --output-image-scale',
        )


def check_opaque_format(output: Path, advice: str) -> None:
    """Raise UsageError alpha-format when the format of the image ``output`` has no transparency.

    ``advice`` states how to get an image without transparent parts.
    """
    if IMAGE_EXTENSIONS[output.suffix.lower()] == 'jpeg':
        also = f', or {advice}' if advice else ''
        raise UsageError(
            'alpha-format',
            f'the output {output} cannot have transparent parts',
            cause='jpeg does not support transparency',
            hint=f'name the output png, webp or tiff{also}',
        )


def make_folder(folder: Path) -> None:
    """Create a folder and its parents. Raises OutputError, ResourceError."""
    for attempt in range(10):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            # Another run may remove an empty parent folder at the same moment.
            if isinstance(error, FileNotFoundError) and attempt < 9:
                continue
            raise write_failure(error, folder) from error
        return


def check_work_folder(folder: Path, named_by: str) -> None:
    """Raise OutputError work-unwritable when ``folder`` is not writable; ``named_by`` is its option."""
    if problem := folder_problem(folder):
        raise _no_work_files(folder, problem, named_by)


@contextmanager
def naming_work_folder(folder: Path, named_by: str) -> Iterator[None]:
    """Replace an OutputError of the block, which creates folders in ``folder``, with one of ``check_work_folder``."""
    try:
        yield
    except OutputError as error:
        raise _no_work_files(folder, error.cause or error.message, named_by) from error


def _no_work_files(folder: Path, cause: str, named_by: str) -> OutputError:
    return OutputError(
        'work-unwritable',
        f'work files cannot be written in {folder}',
        cause=cause,
        hint=f'choose another folder with {named_by}, or change its permissions',
    )


def folder_problem(folder: Path) -> str:
    """Return the reason why no files can be created in a folder, or '' if there is none."""
    existing = existing_folder(folder)
    if not existing.is_dir():
        return f'{existing} is a file'
    return '' if os.access(existing, os.W_OK | os.X_OK) else f'{existing} is not writable'


def check_space(folder: Path, needed: int, subject: str) -> None:
    """Raise ResourceError disk-short when the file system of ``folder`` has fewer than ``needed`` bytes free."""
    total, _, free = shutil.disk_usage(existing_folder(folder))
    if free < needed:
        raise ResourceError(
            'disk-short',
            f'{subject} would need about {_megabytes(needed)} in {folder}, and {_megabytes(free)} are free',
            cause='' if total else 'this file system does not store files of users',
            hint='free space, or choose another folder (--temp-path for work files)',
        )


def shares_disk(folder: Path, other: Path) -> bool:
    """Whether two folders, or their nearest existing parents, are on the same file system."""
    return existing_folder(folder).stat().st_dev == existing_folder(other).stat().st_dev


def existing_folder(folder: Path) -> Path:
    """Return the nearest of ``folder`` and its parents that exists."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _is_same(output: Path, other: Path) -> bool:
    try:
        return output.samefile(other)
    except OSError:
        # The output or its folder does not exist yet, so '..' is resolved as it will be in the created folder.
        return os.path.realpath(output) == os.path.realpath(other)


def _megabytes(size: int) -> str:
    return f'{size / 1e6:.0f} MB' if size >= 1e7 else f'{size / 1e6:.2f} MB'
