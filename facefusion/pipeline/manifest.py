"""Manifests of work files: each describes a finished work file, so that a later run can identify it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from facefusion.models.digests import file_sha256
from facefusion.stopping import StopFlag

MANIFEST_VERSION = 1
_MAXIMUM_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class WorkKey:
    """The identity of a work file: its kind ('chunk', 'linked', 'selected', 'segment' or 'clip'), digest and frames.

    ``digest`` covers everything that decides the content. ``start`` to ``stop`` (exclusive) are the source frames of a
    chunk or the output frames of a segment or clip; ``pts`` are their times in ticks (empty if the digest covers them).
    """

    kind: str
    digest: str
    start: int
    stop: int
    pts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a work file: its key, size in bytes and SHA-256, and ``facts`` about it as plain JSON."""

    key: WorkKey
    size: int
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def has_size_of(self, path: Path) -> bool:
        """Whether ``path`` is a regular file of the right size."""
        try:
            status = path.stat()
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size == self.size

    def matches(self, path: Path, flag: StopFlag) -> bool:
        """Whether the file at ``path`` has the right size and digest; reads all of it. Raises Interrupted."""
        try:
            return self.has_size_of(path) and file_sha256(path, flag) == self.sha256
        except OSError:
            return False


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the manifest as JSON with a digest of itself."""
    key, others = asdict(manifest.key), {'size': manifest.size, 'sha256': manifest.sha256, 'facts': manifest.facts}
    record = {'version': MANIFEST_VERSION, **key, **others, 'frame_count': manifest.key.stop - manifest.key.start}
    return json.dumps({**record, 'check': canonical_digest(record)}).encode('ascii')


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest at ``path``; None if it is missing, damaged, not a regular file, or of another version."""
    try:
        status = path.stat()
        # Reading from a pipe could wait forever.
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAXIMUM_BYTES:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get('version') != MANIFEST_VERSION:
        return None
    if record.pop('check', None) != canonical_digest(record):
        return None
    # The digest proves that this module wrote the record, so its types are correct.
    kind, digest, start, stop, pts = (record[entry.name] for entry in fields(WorkKey))
    key = WorkKey(kind, digest, start, stop, tuple(pts))
    return Manifest(key, record['size'], record['sha256'], record['facts'])


def canonical_digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain JSON, independent of the order of its keys, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(',', ':')).encode()).hexdigest()
