"""The weights folder: verified model files, fetched and converted when they are missing.

``weights/`` holds the files by the names of the catalogue, ``lock.json`` (what the catalogue cannot know) and, while
something is fetched, ``.fetching/``. A file appears under its name only by a rename, after it was verified; several
processes may fetch the same file at the same time, each works on its own copy and the last rename wins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facefusion.errors import ModelError
from facefusion.events import Emit, Event, Message
from facefusion.models.catalog import Catalog, ModelEntry
from facefusion.models.digests import file_sha256
from facefusion.models.fetch import Fetcher, origin_of
from facefusion.models.lockfile import LockFile, Mark, Record
from facefusion.options import quoted
from facefusion.stopping import StopFlag

State = Literal['present', 'missing', 'damaged']
# Below this a file is read again each time: it takes less than a tenth of a second.
CACHED_FROM_BYTES = 32 << 20
NO_DIGEST = 'none on record'


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one local file; the digests are empty unless a file was read."""

    state: State
    path: Path
    expected: str = ''
    actual: str = ''


class ModelStore:
    """Model files by id. Methods may be called from several threads; one fetch runs at a time.

    ``offline`` forbids every use of the network: what is missing is then an error.
    """

    def __init__(
        self, catalog: Catalog, weights: Path, *, offline: bool, emit: Emit, stop: StopFlag | None = None
    ) -> None:
        self.catalog = catalog
        self.weights = weights
        self.offline = offline
        self._emit_unsafe = emit
        self._emit_lock = threading.Lock()
        self._fetch_lock = threading.Lock()
        self._lock = LockFile(weights)
        self._fetcher = Fetcher(weights, self._lock, self._emit, stop or StopFlag())

    def path(self, model_id: str) -> Path:
        """The verified local file of a model, fetched (and converted) when it is missing or damaged.

        Raises ModelError: 'model-unknown'; offline 'model-missing-offline' and 'model-damaged'; online what ``fetch``
        raises.
        """
        check = self.check(model_id)
        if check.state != 'present':
            self.fetch([model_id])
            check = self.check(model_id)
        if check.state != 'present':
            # Another process or the disk changed it right after it was verified.
            raise self._damaged(model_id, check)
        return check.path

    def state(self, model_id: str) -> State:
        """Whether the local file is there and right; reads the file unless it is large and unchanged."""
        return self.check(model_id).state

    def fetch(self, model_ids: Iterable[str]) -> None:
        """Makes all these models present, several at a time; those that are present are left alone.

        Raises ModelError when one is unreachable, damaged at its source or missing while offline (the others are
        finished first), ResourceError when the disk is too small, OutputError when the folder cannot be written,
        Interrupted when the stop flag was set.
        """
        entries = [self.catalog.entry(model_id) for model_id in dict.fromkeys(model_ids)]
        with self._fetch_lock:
            wanted = []
            for entry in entries:
                check = self.check(entry.id)
                if check.state == 'present':
                    continue
                if self.offline:
                    raise self._damaged(entry.id, check) if check.state == 'damaged' else self._missing(entry)
                if check.state == 'damaged':
                    self._emit(Message('warn', 'models', _damage_text(entry.id, check) + ': fetching it again'))
                wanted.append(entry)
            if wanted:
                self._fetcher.fetch(wanted + self._companions(wanted))

    def check(self, model_id: str, *, thorough: bool = False) -> Check:
        """Verifies one local file; ``thorough`` reads it even when its time and size are those verified before."""
        entry = self.catalog.entry(model_id)
        path = self.weights / entry.file
        try:
            mark = Mark.of(path)
        except (FileNotFoundError, NotADirectoryError):
            return Check('missing', path)
        record = self._lock.record(model_id)
        expected = self._expected(entry, record)
        if expected is None:
            # A file made by an older recipe is like none; one that nothing is known of may be anything.
            return Check('missing', path) if record else Check('damaged', path, NO_DIGEST, file_sha256(path))
        cached = record is not None and record.verified == mark and record.sha256 == expected
        # Records come with the folder: whatever they say, a file of another size is not the published one.
        cached = cached and (entry.sha256 is None or mark.size == entry.size)
        if cached and mark.size >= CACHED_FROM_BYTES and not thorough:
            return Check('present', path, expected, expected)
        actual = file_sha256(path)
        if actual != expected:
            return self._second_look(entry, path, expected, actual)
        if mark.size >= CACHED_FROM_BYTES and not cached:
            self._remember(model_id, expected, mark)
        return Check('present', path, expected, actual)

    def verify(self, model_ids: Iterable[str]) -> list[Check]:
        """Reads every one of these files in full; raises ModelError 'model-damaged' naming all that are damaged."""
        checks = {model_id: self.check(model_id, thorough=True) for model_id in model_ids}
        damaged = {model_id: check for model_id, check in checks.items() if check.state == 'damaged'}
        if damaged:
            raise ModelError(
                'model-damaged',
                f'damaged: {", ".join(damaged)}',
                cause='; '.join(_damage_text(model_id, check) for model_id, check in damaged.items()),
                hint=f'run: {self._fetching(*damaged)}',
            )
        return list(checks.values())

    def pinned(self, model_id: str) -> str:
        """By what the file's digest is fixed: 'catalog', 'source' (converted from a verified source), 'first-use'
        (pinned when it was first downloaded), or '' when a first download will fix it."""
        entry = self.catalog.entry(model_id)
        if entry.sha256 is not None:
            return 'catalog'
        record = self._lock.record(model_id)
        if record is not None and record.how == 'first-use':
            return 'first-use'
        verified_source = any(origin_of(entry, source) is not None for source in entry.sources)
        return 'source' if entry.convert is not None and verified_source else ''

    def _expected(self, entry: ModelEntry, record: Record | None) -> str | None:
        """The digest that the local file must have, None when nothing says so."""
        if entry.sha256 is not None:
            return entry.sha256
        if record is None or record.how == 'catalog':
            return None
        if entry.convert is None or record.how == 'first-use':
            return record.sha256
        return record.sha256 if record.origin in {origin_of(entry, source) for source in entry.sources} else None

    def _second_look(self, entry: ModelEntry, path: Path, expected: str, actual: str) -> Check:
        """Another process may have replaced the file and its record between the reads: both are read once more."""
        again = self._expected(entry, self._lock.record(entry.id))
        if again is None or again == expected:
            return Check('damaged', path, expected, actual)
        actual = file_sha256(path)
        return Check('present' if actual == again else 'damaged', path, again, actual)

    def _remember(self, model_id: str, sha256: str, mark: Mark) -> None:
        try:
            self._lock.mark_verified(model_id, sha256, mark)
        except OSError as error:
            # A read-only folder is fine, it only makes each start a little slower.
            self._emit(Message('debug', 'models', f'cannot remember that {model_id} was verified: {error}'))

    def _companions(self, wanted: list[ModelEntry]) -> list[ModelEntry]:
        """Missing models from the same archives: they come along with the download."""
        taken = {entry.id for entry in wanted}
        archives = {self._fetcher.archive_of(entry) for entry in wanted} - {None}
        return [
            entry
            for entry in self.catalog
            if entry.id not in taken
            and self._fetcher.archive_of(entry) in archives
            and self.check(entry.id).state == 'missing'
        ]

    def _emit(self, event: Event) -> None:
        with self._emit_lock:
            self._emit_unsafe(event)

    def _missing(self, entry: ModelEntry) -> ModelError:
        return ModelError(
            'model-missing-offline',
            f'the model {entry.id} is not on this machine, and --offline forbids to fetch it',
            cause=f'there is no {self.weights / entry.file}',
            hint=f'run once with network: {self._fetching(entry.id)}',
        )

    def _fetching(self, *model_ids: str) -> str:
        return f'facefusion models fetch {" ".join(model_ids)} --models-path {quoted(str(self.weights))}'

    def _damaged(self, model_id: str, check: Check) -> ModelError:
        return ModelError(
            'model-damaged',
            f'the file of the model {model_id} is damaged: {check.path}',
            cause=f'expected sha256 {check.expected}, got {check.actual}',
            hint=f'run with network: {self._fetching(model_id)}',
        )


def _damage_text(model_id: str, check: Check) -> str:
    return f'{model_id} is damaged ({check.path}: expected sha256 {check.expected}, got {check.actual})'
