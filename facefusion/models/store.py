"""The weights folder: verified model files, fetched and converted when they are missing.

``weights/`` contains the files under their names in the catalogue, ``lock.json`` and, during a fetch, ``.fetching/``.
A file gets its name only after it was verified. Several processes may fetch the same file at the same time:
each writes its own copy, and the last rename wins.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from facefusion.errors import ModelError
from facefusion.events import Emit, Event, Message
from facefusion.models.accepted import AcceptedFile, accepted_files, is_own, origin_of
from facefusion.models.catalog import Catalog, Contract, HttpsSource, ModelEntry
from facefusion.models.digests import file_sha256
from facefusion.models.fetch import Fetcher, archive_of
from facefusion.models.lockfile import How, LockFile, Record, Stamp
from facefusion.models.onnx_tensors import require_tensors
from facefusion.options import quoted
from facefusion.stopping import StopFlag

State = Literal['present', 'missing', 'damaged']
# Smaller files are read again at each check, which takes less than a tenth of a second.
CACHED_FROM_BYTES = 32 << 20
NO_DIGEST = 'unknown'


@dataclass(frozen=True, slots=True)
class Check:
    """The state of one local file; the digests are empty unless a file was read.

    ``how`` states how the digest of a present file is known; it is 'imported' for a damaged file that the user
    imported, and otherwise empty.
    """

    state: State
    path: Path
    expected: str = ''
    actual: str = ''
    how: How | Literal[''] = ''


class ModelStore:
    """Model files by id. Methods may be called from several threads; one fetch runs at a time.

    ``offline`` forbids every use of the network: a missing file is then an error.
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
        # The stamps and digests of the files that this store has read.
        self._read: dict[Path, tuple[Stamp, str]] = {}
        self.lock = LockFile(weights)
        self._fetcher = Fetcher(weights, self.lock, self._emit, stop or StopFlag())

    def path(self, model_id: str) -> Path:
        """Return the verified local file of a model; fetch (and convert) it when it is missing or damaged.

        A file that the user imported is never replaced. Raises ModelError 'model-unknown'; when offline,
        'model-missing-offline' or 'model-damaged'; otherwise the errors of ``fetch``; and for a file without a
        published digest 'model-tensors' or 'model-not-onnx'.
        """
        check = self.check(model_id)
        if check.state != 'present':
            self.fetch([model_id])
            check = self.check(model_id)
        if check.state != 'present':
            # Another process or the disk changed the file right after its verification.
            raise self._damaged(model_id, check)
        if check.how in ('first-use', 'imported'):
            # Without a published digest, only the tensors can show that this is the network of the catalogue.
            require_tensors(self.catalog.entry(model_id), check.path)
        return check.path

    def contract(self, model_id: str) -> Contract:
        """Return the catalogue's contract of a model. Raises ModelError model-unknown, model-contract."""
        contract = self.catalog.entry(model_id).contract
        if contract is None:
            raise ModelError('model-contract', f'the catalogue states no contract for {model_id}')
        return contract

    def state(self, model_id: str) -> State:
        """Return the state of the local file; reads the file unless it is large and unchanged."""
        return self.check(model_id).state

    def file_size(self, model_id: str) -> int | None:
        """Return the size of the local file in bytes without verifying it, None without a file.

        Raises ModelError 'model-unknown'.
        """
        try:
            return (self.weights / self.catalog.entry(model_id).file).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def published_bytes(self, model_id: str) -> int:
        """Return the size of published weights by the catalogue, else of the local file, else 0.

        It is 0 for a model from a package. Raises ModelError 'model-unknown'.
        """
        entry = self.catalog.entry(model_id)
        if not any(isinstance(source, HttpsSource) for source in entry.sources):
            return 0
        return entry.size or self.file_size(model_id) or 0

    def fetch(self, model_ids: Iterable[str]) -> None:
        """Fetch the models that are missing or damaged, several at a time.

        Raises ModelError when a model is unreachable, damaged at its source or missing while offline (after the others
        are finished), or was imported and has changed since; ResourceError when disk space is short, OutputError when
        the folder cannot be written, Interrupted when the stop flag is set.
        """
        entries = [self.catalog.entry(model_id) for model_id in dict.fromkeys(model_ids)]
        with self._fetch_lock:
            wanted = []
            for entry in entries:
                check = self.check(entry.id)
                if check.state == 'present':
                    continue
                if check.how == 'imported':
                    raise self._damaged(entry.id, check)
                if self.offline:
                    raise self._damaged(entry.id, check) if check.state == 'damaged' else self._missing(entry)
                if check.state == 'damaged':
                    self._emit(Message('warn', 'models', f'{_damage_text(entry.id, check)}: fetching it again'))
                wanted.append(entry)
            if wanted:
                self._fetcher.fetch(wanted + self._companions(wanted))

    def check(self, model_id: str, *, thorough: bool = False) -> Check:
        """Verify one local file; ``thorough`` reads it even when its stamp is unchanged since its verification."""
        entry = self.catalog.entry(model_id)
        path = self.weights / entry.file
        try:
            stamp = Stamp.of(path)
        except (FileNotFoundError, NotADirectoryError):
            return Check('missing', path)
        record = self.lock.record(model_id)
        accepted = accepted_files(entry, record)
        if not accepted:
            # A file of an outdated recipe counts as missing; a file without a record may contain anything.
            return Check('missing', path) if record else Check('damaged', path, NO_DIGEST, file_sha256(path))
        verified = _verified_before(record, accepted, stamp)
        if verified and stamp.size >= CACHED_FROM_BYTES and not thorough:
            return Check('present', path, verified, verified, accepted[verified].how)
        known_stamp, actual = self._read.get(path, (None, ''))
        if known_stamp != stamp or thorough:
            actual = file_sha256(path)
            self._read[path] = stamp, actual
        if actual not in accepted:
            return self._check_again(entry, path, record, actual)
        if stamp.size >= CACHED_FROM_BYTES and not verified:
            try:
                self.lock.mark_verified(model_id, actual, accepted[actual].how, stamp)
            except OSError as error:
                # In a read-only folder the file is read again at each start, which is only a little slower.
                self._emit(Message('debug', 'models', f'cannot record that {model_id} is verified: {error}'))
        return Check('present', path, actual, actual, accepted[actual].how)

    def verify(self, model_ids: Iterable[str]) -> list[Check]:
        """Read all these files in full; raises ModelError 'model-damaged' with the names of the damaged ones."""
        checks = {model_id: self.check(model_id, thorough=True) for model_id in model_ids}
        damaged = {model_id: check for model_id, check in checks.items() if check.state == 'damaged'}
        if damaged:
            raise ModelError(
                'model-damaged',
                f'damaged: {", ".join(damaged)}',
                cause='; '.join(_damage_text(model_id, check) for model_id, check in damaged.items()),
                hint='; '.join(self._repair_hints(damaged)),
            )
        return list(checks.values())

    def pinned(self, model_id: str, check: Check | None = None) -> str:
        """Return the origin of the file's digest; an earlier ``check`` saves reading the file again.

        The origin is 'catalog', 'source' (of a package, or converted from a verified source), 'alternate', 'first-use'
        (pinned at the first download), 'imported' (by the user), or '' before a first download.
        """
        entry, how = self.catalog.entry(model_id), (check or self.check(model_id)).how
        if how:
            return 'source' if how == 'converted' else how
        if entry.sha256 is not None:
            return 'catalog'
        record = self.lock.record(model_id)
        if record is not None and record.how == 'first-use':
            return 'first-use'
        verified_source = any(origin_of(entry, source) is not None for source in entry.sources)
        return 'source' if entry.convert is not None and verified_source else ''

    def _check_again(self, entry: ModelEntry, path: Path, record: Record | None, actual: str) -> Check:
        """Read file and record once more: another process may have replaced both between the reads."""
        again = self.lock.record(entry.id)
        accepted = accepted_files(entry, again)
        if accepted and accepted != accepted_files(entry, record):
            actual = file_sha256(path)
            if actual in accepted:
                return Check('present', path, actual, actual, accepted[actual].how)
        expected = again.sha256 if again is not None and again.sha256 in accepted else next(iter(accepted), NO_DIGEST)
        return Check('damaged', path, expected, actual, 'imported' if is_own(entry, again) else '')

    def _companions(self, wanted: list[ModelEntry]) -> list[ModelEntry]:
        """Return the missing models in the archives that are downloaded for the wanted ones."""
        archives = {archive_of(entry) for entry in wanted} - {None}
        others = [entry for entry in self.catalog if entry not in wanted and archive_of(entry) in archives]
        return [entry for entry in others if self.check(entry.id).state == 'missing']

    def _emit(self, event: Event) -> None:
        with self._emit_lock:
            self._emit_unsafe(event)

    def _missing(self, entry: ModelEntry) -> ModelError:
        return ModelError(
            'model-missing-offline',
            f'the model {entry.id} is not on this machine, and --offline forbids fetching it',
            cause=f'{self.weights / entry.file} does not exist',
            hint=f'run once with network access: {self.fetch_command(entry.id)}',
        )

    def fetch_command(self, *model_ids: str) -> str:
        """Return the command that fetches models into the folder of this store."""
        return f'facefusion models fetch {" ".join(model_ids)} --models-path {quoted(str(self.weights))}'

    def _damaged(self, model_id: str, check: Check) -> ModelError:
        return ModelError(
            'model-damaged',
            f'the file of the model {model_id} is damaged: {check.path}',
            cause=f'expected sha256 {check.expected}, got {check.actual}',
            hint='; '.join(self._repair_hints({model_id: check})),
        )

    def _repair_hints(self, damaged: Mapping[str, Check]) -> Iterator[str]:
        """Yield the commands that repair these files; a fetch never replaces an imported file."""
        fetched = [model_id for model_id, check in damaged.items() if check.how != 'imported']
        if fetched:
            yield f'run with network access: {self.fetch_command(*fetched)}'
        folder = quoted(str(self.weights))
        for model_id in (model_id for model_id in damaged if model_id not in fetched):
            command = f'facefusion models import FILE --as {model_id} --models-path {folder}'
            yield f'it was imported: import it again ({command}), or delete {damaged[model_id].path} and fetch it'


def _verified_before(record: Record | None, accepted: Mapping[str, AcceptedFile], stamp: Stamp) -> str:
    """Return the digest of a file that is unchanged since its verification, or '' for any other file."""
    if record is None or record.verified != stamp or record.sha256 not in accepted:
        return ''
    # A record may be wrong, for example in a copied folder. A file of another size is not the published file.
    return record.sha256 if accepted[record.sha256].size in (None, stamp.size) else ''


def _damage_text(model_id: str, check: Check) -> str:
    return f'{model_id} is damaged ({check.path}: expected sha256 {check.expected}, got {check.actual})'
