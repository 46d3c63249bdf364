"""``weights/lock.json``: what is known of the files beside it that the catalogue cannot know.

Per model: the digest of a file that was converted here, or pinned when it was first downloaded; and the mark of the
file (size, time, inode) for which a digest was last found right. The file is replaced as a whole, so that a reader
never sees half of it, and changed under a lock of the operating system, so that two processes lose nothing. That lock
ends with the process that holds it: there is nothing to clean up after a crash.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facefusion.errors import ModelError

LOCK_NAME = 'lock.json'
LOCK_VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells an unchanged file from a changed one without reading it."""

    size: int
    mtime_ns: int
    inode: int

    @staticmethod
    def of(path: Path) -> Mark:
        """The mark of a file as it is now; raises OSError when there is none."""
        status = path.stat()
        return Mark(status.st_size, status.st_mtime_ns, status.st_ino)


@dataclass(frozen=True, slots=True)
class Record:
    """What lock.json holds of one model.

    ``how`` is 'converted' or 'first-use' where ``sha256`` is the only statement of the right digest, and 'catalog'
    where it merely repeats the catalogue. ``origin`` says from what the file was made: the digest of the source, with
    the recipe and its revision. ``verified`` is the mark for which the digest was found right.
    """

    sha256: str
    how: str
    origin: str = ''
    verified: Mark | None = None


class LockFile:
    """The records of a weights folder by model id."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME

    def read(self) -> dict[str, Record]:
        """All records; none when the file does not exist. Raises ModelError when it is damaged."""
        try:
            data = json.loads(self._path.read_text(encoding='utf-8'))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._damaged(str(error)) from None
        try:
            if data['version'] != LOCK_VERSION:
                raise self._damaged(f'its version is {data["version"]}, this program reads version {LOCK_VERSION}')
            return {model_id: _record(values) for model_id, values in data['models'].items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise self._damaged(f'{type(error).__name__}: {error}') from None

    def record(self, model_id: str) -> Record | None:
        """What is known of one model."""
        return self.read().get(model_id)

    def put(self, model_id: str, record: Record, publish: Callable[[], None] | None = None) -> None:
        """Writes one record, keeping all others; ``publish`` runs right after it, while no one else writes.

        Raises OSError when the folder cannot be written.
        """
        with self._alone():
            records = self.read()
            records[model_id] = record
            self._write(records)
            if publish is not None:
                publish()

    def mark_verified(self, model_id: str, sha256: str, mark: Mark) -> None:
        """Remembers that the file with this mark has this digest; raises OSError when that cannot be written."""
        with self._alone():
            records = self.read()
            known = records.get(model_id) or Record(sha256, 'catalog')
            if known.how == 'catalog' or known.sha256 == sha256:
                records[model_id] = replace(known, sha256=sha256, verified=mark)
                self._write(records)

    def _write(self, records: dict[str, Record]) -> None:
        models = {model_id: _plain(record) for model_id, record in sorted(records.items())}
        text = json.dumps({'version': LOCK_VERSION, 'models': models}, indent=2) + '\n'
        part = self._path.with_name(f'.{LOCK_NAME}.{os.getpid()}.{secrets.token_hex(4)}.part')
        try:
            with part.open('w', encoding='utf-8') as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self._path)
        finally:
            part.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f'.{LOCK_NAME}.guard').open('ab') as stream:
            _acquire(stream.fileno())
            yield

    def _damaged(self, cause: str) -> ModelError:
        return ModelError(
            'lock-damaged',
            f'{self._path} cannot be read',
            cause=cause,
            hint='delete it: converted models are then fetched and made again',
        )


if sys.platform == 'win32':
    import msvcrt

    def _acquire(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
else:
    import fcntl

    def _acquire(descriptor: int) -> None:
        # Some shared folders know no locks; then the last writer wins, and what is lost is fetched again.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _plain(record: Record) -> dict[str, Any]:
    return {key: value for key, value in asdict(record).items() if value not in ('', None)}


def _record(values: dict[str, Any]) -> Record:
    mark = values.get('verified')
    return Record(
        sha256=str(values['sha256']),
        how=str(values['how']),
        origin=str(values.get('origin', '')),
        verified=Mark(int(mark['size']), int(mark['mtime_ns']), int(mark['inode'])) if mark else None,
    )
