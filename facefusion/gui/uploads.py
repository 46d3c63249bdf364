"""Uploads: files that the browser sends, streamed to disk."""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import AsyncIterable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from facefusion.errors import ResourceError, UsageError
from facefusion.failures import is_disk_full
from facefusion.gui.context import in_thread
from facefusion.gui.file_listing import kind_of

_UNSAFE = frozenset('/\\:*?"<>|')
_LONGEST_NAME = 120
PART = '.part'


def safe_name(name: str) -> str:
    """Return a file name without folders, control characters and leading dots, at most 120 bytes long."""
    composed = unicodedata.normalize('NFC', name)
    # The categories C* are control characters, marks that reverse the direction of text, and surrogates.
    plain = ''.join(
        '_' if letter in _UNSAFE or unicodedata.category(letter)[0] == 'C' else letter for letter in composed
    )
    plain = plain.strip(' .')
    stem, extension = Path(plain).stem, Path(plain).suffix[:16]
    while len(os.fsencode(stem + extension)) > _LONGEST_NAME:
        stem = stem[:-1]
    return (stem + extension).strip(' .') or 'upload'


async def receive(folder: Path, name: str, body: AsyncIterable[bytes], limit: int) -> dict[str, Any]:
    """Write a request body to a new file in ``folder``; return its path, kind and size.

    Nothing remains of an upload that fails or that the client ends early. Raises UsageError upload-too-large,
    upload-empty, and ResourceError disk-full.
    """
    await in_thread(lambda: folder.mkdir(parents=True, exist_ok=True))
    part = folder / f'.{secrets.token_hex(8)}{PART}'
    try:
        size = await _write(part, body, limit)
        if not size:
            raise UsageError('upload-empty', f'the upload {name!r} is empty', hint='send the file again')
        path = await in_thread(lambda: _publish(part, folder, safe_name(name)))
    finally:
        part.unlink(missing_ok=True)
    return {'path': str(path), 'kind': kind_of(path.name), 'size': size}


async def _write(part: Path, body: AsyncIterable[bytes], limit: int) -> int:
    size = 0
    with part.open('wb') as file:
        async for data in body:
            size += len(data)
            if size > limit:
                raise UsageError(
                    'upload-too-large',
                    f'the upload is larger than {limit / 1e9:g} GB',
                    hint='put the file into a media root and open it by its path, or raise --upload-limit',
                )
            await in_thread(partial(_append, file, data))
    return size


def _append(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        if not is_disk_full(error):
            raise
        hint = 'free space, or put the file into a media root and open it by its path'
        cause = error.strerror or str(error)
        raise ResourceError('disk-full', 'the upload does not fit on the disk', cause=cause, hint=hint) from None


def _publish(part: Path, folder: Path, name: str) -> Path:
    """Give the file a name that no other file has."""
    stem, extension = Path(name).stem, Path(name).suffix
    for number in range(10_000):
        path = folder / (name if not number else f'{stem}-{number}{extension}')
        try:
            # The empty file reserves the name; not every file system has links, which would do the same in one step.
            path.open('xb').close()
        except FileExistsError:
            continue
        part.replace(path)
        return path
    raise UsageError('upload-name', f'{folder} has too many files named {name}', hint='rename the file')
