"""The digests that the local file of a model may have: those of the catalogue, and that of its own record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from facefusion.models.catalog import ModelEntry, PackageSource, Source
from facefusion.models.lockfile import How, Record


class AcceptedFile(NamedTuple):
    """A file that is accepted: ``how`` its digest is known, and its ``size`` in bytes, None if it is unknown."""

    how: How
    size: int | None


def origin_of(entry: ModelEntry, source: Source) -> str | None:
    """Return the recorded origin of a converted file: the digests of its source, the recipe and its revision.

    None for a file that is not converted, and for a source without a published digest.
    """
    sha256, _ = source.published
    if entry.convert is None or sha256 is None:
        return None
    companion = source.companion if isinstance(source, PackageSource) else None
    digests = f'{sha256} {companion.sha256}' if companion else sha256
    return f'{digests} {entry.convert.recipe} {entry.convert.revision}'


def accepted_files(entry: ModelEntry, record: Record | None) -> Mapping[str, AcceptedFile]:
    """Return the accepted files of a model by SHA-256; none while no digest is known."""
    files = {sha256: AcceptedFile(*known) for sha256, known in entry.published_files().items()}
    if record is not None and _counts(entry, record):
        files.setdefault(record.sha256, AcceptedFile(record.how, None))
    return files


def is_own(entry: ModelEntry, record: Record | None) -> bool:
    """Whether the record is that of a file which the user imported as this model."""
    return record is not None and record.how == 'imported' and not entry.is_guarding


def _counts(entry: ModelEntry, record: Record) -> bool:
    """Whether the digest of the record is accepted in addition to those of the catalogue."""
    if record.how == 'imported':
        return is_own(entry, record)
    if record.how == 'first-use':
        return entry.sha256 is None
    if record.how == 'converted':
        origins = {origin_of(entry, source) for source in entry.sources}
        return entry.sha256 is None and record.origin in origins
    return False
