"""Analysed chunks that need not be analysed again: of this step's own earlier runs, or of other runs of the clip."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from facefusion.errors import InternalError
from facefusion.faces.chunk import FaceChunk
from facefusion.media.info import VideoInfo
from facefusion.pipeline.content_screening import ChunkLooks, TargetWatch
from facefusion.pipeline.manifest import Manifest, WorkKey, canonical_digest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

Origin = Literal['analysed', 'work', 'cache']
# The fact of a chunk: how many faces are in its frames.
FACES = 'faces'


@dataclass(frozen=True, slots=True, eq=False)
class ChunkCheckpoints:
    """The chunks of one run in its work folder and in the cache; ``stop`` is the end of the range that is looked at."""

    target: VideoInfo
    stop: int
    folder: WorkFolder
    watch: TargetWatch

    def find(self, span: Span, flag: StopFlag) -> tuple[Manifest, Origin] | None:
        """The manifest of the chunk of ``span`` and where it was, None when it must be analysed.

        A chunk without everything that the content gate must see counts as absent. One of the cache is put into the
        work folder. Raises ResourceError, OutputError, Interrupted.
        """
        manifest = self.folder.kept(self._key(span), self.folder.chunk_path(span.start), flag)
        if manifest is not None:
            with suppress(InternalError, TypeError, KeyError):
                if self._is_whole(FaceChunk.load(self.folder.chunk_path(span.start)), manifest, span):
                    return manifest, 'work'
        for analysis in (self.folder.digests.analysis, *self.folder.digests.fuller):
            known = self.folder.cache.get(self._digest(span, analysis), flag)
            if known is not None and self._is_whole(*known, span):
                return self._publish(span, known[0], known[1].facts, flag), 'cache'
        return None

    def keep(self, span: Span, chunk: FaceChunk, looks: ChunkLooks, flag: StopFlag) -> Manifest:
        """Keeps a chunk that was just analysed, with what the watch has seen of it. Raises ResourceError, OutputError,
        Interrupted."""
        manifest = self._publish(span, chunk, looks.as_record() | {FACES: len(chunk.frame)}, flag)
        self.folder.cache.put(manifest.digest, self.folder.chunk_path(span.start), manifest)
        return manifest

    def load(self, span: Span, flag: StopFlag) -> tuple[FaceChunk, ChunkLooks]:
        """The chunk of ``span``, which was found or kept before, and what was seen of it.

        Raises ResourceError work-file-damaged, Interrupted.
        """
        path = self.folder.chunk_path(span.start)
        manifest = self.folder.check_kept(self._key(span), path, flag)
        return FaceChunk.load(path), ChunkLooks.from_record(manifest.facts)

    def _publish(self, span: Span, chunk: FaceChunk, facts: Mapping[str, Any], flag: StopFlag) -> Manifest:
        path = self.folder.chunk_path(span.start)
        with self.folder.writing(path) as part:
            chunk.save(part)
        return self.folder.publish(self._key(span), path, flag, facts)

    def _is_whole(self, chunk: FaceChunk, manifest: Manifest, span: Span) -> bool:
        if (chunk.first, chunk.count) != (span.start, span.stop - span.start):
            return False
        with suppress(KeyError, TypeError, ValueError):
            return self.watch.is_whole(ChunkLooks.from_record(manifest.facts), *span)
        return False

    def _key(self, span: Span) -> WorkKey:
        return WorkKey('chunk', self._digest(span, self.folder.digests.analysis), *span, self._pts(span))

    def _digest(self, span: Span, analysis: str) -> str:
        """Of what decides the chunk: its frames, whether one is looked at behind them, and how."""
        return canonical_digest({'analysis': analysis, 'span': [*span], 'is_last': span.stop >= self.stop})

    def _pts(self, span: Span) -> tuple[int, ...]:
        return tuple(self.target.pts[span.start : span.stop])
