"""Analysed chunks by what decides their content, kept for other renders of the same clip, up to a size.

Two files an entry: the chunk and its manifest. Several processes may use the folder at once: an entry that another one
drops is absent, one that is damaged is dropped. Nothing ever depends on what is kept here, so nothing here fails a run.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from facefusion.errors import InternalError
from facefusion.events import Emit, Message, silent
from facefusion.faces.chunk import FaceChunk
from facefusion.media.files import second_name
from facefusion.ownership import new_owner
from facefusion.pipeline.manifest import Manifest, manifest_bytes, read_manifest
from facefusion.stopping import StopFlag

_NAME = re.compile(r'^([0-9a-f]{64})\.(npz|json)$')
_ABANDONED_SECONDS = 3600.0


class AnalysisCache:
    """Chunks in ``folder``, which is made when it is needed; the least recently used go beyond ``limit`` bytes.

    With a limit of 0 nothing is kept and nothing is found; what lies there already goes with ``trim``.
    """

    def __init__(self, folder: Path, limit: int, emit: Emit = silent) -> None:
        self._folder = folder
        self._limit = limit
        self._emit = emit

    def get(self, key: str, flag: StopFlag) -> tuple[FaceChunk, Manifest] | None:
        """The chunk under ``key`` (64 hexadecimal digits), verified; None when there is none. Raises Interrupted."""
        if not self._limit:
            return None
        path, beside = self._paths(key)
        manifest = read_manifest(beside)
        if manifest is None:
            return None
        if manifest.kind == 'chunk' and manifest.fits(path, flag):
            with suppress(InternalError, OSError, TypeError, KeyError):
                chunk = FaceChunk.load(path)
                for used in (path, beside):
                    os.utime(used)
                return chunk, manifest
        self._drop(key)
        return None

    def put(self, key: str, path: Path, manifest: Manifest) -> None:
        """Keeps the chunk that lies at ``path``."""
        if not self._limit:
            return
        kept, beside = self._paths(key)
        part = self._folder / f'{key}.{new_owner().tag}.part'
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                second_name(path, part)
                # A link keeps the time of change of the file, which may be that of another use.
                os.utime(part)
                part.replace(kept)
                part.write_bytes(manifest_bytes(manifest))
                part.replace(beside)
            finally:
                part.unlink(missing_ok=True)
            self._drop_oldest()
        except OSError as error:
            self._emit(Message('debug', 'cache', f'the analysis is not kept for other runs: {error}'))

    def trim(self) -> None:
        """Holds the folder to the limit: with 0 nothing stays in it."""
        try:
            self._drop_oldest()
        except FileNotFoundError:
            return
        except OSError as error:
            self._emit(Message('debug', 'cache', f'the kept analysis cannot be removed: {error}'))

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self._folder / f'{key}.npz', self._folder / f'{key}.json'

    def _drop(self, key: str) -> None:
        # The manifest first: without it nothing is an entry.
        for path in reversed(self._paths(key)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def _drop_oldest(self) -> None:
        sizes: dict[str, int] = {}
        used: dict[str, float] = {}
        with os.scandir(self._folder) as found:
            for item in found:
                try:
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # another process dropped it
                    continue
                match = _NAME.match(item.name)
                if match:
                    sizes[match[1]] = sizes.get(match[1], 0) + status.st_size
                    used[match[1]] = max(used.get(match[1], 0.0), status.st_mtime)
                elif item.name.endswith('.part') and status.st_mtime < time.time() - _ABANDONED_SECONDS:
                    with suppress(OSError):
                        Path(item.path).unlink(missing_ok=True)
        total = sum(sizes.values())
        for key in sorted(sizes, key=lambda key: used[key]):
            if total <= self._limit:
                return
            self._drop(key)
            total -= sizes[key]
