"""``weights/lock.json``: the digests of converted, unpinned and imported model files, and stamps of verified files.

The file is replaced atomically, so a reader never sees a partial file. It is changed under a lock of the operating
system, so no record is lost when two processes write. The system releases that lock when the process
that holds it ends, so a crash leaves no lock behind.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct, structs

from facefusion.errors import ModelError
from facefusion.file_lock import locked
from facefusion.models.catalog import Known

LOCK_NAME = 'lock.json'
How = Known | Literal['converted', 'first-use', 'imported']


class Stamp(Struct, frozen=True):
    """Size, modification time and inode of a file; a file with an equal stamp counts as unchanged."""

    size: int
    mtime_ns: int
    inode: int

    @staticmethod
    def of(path: Path) -> Stamp:
        """Return the stamp of a file; raises OSError when it is missing."""
        status = path.stat()
        return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


class Record(Struct, frozen=True, omit_defaults=True):
    """The entry of one model in lock.json.

    ``how`` is 'converted', 'first-use' or 'imported' where this record alone states the digest, and 'catalog', 'source'
    or 'alternate' where ``sha256`` repeats the catalogue. ``origin`` identifies the input of a conversion: the digest
    of the source, the recipe and its revision. ``verified`` is the stamp of the file at the last check that found its
    digest correct.
    """

    sha256: str
    how: How
    origin: str = ''
    verified: Stamp | None = None


class _Content(Struct, frozen=True):
    version: Literal[1]
    models: dict[str, Record]


class LockFile:
    """The records of a weights folder by model id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME

    def record(self, model_id: str) -> Record | None:
        """Return the record of a model, or None without one; raises ModelError when lock.json is damaged."""
        return self._read().get(model_id)

    def records(self) -> dict[str, Record]:
        """Return all records by model id; raises ModelError when lock.json is damaged."""
        return self._read()

    def put(self, model_id: str, record: Record, publish: Callable[[], None] | None = None) -> None:
        """Write one record and leave the others unchanged; ``publish`` runs right after that, under the lock.

        Raises OSError when the folder cannot be written.
        """
        with self._locked():
            self._write(self._read() | {model_id: record})
            if publish is not None:
                publish()

    def mark_verified(self, model_id: str, sha256: str, how: How, stamp: Stamp) -> None:
        """Record that the file with this stamp has this digest; raises OSError when the folder cannot be written.

        A record of another digest stays unchanged if its ``how`` is 'converted', 'first-use' or 'imported'.
        """
        with self._locked():
            records = self._read()
            record = records.get(model_id)
            if record is not None and record.sha256 == sha256:
                self._write(records | {model_id: structs.replace(record, verified=stamp)})
            elif record is None or record.how in get_args(Known):
                self._write(records | {model_id: Record(sha256, how, verified=stamp)})

    def _read(self) -> dict[str, Record]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Content).models
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, ValueError) as error:
            raise ModelError(
                'lock-damaged',
                f'{self._path} cannot be read',
                cause=str(error),
                hint='delete it: converted models are then fetched and converted again',
            ) from None

    def _write(self, records: dict[str, Record]) -> None:
        data = msgspec.json.format(msgspec.json.encode(_Content(1, dict(sorted(records.items())))), indent=2)
        part = self._path.with_name(f'.{LOCK_NAME}.{os.getpid()}.{secrets.token_hex(4)}.part')
        try:
            with part.open('wb') as stream:
                stream.write(data + b'\n')
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Without locks on a network file system the last writer wins, and lost records are written again.
        with locked(self._path.with_name(f'.{LOCK_NAME}.guard')):
            yield
