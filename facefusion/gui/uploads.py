"""Uploads: files that the browser sends, streamed to disk."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Any

from facefusion.errors import ResourceError, UsageError
from facefusion.gui.context import in_thread
from facefusion.gui.file_listing import kind_of

_UNSAFE = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
_LONGEST_NAME = 120
PART = '.part'


def safe_name(name: str) -> str:
    """Return a file name without folders, control characters and leading dots, at most 120 bytes long."""
    plain = _UNSAFE.sub('_', unicodedata.normalize('NFC', name)).strip(' .')
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
            try:
                await in_thread(lambda chunk=data: file.write(chunk))  # type: ignore[misc]
            except OSError as error:
                cause = error.strerror or str(error)
                raise ResourceError(
                    'disk-full', f'the upload cannot be written to {part.parent}', cause=cause
                ) from None
    return size


def _publish(part: Path, folder: Path, name: str) -> Path:
    """Give the file a name that no other file has; a link fails if the name exists."""
    stem, extension = Path(name).stem, Path(name).suffix
    for number in range(10_000):
        path = folder / (name if not number else f'{stem}-{number}{extension}')
        try:
            os.link(part, path)
        except FileExistsError:
            continue
        return path
    raise UsageError('upload-name', f'{folder} has too many files named {name}', hint='rename the file')
