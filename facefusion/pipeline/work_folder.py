"""The work folder of a step: finished chunks and segments, each with its manifest, for the next run to go on with.

A file has its name only when it is whole; its manifest is named after it. Files that are being written bear the tag of
their process, so that two processes at the same step (one was thought dead) do not write into each other's.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facefusion.errors import ContentRefused, Interrupted, JobError, MediaError, OutputError, ResourceError
from facefusion.faces.chunk import LinkedChunk, Selection
from facefusion.media.files import called, write_failure, write_synced
from facefusion.ownership import new_owner, split_tag
from facefusion.pipeline.analysis_cache import AnalysisCache
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.manifest import Manifest, WorkKey, describe_work, manifest_bytes, read_manifest
from facefusion.pipeline.output import make_folder
from facefusion.pipeline.plan import Span
from facefusion.stopping import StopFlag
from facefusion.work_lease import AT_WORK

_CLIP = 'clip'
_FINISHED = ('chunk-', 'segment-', f'{_CLIP}.')


class WorkFolder:
    """The files of one step and one plan in ``path``, and the ``cache`` of what other runs may use of them."""

    def __init__(self, path: Path, digests: RunDigests, cache: AnalysisCache) -> None:
        self.path = path
        self.digests = digests
        self.cache = cache
        self._tag = new_owner().tag
        self._shown = path / f'{AT_WORK}{self._tag}'

    def open(self) -> None:
        """Makes the folder, shows others that it is worked in, and removes what dead processes have left half done.

        Raises OutputError, ResourceError.
        """
        make_folder(self.path)
        try:
            self._shown.touch()
        except OSError as error:
            raise write_failure(error, self.path) from None
        for path in self.path.iterdir():
            tagged = split_tag(path.name.partition('#')[0])
            if tagged is not None and tagged[1].is_dead():
                with suppress(OSError):
                    _remove(path)

    def chunk_path(self, first: int) -> Path:
        """The file of the chunk that begins with source frame ``first``."""
        return self.path / f'chunk-{first:09d}.npz'

    def _linked_path(self, first: int) -> Path:
        return self.path / f'linked-{first:09d}.npz'

    def _selection_path(self, first: int) -> Path:
        return self.path / f'selected-{first:09d}.npz'

    def segment_path(self, number: int, suffix: str) -> Path:
        """The file of a segment; ``suffix`` is that of its container."""
        return self.path / f'segment-{number:05d}{suffix}'

    def clip_path(self, extension: str) -> Path:
        """The file of the joined clip; ``extension`` is that of the output."""
        return self.path / f'{_CLIP}{extension}'

    def part(self, path: Path) -> Path:
        """The name under which ``path`` is written by this process."""
        return path.with_name(f'{path.stem}@{self._tag}#{path.suffix}')

    @contextmanager
    def writing(self, path: Path) -> Iterator[Path]:
        """``part(path)``, to be written in the block; errors name ``path``. Raises ResourceError, OutputError."""
        part = self.part(path)
        with called(path.name, part):
            try:
                yield part
            except OSError as error:
                raise write_failure(error, path) from None

    def publish(self, key: WorkKey, path: Path, flag: StopFlag, facts: Mapping[str, Any] | None = None) -> Manifest:
        """Names a file that was written as ``part(path)``, with its manifest; what was there before goes.

        Raises ResourceError disk-full, OutputError output-unwritable, Interrupted.
        """
        part = self.part(path)
        manifest_part = self.part(manifest_path(path))
        try:
            manifest = describe_work(key, part, flag, facts)
            write_synced(manifest_part, manifest_bytes(manifest))
            flag.check()
            # The old manifest never stands beside the new file: between the two there is none.
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

    def kept(self, key: WorkKey, path: Path, flag: StopFlag) -> Manifest | None:
        """The manifest of ``path`` when it is there, whole, and what is wanted; else both are removed."""
        manifest = read_manifest(manifest_path(path))
        if manifest is not None and manifest.is_for(key) and manifest.fits(path, flag):
            return manifest
        with suppress(OSError):
            _remove(manifest_path(path))
            _remove(path)
        return None

    def save_linked(self, chunk: LinkedChunk, flag: StopFlag) -> None:
        """Writes a linked chunk of all faces. Raises ResourceError, OutputError, Interrupted."""
        span = Span(chunk.first, chunk.first + chunk.count)
        self._save(self._key('linked', span), self._linked_path(span.start), chunk.save, flag)

    def load_linked(self, span: Span, flag: StopFlag) -> LinkedChunk:
        """The linked chunk of the frames ``span``. Raises ResourceError work-file-damaged, Interrupted."""
        path = self._linked_path(span.start)
        self.check_kept(self._key('linked', span), path, flag)
        return LinkedChunk.load(path)

    def save_selection(self, span: Span, selection: Selection, flag: StopFlag) -> None:
        """Writes which faces of a linked chunk are worked on. Raises ResourceError, OutputError, Interrupted."""
        self._save(self._key('selected', span), self._selection_path(span.start), selection.save, flag)

    def load_selected(self, span: Span, flag: StopFlag) -> LinkedChunk:
        """The faces that are worked on of the frames ``span``. Raises as ``load_linked``."""
        path = self._selection_path(span.start)
        self.check_kept(self._key('selected', span), path, flag)
        return self.load_linked(span, flag).select(Selection.load(path))

    def _key(self, kind: str, span: Span) -> WorkKey:
        return WorkKey(kind, self.digests.plan, *span)

    def _save(self, key: WorkKey, path: Path, save: Callable[[Path], None], flag: StopFlag) -> None:
        manifest = read_manifest(manifest_path(path))
        if manifest is not None and manifest.is_for(key) and manifest.fits(path, flag):
            # Another process at this step may be reading it.
            return
        with self.writing(path) as part:
            save(part)
        self.publish(key, path, flag)

    def check_kept(self, key: WorkKey, path: Path, flag: StopFlag) -> Manifest:
        """The manifest of a file that is wanted and was published. Raises ResourceError work-file-damaged, Interrupted.

        All bytes of the file are read.
        """
        manifest = read_manifest(manifest_path(path))
        if manifest is None or not manifest.is_for(key):
            raise _damaged(path, None)
        self.check([(path, manifest)], flag)
        return manifest

    def check(self, files: Iterable[tuple[Path, Manifest]], flag: StopFlag) -> None:
        """Raises ResourceError work-file-damaged for a file that is not as it was published, or gone, and Interrupted.

        All bytes are read.
        """
        for path, manifest in files:
            if not manifest.fits(path, flag):
                raise _damaged(path, manifest)

    @contextmanager
    def unaltered(self, files: Sequence[tuple[Path, Manifest]], flag: StopFlag) -> Iterator[None]:
        """Makes sure that what a block has read are the files as they were published, and that it fails for no other
        reason when they are not: they are compared behind it. Raises what ``check`` raises."""
        for path, manifest in files:
            if _size_of(path) != manifest.size:
                raise _damaged(path, manifest)
        try:
            yield
        except Exception as error:
            is_other = isinstance(error, Interrupted | MediaError | OutputError)
            if not is_other and getattr(error, 'reference', '') != 'disk-full':
                self.check(files, flag)
            raise
        self.check(files, flag)

    def forget_segments(self) -> None:
        """Removes all segments: the joined clip holds what was in them."""
        with suppress(OSError):
            for path in sorted(self.path.glob('segment-*')):
                if '@' not in path.name:
                    _remove(path)

    def make_room(self) -> None:
        """Removes what the next run makes anew in moments: on a full disk the job store needs room for why it ended."""
        with suppress(OSError):
            for path in [*self.path.glob('linked-*'), *self.path.glob('selected-*')]:
                _remove(path)

    def close(self) -> None:
        """Removes what is of use to this process alone."""
        with suppress(OSError):
            for path in list(self.path.iterdir()):
                if f'@{self._tag}' in path.name:
                    path.unlink(missing_ok=True)

    def is_bare(self) -> bool:
        """Whether there is nothing to go on with."""
        try:
            return not any(path.name.startswith(_FINISHED) and '@' not in path.name for path in self.path.iterdir())
        except OSError:
            return True

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what a block fails with into ResourceError work-folder-gone when the folder has vanished."""
        try:
            yield
        except (Interrupted, JobError, ContentRefused):
            # Not of the folder: a process that has lost its job may well find it removed.
            raise
        except Exception as error:
            # Where the folder is there anew, this process does not show in it.
            if not self._shown.exists() or self._misses_file(error):
                raise ResourceError(
                    'work-folder-gone',
                    f'work files were removed while the run worked with them, in {self.path}',
                    cause=str(error),
                    hint='run the same command again, and leave the folder alone; nothing was written to the output',
                ) from error
            raise

    def _misses_file(self, error: BaseException) -> bool:
        """Whether it fails for a file that is not there, and should be in this folder."""
        reason = error if isinstance(error, FileNotFoundError) else error.__cause__ or error.__context__
        if not isinstance(reason, FileNotFoundError) or not reason.filename:
            return False
        return Path(os.fsdecode(reason.filename)).absolute().parent == self.path.absolute()


def manifest_path(path: Path) -> Path:
    """Where the manifest of a work file lies."""
    return path.with_suffix('.json')


def _size_of(path: Path) -> int:
    """The size of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _damaged(path: Path, manifest: Manifest | None) -> ResourceError:
    name = path.name.partition('@')[0]
    wanted = f'; it had {manifest.size} bytes and the SHA-256 {manifest.sha256[:12]}...' if manifest else ''
    return ResourceError(
        'work-file-damaged',
        f'{name}, which this run needs, is {"gone" if _size_of(path) < 0 else "not what was written"}',
        cause=f'it lies in {path.parent}{wanted}',
        hint='run the same command again: what is damaged is made anew',
    )


def _remove(path: Path) -> None:
    """Removes what has the name of a work file, a folder with all that is in it, too. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
