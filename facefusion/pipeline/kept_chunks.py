"""Analysed chunks that need not be analysed again: of this step's own earlier runs, or of other runs of the clip."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from facefusion.errors import InternalError
from facefusion.faces.chunk import FaceChunk
from facefusion.media.probe import VideoInfo
from facefusion.pipeline.guard import ChunkLooks, TargetWatch
from facefusion.pipeline.manifest import Manifest, canonical_digest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

Origin = Literal['analysed', 'work', 'cache']


@dataclass(frozen=True, slots=True, eq=False)
class KeptChunks:
    """The chunks of one run in its work folder and in the cache; ``stop`` is the end of the range that is looked at."""

    target: VideoInfo
    stop: int
    folder: WorkFolder
    watch: TargetWatch
    flag: StopFlag

    def find(self, span: Span) -> tuple[FaceChunk, Origin] | None:
        """The chunk of ``span`` and where it was, None when it must be analysed; the watch gets what was seen of it.

        A chunk without everything that the content gate must see counts as absent. Raises Interrupted.
        """
        path = self.folder.chunk_path(span.start)
        manifest = self.folder.kept('chunk', self._digest(span), span, self._pts(span), path, self.flag)
        if manifest is not None:
            with suppress(InternalError, TypeError, KeyError):
                chunk = FaceChunk.load(path)
                if self._take(chunk, manifest, span):
                    return chunk, 'work'
        for analysis in (self.folder.digests.analysis, *self.folder.digests.fuller):
            known = self.folder.cache.get(self._digest(span, analysis), self.flag)
            if known is not None and self._take(*known, span):
                return known[0], 'cache'
        return None

    def keep(self, span: Span, chunk: FaceChunk) -> None:
        """Keeps a chunk that was just analysed, with what the watch has seen of it. Raises ResourceError, OutputError,
        Interrupted."""
        path, digest = self.folder.chunk_path(span.start), self._digest(span)
        with self.folder.writing(path) as part:
            chunk.save(part)
        facts = self.watch.looks_of(*span).as_record()
        manifest = self.folder.publish('chunk', digest, span, self._pts(span), path, self.flag, facts)
        self.folder.cache.put(digest, path, manifest)

    def _take(self, chunk: FaceChunk, manifest: Manifest, span: Span) -> bool:
        if (chunk.first, chunk.count) != (span.start, span.stop - span.start):
            return False
        with suppress(KeyError, TypeError, ValueError):
            return self.watch.take(ChunkLooks.from_record(manifest.facts), *span)
        return False

    def _digest(self, span: Span, analysis: str = '') -> str:
        """Of what decides the chunk: its frames, whether one is looked at behind them, and how."""
        analysis = analysis or self.folder.digests.analysis
        return canonical_digest({'analysis': analysis, 'span': [*span], 'is_last': span.stop >= self.stop})

    def _pts(self, span: Span) -> tuple[int, ...]:
        return tuple(self.target.pts[span.start : span.stop])
