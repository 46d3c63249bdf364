"""``manifest.json`` of an exported models folder: digests and their origins, for an import on another machine."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from facefusion.models.catalog import Count, Digest, FileName, Slug
from facefusion.models.lockfile import How

MANIFEST_NAME = 'manifest.json'


class ExportedModel(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file of the folder; ``how`` and ``origin`` have the same meaning as in a record of lock.json."""

    id: Slug
    file: FileName
    sha256: Digest
    size: Count
    how: How
    origin: str = ''


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The files of an exported folder, by id."""

    version: Literal[1]
    models: tuple[ExportedModel, ...]


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a folder, or an empty one when it has none.

    Raises ValueError when the file is not a manifest of exported models, OSError when it cannot be read.
    """
    try:
        return msgspec.json.decode((folder / MANIFEST_NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest(1, ())


def manifest_bytes(models: list[ExportedModel]) -> bytes:
    """Return the content of a manifest, sorted by id."""
    manifest = Manifest(1, tuple(sorted(models, key=lambda model: model.id)))
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b'\n'
