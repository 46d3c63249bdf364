"""A cache of analysed chunks for other renders of the same clip, limited in size.

An entry has two files, the chunk and its manifest. Several processes may use the folder at once, so an entry that
another process removed counts as missing. A damaged entry is removed. A failure of the cache never fails a run.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from facefusion.events import Emit, Message, silent
from facefusion.media.files import second_name
from facefusion.ownership import new_owner
from facefusion.pipeline.manifest import Manifest, manifest_bytes, read_manifest
from facefusion.safety.sample_cache import remove_oldest
from facefusion.stopping import StopFlag

_NAME = re.compile(r'^([0-9a-f]{64})\.(npz|json)$')


@dataclass(frozen=True, slots=True)
class AnalysisCache:
    """Chunks in ``folder``, which is created when needed; beyond ``limit`` bytes, the least recently used are removed.

    With a limit of 0 nothing is stored or found, and ``trim`` removes existing entries.
    """

    folder: Path
    limit: int
    emit: Emit = silent

    def find(self, key: str, flag: StopFlag) -> tuple[Path, Manifest] | None:
        """Return the verified chunk file and manifest of ``key`` (64 hexadecimal digits), or None if there is no entry.

        Raises Interrupted.
        """
        if not self.limit:
            return None
        path, entry = self._paths(key)
        manifest = read_manifest(entry)
        if manifest is None:
            return None
        if manifest.key.kind == 'chunk' and manifest.matches(path, flag):
            with suppress(OSError):
                for used in (path, entry):
                    os.utime(used)
                return path, manifest
        self._remove(key)
        return None

    def put(self, key: str, path: Path, manifest: Manifest) -> None:
        """Store the chunk file ``path``."""
        if not self.limit:
            return
        cached, entry = self._paths(key)
        part = self.folder / f'{key}.{new_owner().tag}.part'
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                second_name(path, part)
                # A hard link has the modification time of the linked file, which may be from an earlier use.
                os.utime(part)
                part.replace(cached)
                part.write_bytes(manifest_bytes(manifest))
                part.replace(entry)
            finally:
                part.unlink(missing_ok=True)
            remove_oldest(self.folder, _NAME, self.limit, attrgetter('st_size'))
        except OSError as error:
            self.emit(Message('debug', 'cache', f'the analysis is not cached for other runs: {error}'))

    def trim(self) -> None:
        """Limit the size of the folder; a limit of 0 empties it."""
        try:
            remove_oldest(self.folder, _NAME, self.limit, attrgetter('st_size'))
        except FileNotFoundError:
            return
        except OSError as error:
            self.emit(Message('debug', 'cache', f'the cached analysis cannot be removed: {error}'))

    def _paths(self, key: str) -> tuple[Path, Path]:
        return self.folder / f'{key}.npz', self.folder / f'{key}.json'

    def _remove(self, key: str) -> None:
        # Remove the manifest first, because a chunk without a manifest does not count as an entry.
        for path in reversed(self._paths(key)):
            with suppress(OSError):
                path.unlink(missing_ok=True)
