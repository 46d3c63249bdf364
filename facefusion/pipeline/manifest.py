"""Manifests: what a finished work file must be, so that a later run can tell it from any other."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facefusion.models.digests import file_sha256
from facefusion.stopping import StopFlag

MANIFEST_VERSION = 1
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class WorkKey:
    """Which work file is wanted: of the kind 'chunk', 'linked', 'selected', 'segment' or 'clip'.

    ``digest`` is that of everything that decides its content. ``start`` to ``stop`` (exclusive) are source frames of a
    chunk, output frames of a segment or clip; ``pts`` their times in ticks (none where the digest has them).
    """

    kind: str
    digest: str
    start: int
    stop: int
    pts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What lies in a work file. ``kind`` to ``pts`` are as in ``WorkKey``.

    ``size`` in bytes and ``sha256`` are those of the file; ``facts`` is plain JSON that belongs to it.
    """

    kind: str
    digest: str
    start: int
    stop: int
    pts: tuple[int, ...]
    size: int
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frame_count(self) -> int:
        """How many frames are in the file."""
        return self.stop - self.start

    def is_for(self, key: WorkKey) -> bool:
        """Whether the file is the one that is wanted."""
        return WorkKey(self.kind, self.digest, self.start, self.stop, self.pts) == key

    def fits(self, path: Path, flag: StopFlag) -> bool:
        """Whether the file at ``path`` has the size and the digest; its bytes are read. Raises Interrupted."""
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or status.st_size != self.size:
                return False
            return file_sha256(path, flag) == self.sha256
        except OSError:
            return False


def describe_work(key: WorkKey, path: Path, flag: StopFlag, facts: Mapping[str, Any] | None = None) -> Manifest:
    """The manifest of a file that was just written. Raises OSError, Interrupted."""
    size, sha256 = path.stat().st_size, file_sha256(path, flag)
    return Manifest(key.kind, key.digest, key.start, key.stop, key.pts, size, sha256, facts or {})


def manifest_bytes(manifest: Manifest) -> bytes:
    """The manifest as JSON with a digest of itself."""
    record = {'version': MANIFEST_VERSION, **asdict(manifest), 'frame_count': manifest.frame_count}
    return json.dumps({**record, 'check': _check(record)}).encode('ascii')


def read_manifest(path: Path) -> Manifest | None:
    """The manifest at ``path``; None for one that is absent, damaged, no regular file, or of another version."""
    try:
        status = path.stat()
        # Nobody may ever write into a pipe that is opened.
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return None
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or record.get('version') != MANIFEST_VERSION:
        return None
    if record.pop('check', None) != _check(record):
        return None
    # Its digest says that this module has written it, so the types are right.
    del record['version'], record['frame_count']
    return Manifest(**{**record, 'pts': tuple(record['pts'])})


def canonical_digest(record: Mapping[str, Any]) -> str:
    """The SHA-256 of plain JSON, whatever the order of its keys, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(record, sort_keys=True, separators=(',', ':')).encode()).hexdigest()


def _check(record: Mapping[str, Any]) -> str:
    return canonical_digest(record)
