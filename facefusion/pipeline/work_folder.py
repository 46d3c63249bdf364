"""The work folder of a step: finished chunks and segments with their manifests, for the next run to resume from.

A file gets its final name when it is complete, and its manifest is written after that. The names of partial files
contain the tag of their process, so that two processes at the same step never write into the same file. Two
processes can be at the same step if one was wrongly considered dead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from facefusion.errors import ContentRefused, Interrupted, JobError, MediaError, OutputError, ResourceError
from facefusion.faces.chunk import ArrayRecord, LinkedChunk, Selection
from facefusion.media.files import called, ffmpeg_name, write_failure, write_synced
from facefusion.media.join import Opener
from facefusion.models.digests import file_sha256
from facefusion.ownership import new_owner, split_tag
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.manifest import Manifest, WorkKey, manifest_bytes, read_manifest
from facefusion.pipeline.output import make_folder
from facefusion.pipeline.plan import Span
from facefusion.stopping import StopFlag
from facefusion.work_lease import AT_WORK

_FINISHED = ('chunk-', 'segment-', 'clip.')
Record = TypeVar('Record', bound=ArrayRecord)


class WorkFolder:
    """The files of one step and one plan in ``path``, and the ``cache`` of chunks for other runs."""

    def __init__(self, path: Path, digests: RunDigests, cache: AnalysisCache) -> None:
        self.path = path
        self.digests = digests
        self.cache = cache
        self._tag = new_owner().tag
        self._marker = path / f'{AT_WORK}{self._tag}'

    def open(self) -> None:
        """Create the folder, mark it as in use, and remove partial files of dead processes.

        Raises OutputError, ResourceError.
        """
        make_folder(self.path)
        try:
            self._marker.touch()
        except OSError as error:
            raise write_failure(error, self.path) from None
        for path in self.path.iterdir():
            tagged = split_tag(path.name.partition('#')[0])
            if tagged is not None and tagged[1].is_dead():
                with suppress(OSError):
                    _remove(path)

    def chunk_path(self, first: int) -> Path:
        """Return the file of the chunk that starts at source frame ``first``."""
        return self.path / f'chunk-{first:09d}.npz'

    def part(self, path: Path) -> Path:
        """Return the name under which this process writes ``path``."""
        return path.with_name(f'{path.stem}@{self._tag}#{path.suffix}')

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """Yield ``part(path)``, to be written in the block; errors name ``path``. Raises ResourceError, OutputError."""
        part = self.part(path)
        with called(path.name, part):
            try:
                yield part
            except OSError as error:
                raise write_failure(error, path) from None

    def publish(
        self,
        key: WorkKey,
        path: Path,
        flag: StopFlag,
        facts: Mapping[str, Any] | None = None,
        sha256: str | None = None,
    ) -> Manifest:
        """Rename the complete file ``part(path)`` to ``path``, replacing any existing file, and write its manifest.

        The file is read to compute its digest unless the digest is given. Raises ResourceError disk-full, OutputError
        output-unwritable, Interrupted.
        """
        part = self.part(path)
        manifest_part = self.part(manifest_path(path))
        try:
            manifest = Manifest(key, part.stat().st_size, sha256 or file_sha256(part, flag), facts or {})
            if read_manifest(manifest_path(path)) == manifest:
                # The file has not changed, so keep its manifest, which another process at this step may be reading.
                part.replace(path)
                return manifest
            write_synced(manifest_part, manifest_bytes(manifest))
            flag.check()
            # An old manifest must never describe a new file, so it is removed before the file is replaced.
            _remove(manifest_path(path))
            part.replace(path)
            manifest_part.replace(manifest_path(path))
        except OSError as error:
            raise write_failure(error, path) from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
                manifest_part.unlink(missing_ok=True)
        return manifest

    def find_intact(self, key: WorkKey, path: Path, flag: StopFlag) -> Manifest | None:
        """Return the manifest of ``path`` if the file is intact and has this key; otherwise remove both files."""
        manifest = read_manifest(manifest_path(path))
        if manifest is not None and manifest.key == key and manifest.matches(path, flag):
            return manifest
        with suppress(OSError):
            _remove(manifest_path(path))
            _remove(path)
        return None

    def save(
        self, key: WorkKey, path: Path, record: ArrayRecord, flag: StopFlag, facts: Mapping[str, Any] | None = None
    ) -> Manifest:
        """Write a record with its manifest. Raises ResourceError, OutputError, Interrupted."""
        with self.writing(path) as part:
            digest = record.save(part)
        return self.publish(key, path, flag, facts, digest)

    def load(self, kind: type[Record], key: WorkKey, path: Path, flag: StopFlag) -> tuple[Record, Manifest]:
        """Verify a saved record and return it with its manifest. Raises ResourceError work-file-damaged, Interrupted.

        The file is read once: its bytes are compared with the digest before they are parsed.
        """
        flag.check()
        manifest = read_manifest(manifest_path(path))
        if manifest is None or manifest.key != key:
            raise _damaged(path, None)
        with suppress(OSError):
            data = path.read_bytes() if manifest.has_size_of(path) else b''
            if hashlib.sha256(data).hexdigest() == manifest.sha256:
                return kind.load(path, data), manifest
        raise _damaged(path, manifest)

    def save_linked(self, record: LinkedChunk | Selection, span: Span, flag: StopFlag) -> None:
        """Write all faces of the frames ``span``, or the selection. Raises the errors of ``save``."""
        self.save(*self._linked_file(type(record), span), record, flag)

    def load_linked(self, kind: type[Record], span: Span, flag: StopFlag) -> Record:
        """Return all faces of the frames ``span``, or the selection. Raises the errors of ``load``."""
        return self.load(kind, *self._linked_file(kind, span), flag)[0]

    def load_selected(self, span: Span, flag: StopFlag) -> LinkedChunk:
        """Return the selected faces of the frames ``span``. Raises the errors of ``load``."""
        selection = self.load_linked(Selection, span, flag)
        return self.load_linked(LinkedChunk, span, flag).select(selection)

    def _linked_file(self, kind: type[ArrayRecord], span: Span) -> tuple[WorkKey, Path]:
        name = 'linked' if kind is LinkedChunk else 'selected'
        return WorkKey(name, self.digests.plan, *span), self.path / f'{name}-{span.start:09d}.npz'

    def check_intact(self, files: Iterable[tuple[Path, Manifest]], flag: StopFlag) -> None:
        """Raise ResourceError work-file-damaged for a file that is missing or altered.

        All bytes are read. Raises Interrupted when the flag is set.
        """
        for path, manifest in files:
            if not manifest.matches(path, flag):
                raise _damaged(path, manifest)

    @contextmanager
    def verifying(self, files: Sequence[tuple[Path, Manifest]], flag: StopFlag) -> Iterator[Opener]:
        """Yield a function that opens these files for FFmpeg and verifies the bytes that it reads.

        If the block fails because of a damaged file, the error of ``check_intact`` is raised instead.
        """
        for path, manifest in files:
            if not manifest.has_size_of(path):
                raise _damaged(path, manifest)
        manifests = dict(files)
        try:
            yield lambda path: self._open_verified(path, manifests[path], flag)
        except Exception as error:
            is_other = isinstance(error, Interrupted | MediaError | OutputError)
            if not is_other and getattr(error, 'reference', '') not in ('disk-full', 'work-file-damaged'):
                self.check_intact(files, flag)
            raise

    @contextmanager
    def _open_verified(self, path: Path, manifest: Manifest, flag: StopFlag) -> Iterator[_HashingReader | str]:
        if path.suffix == '.mov':
            # The index of a mov file is at its end, so FFmpeg cannot read the file sequentially.
            yield ffmpeg_name(path)
            self.check_intact([(path, manifest)], flag)
            return
        with path.open('rb') as file:
            reader = _HashingReader(file)
            yield reader
            while reader.read(1 << 20):
                flag.check()
        if reader.sha256.hexdigest() != manifest.sha256:
            raise _damaged(path, manifest)

    def remove_segments(self) -> None:
        """Remove all segments, because their frames are now in the joined clip."""
        self._remove_all('segment-')

    def free_space(self) -> None:
        """Free space for the job store on a full disk: remove linked chunks, which are quick to create again."""
        self._remove_all('linked-', 'selected-')

    def _remove_all(self, *starts: str) -> None:
        with suppress(OSError):
            for path in sorted(self.path.iterdir()):
                if path.name.startswith(starts) and '@' not in path.name:
                    _remove(path)

    def close(self) -> None:
        """Remove the marker and the partial files of this process."""
        with suppress(OSError):
            for path in list(self.path.iterdir()):
                if f'@{self._tag}' in path.name:
                    path.unlink(missing_ok=True)

    def has_results(self) -> bool:
        """Whether the folder contains finished chunks, segments or a clip."""
        try:
            return any(path.name.startswith(_FINISHED) and '@' not in path.name for path in self.path.iterdir())
        except OSError:
            return False

    @contextmanager
    def explaining_removal(self) -> Iterator[None]:
        """If the block fails because the folder was removed, raise ResourceError work-folder-gone."""
        try:
            yield
        except (Interrupted, JobError, ContentRefused):
            # These errors have other causes, even if the folder is also missing because the process lost its job.
            raise
        except Exception as error:
            # The marker is missing if the folder was removed and created again.
            if not self._marker.exists() or self._misses_file(error):
                raise ResourceError(
                    'work-folder-gone',
                    f'work files in {self.path} were removed while the run used them',
                    cause=str(error),
                    hint='run the same command again, and leave the folder alone; nothing was written to the output',
                ) from error
            raise

    def _misses_file(self, error: BaseException) -> bool:
        """Whether a missing file of this folder caused the error."""
        reason = error if isinstance(error, FileNotFoundError) else error.__cause__ or error.__context__
        if not isinstance(reason, FileNotFoundError) or not reason.filename:
            return False
        return Path(os.fsdecode(reason.filename)).absolute().parent == self.path.absolute()


class _HashingReader:
    """Hashes the bytes read from a file. It has no seek method, so FFmpeg reads each byte once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def manifest_path(path: Path) -> Path:
    """Return the path of the manifest of a work file."""
    return path.with_suffix('.json')


def _damaged(path: Path, manifest: Manifest | None) -> ResourceError:
    name = path.name.partition('@')[0]
    expected = f'; expected: {manifest.size} bytes with the SHA-256 {manifest.sha256[:12]}...' if manifest else ''
    return ResourceError(
        'work-file-damaged',
        f'{name}, which this run needs, is {"altered" if path.exists() else "missing"}',
        cause=f'its folder is {path.parent}{expected}',
        hint='run the same command again: it creates damaged work files again',
    )


def _remove(path: Path) -> None:
    """Remove a work file, or a folder of this name with its content. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
