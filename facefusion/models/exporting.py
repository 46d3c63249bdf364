"""Export the model files of this machine, with a manifest, for a machine without network access."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from facefusion.errors import ModelError, OutputError, UsageError
from facefusion.events import Emit
from facefusion.models.catalog import ModelEntry
from facefusion.models.copying import Report, copy_reported
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import require_space, storage_error
from facefusion.models.manifest import MANIFEST_NAME, ExportedModel, manifest_bytes, read_manifest
from facefusion.models.store import Check, ModelStore
from facefusion.models.workspace import workspace
from facefusion.stopping import StopFlag

_REMEDY = 'export to another folder'


class Exported(NamedTuple):
    """The result for one model.

    ``state`` is 'present' if the folder already has the file, 'damaged' if the file is damaged and thus not exported.
    """

    model: str
    state: Literal['exported', 'present', 'damaged']
    how: str


class _Present(NamedTuple):
    """A verified file of this machine."""

    entry: ModelEntry
    check: Check
    listed: ExportedModel


def export_models(store: ModelStore, folder: Path, emit: Emit, stop: StopFlag) -> list[Exported]:
    """Copy all verified model files into ``folder``, write its manifest, and return the result for each model.

    Files already there are skipped. Only files of an earlier export are replaced. Raises UsageError export-folder when
    ``folder`` is the models folder itself, ModelError export-empty, OutputError export-exists or models-folder,
    ResourceError, and Interrupted. No partial file remains.
    """
    if folder.resolve() == store.weights.resolve():
        raise UsageError('export-folder', f'{folder} is the models folder itself', hint=_REMEDY)
    files, damaged = _files_of(store)
    if not files:
        raise ModelError(
            'export-empty', f'there is no model file in {store.weights}', hint='fetch models: facefusion models fetch'
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = _missing_files(files, folder, stop)
        require_space(folder, sum(file.listed.size for file in missing), _REMEDY)
        for file in missing:
            with workspace(folder, file.entry.file, resumable=False) as space:
                copy = space.path / file.entry.file
                copy_reported(file.check.path, copy, file.check.actual, Report('export', emit, stop, space.touch))
                _publish(copy, folder / file.entry.file)
        with workspace(folder, MANIFEST_NAME, resumable=False) as space:
            manifest = space.path / MANIFEST_NAME
            manifest.write_bytes(manifest_bytes([file.listed for file in files]))
            _publish(manifest, folder / MANIFEST_NAME)
    except OSError as error:
        raise storage_error(error, folder, _REMEDY) from None
    results = [Exported(f.entry.id, 'exported' if f in missing else 'present', f.check.how) for f in files]
    return [*results, *damaged]


def _files_of(store: ModelStore) -> tuple[list[_Present], list[Exported]]:
    """Return the verified files of the store, and results for the damaged ones."""
    files, damaged = [], []
    for entry in store.catalog:
        check = store.check(entry.id)
        if check.state == 'damaged':
            damaged.append(Exported(entry.id, 'damaged', check.how))
        if check.state == 'present' and check.how:
            record = store.lock.record(entry.id)
            origin = record.origin if record is not None and record.sha256 == check.actual else ''
            size = check.path.stat().st_size
            listed = ExportedModel(entry.id, entry.file, check.actual, size, check.how, origin)
            files.append(_Present(entry, check, listed))
    return files, damaged


def _missing_files(files: list[_Present], folder: Path, stop: StopFlag) -> list[_Present]:
    """Return the files missing from the folder; raises OutputError for a file that no earlier export wrote."""
    try:
        before = {model.file: model.sha256 for model in read_manifest(folder).models}
    except ValueError as error:
        raise _exists(folder / MANIFEST_NAME, f'it is not a manifest of exported models: {error}') from None
    missing = []
    for file in files:
        path = folder / file.entry.file
        actual = file_sha256(path, stop) if path.is_file() else None
        if actual is None and path.exists():
            raise _exists(path, 'it is not a regular file')
        if actual is not None and actual not in (file.check.actual, before.get(path.name)):
            raise _exists(path, f'its sha256 is {actual}, but the model has {file.check.actual}')
        if actual != file.check.actual:
            missing.append(file)
    return missing


def _exists(path: Path, cause: str) -> OutputError:
    return OutputError('export-exists', f'{path} exists and does not come from an export', cause=cause, hint=_REMEDY)


def _publish(path: Path, target: Path) -> None:
    with path.open('rb+') as stream:
        os.fsync(stream.fileno())
    path.replace(target)
