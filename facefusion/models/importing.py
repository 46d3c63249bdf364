"""Import model files of the user: recognise each by its digest, or check that it can be the model that the user states.

A file is copied, never moved. The copy gets its name in the weights folder only after it has been verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from facefusion.errors import ModelError
from facefusion.events import Emit, Message
from facefusion.models.accepted import accepted_files, origin_of
from facefusion.models.catalog import ModelEntry, PackageSource, Source
from facefusion.models.copying import Report, copy_reported, source_sha256
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import require_space, storage_error
from facefusion.models.lockfile import LOCK_NAME, How, Record, Stamp
from facefusion.models.manifest import MANIFEST_NAME, ExportedModel, read_manifest
from facefusion.models.onnx_tensors import require_tensors
from facefusion.models.publishing import publish
from facefusion.models.store import ModelStore
from facefusion.models.workspace import workspace
from facefusion.options import quoted
from facefusion.stopping import StopFlag

# The suffix of the checksum files that FaceFusion 3.8 stores next to its models.
_CHECKSUM_SUFFIX = '.hash'


class Imported(NamedTuple):
    """The result for one file; if it was not imported, ``model`` is '' and ``reason`` states the cause.

    ``state`` is 'present' when the weights folder already contained the same file.
    """

    path: Path
    state: Literal['imported', 'present', 'unknown', 'refused']
    model: str = ''
    how: How | Literal[''] = ''
    reason: str = ''


class _Match(NamedTuple):
    """The model that matches a file; ``source`` is set for a file that must be converted first."""

    entry: ModelEntry
    how: How
    origin: str = ''
    source: Source | None = None


class Importer:
    """Imports files into a model store; ``may_use`` raises ModelError for models that the policy forbids."""

    def __init__(self, store: ModelStore, emit: Emit, stop: StopFlag, may_use: Callable[[str], None]) -> None:
        self._store = store
        self._emit = emit
        self._stop = stop
        self._may_use = may_use

    def import_file(self, path: Path, model_id: str = '') -> Imported:
        """Import a file whose digest is known, or that the user states to be the model ``model_id``.

        Raises ModelError model-unknown-file for any other file, model-published-only, model-tensors, model-not-onnx and
        the errors of reading; ResourceError and OutputError when it cannot be stored; Interrupted. A failed import
        leaves nothing behind.
        """
        sha256 = source_sha256(path, self._stop)
        if model_id:
            return self._store_copy(path, sha256, self._stated(path, sha256, self._store.catalog.entry(model_id)))
        match = self._recognised(sha256)
        if match is None:
            raise self._unknown(path, sha256)
        return self._store_copy(path, sha256, match)

    def import_folder(self, folder: Path) -> Iterator[Imported]:
        """Import the files that the catalogue or the manifest of ``folder`` lists, and yield the result for each file.

        Subfolders, hidden files and checksums are skipped. Raises ModelError model-file-unreadable, and the errors of
        ``import_file`` that concern the weights folder.
        """
        listed = self._listed_models(folder)
        try:
            paths = sorted(path for path in folder.iterdir() if not path.is_dir())
        except OSError as error:
            raise ModelError(
                'model-file-unreadable', f'{folder} cannot be read', cause=str(error), hint='check its permissions'
            ) from None
        for path in paths:
            is_model = path.suffix != _CHECKSUM_SUFFIX and path.name not in (MANIFEST_NAME, LOCK_NAME)
            if is_model and not path.name.startswith('.'):
                yield self._import_member(path, listed.get(path.name))
        for name in sorted(listed.keys() - {path.name for path in paths}):
            yield Imported(folder / name, 'refused', reason='the manifest lists it, but it does not exist')

    def _listed_models(self, folder: Path) -> dict[str, ExportedModel]:
        """Return the models of the manifest by file name; a manifest.json of another program is ignored."""
        try:
            return {model.file: model for model in read_manifest(folder).models}
        except (OSError, ValueError) as error:
            text = f'{folder / MANIFEST_NAME} is not a manifest of exported models and is ignored: {error}'
            self._emit(Message('warn', 'models', text))
            return {}

    def _import_member(self, path: Path, listed: ExportedModel | None) -> Imported:
        try:
            sha256 = source_sha256(path, self._stop)
            match = self._recognised(sha256) or (self._listed(path, sha256, listed) if listed else None)
            if match is None:
                return Imported(path, 'unknown', reason=f'sha256 {sha256}{self._suggestion(path)}')
            return self._store_copy(path, sha256, match)
        except ModelError as error:
            return Imported(path, 'refused', reason=': '.join(filter(None, (error.message, error.cause))))

    def _recognised(self, sha256: str) -> _Match | None:
        """Return the model with this digest: published, from a package, an alternate, or recorded in lock.json."""
        records = self._store.lock.records()
        for entry in self._store.catalog:
            record = records.get(entry.id)
            accepted = accepted_files(entry, record).get(sha256)
            if accepted is not None:
                return _Match(entry, accepted.how, record.origin if record and record.sha256 == sha256 else '')
            for source in entry.sources if entry.convert else ():
                # A conversion that needs two files cannot start from one of them.
                is_single = not isinstance(source, PackageSource) or source.companion is None
                if is_single and source.published[0] == sha256:
                    return _Match(entry, 'converted', origin_of(entry, source) or '', source)
        return None

    def _stated(self, path: Path, sha256: str, entry: ModelEntry) -> _Match:
        """Return the match for a file that the user states to be ``entry``; raises ModelError when it cannot be."""
        known = self._recognised(sha256)
        if known is not None and known.entry.id == entry.id:
            return known
        if entry.is_guarding or entry.is_example:
            expected = ' or '.join(entry.published_files()) or 'from the catalogue'
            raise ModelError(
                'model-published-only',
                f'{path} is not the published file of {entry.id}, and no other file is accepted for this model',
                cause=f'expected sha256 {expected}, got {sha256}',
                hint=f'fetch it: facefusion models fetch {entry.id}',
            )
        if known is not None:
            text = f'{path} is the file of the model {known.entry.id}: importing it as {entry.id} anyway'
            self._emit(Message('warn', 'models', text))
        require_tensors(entry, path)
        return _Match(entry, 'imported')

    def _listed(self, path: Path, sha256: str, listed: ExportedModel) -> _Match | None:
        """Return the match for a file that only the manifest of its folder lists; None for an unknown model."""
        if sha256 != listed.sha256:
            raise ModelError('model-damaged', f'{path} is damaged', cause=f'expected {listed.sha256}, got {sha256}')
        if listed.id not in self._store.catalog:
            return None
        entry = self._store.catalog.entry(listed.id)
        if listed.how == 'imported':
            return self._stated(path, sha256, entry)
        record = Record(sha256, listed.how, listed.origin)
        if sha256 not in accepted_files(entry, record):
            return None
        if listed.how == 'first-use':
            require_tensors(entry, path)
        return _Match(entry, listed.how, listed.origin)

    def _store_copy(self, path: Path, sha256: str, match: _Match) -> Imported:
        entry, weights = match.entry, self._store.weights
        self._may_use(entry.id)
        check = self._store.check(entry.id)
        if check.state == 'present' and self._is_there(sha256, match, check.actual):
            return Imported(path, 'present', entry.id, check.how)
        if check.state == 'present':
            text = f'{entry.id}: the file with sha256 {check.actual} is replaced by the import'
            self._emit(Message('info', 'models', text))
        try:
            weights.mkdir(parents=True, exist_ok=True)
            require_space(weights, path.stat().st_size * (2 if match.source else 1))
            with workspace(weights, entry.file, resumable=False) as space:
                copy = space.path / entry.file
                copy_reported(path, copy, sha256, Report('import', self._emit, self._stop, space.touch))
                result, record = self._finish(copy, sha256, match)
                self._stop.check()
                publish(result, entry, weights, self._store.lock, record)
        except OSError as error:
            raise storage_error(error, weights) from None
        return Imported(path, 'imported', entry.id, match.how)

    def _is_there(self, sha256: str, match: _Match, actual: str) -> bool:
        """Whether the weights folder already contains the file that an import would publish."""
        if match.source is None:
            return actual == sha256
        record = self._store.lock.record(match.entry.id)
        return record is not None and record.origin == match.origin and record.sha256 == actual

    def _finish(self, copy: Path, sha256: str, match: _Match) -> tuple[Path, Record]:
        """Return the file to publish, converted if the match requires it, and its record."""
        convert = match.entry.convert
        if match.source is not None and convert is not None:
            from facefusion.models.convert.recipes import convert as convert_file

            result = copy.with_name(f'{match.entry.id}.converted')
            self._emit(Message('info', 'models', f'converting {match.entry.id} to ONNX'))
            convert_file(convert.recipe, copy, result)
            return result, Record(file_sha256(result), 'converted', match.origin)
        return copy, Record(sha256, match.how, match.origin, Stamp.of(copy))

    def _unknown(self, path: Path, sha256: str) -> ModelError:
        catalog = self._store.catalog
        unpinned = sum(not entry.published_files() and entry.convert is None for entry in catalog)
        cause = f'its sha256 is {sha256}'
        if unpinned:
            cause += f'; {unpinned} models have no published sha256, so their files cannot be recognised'
        model = next((entry.id for entry in catalog if entry.file == path.name), 'MODEL_ID')
        return ModelError(
            'model-unknown-file',
            f'the file {path} is not in the catalogue',
            cause=cause,
            hint=f'if you trust it, state its model: facefusion models import {quoted(str(path))} --as {model}',
        )

    def _suggestion(self, path: Path) -> str:
        """Return advice for an unknown file with the name of a model."""
        for entry in self._store.catalog:
            if entry.file == path.name:
                return f'; if you trust it as {entry.id}, import it alone with --as {entry.id}'
        return ''
