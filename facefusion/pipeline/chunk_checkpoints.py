"""Checkpoints of analysed chunks: from earlier runs of this step, or from the cache of other runs of the clip."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from facefusion.faces.chunk import FaceChunk
from facefusion.media.files import second_name
from facefusion.media.info import VideoInfo
from facefusion.pipeline.content_screening import ChunkFindings, ClipScreening
from facefusion.pipeline.manifest import Manifest, WorkKey, canonical_digest
from facefusion.pipeline.plan import Span
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

Origin = Literal['analysed', 'work', 'cache']
# The name of the fact that states the number of faces in a chunk.
FACES = 'faces'


@dataclass(frozen=True, slots=True, eq=False)
class ChunkCheckpoints:
    """The chunks of one run in its work folder and in the cache; ``stop`` is the end of the analysed range."""

    target: VideoInfo
    stop: int
    folder: WorkFolder
    screening: ClipScreening

    def find(self, span: Span, flag: StopFlag) -> tuple[Manifest, Origin] | None:
        """Return the manifest and the origin of the chunk of ``span``, or None when it must be analysed.

        A chunk without complete screening findings counts as missing. A cached chunk is put into the work folder.
        Raises ResourceError, OutputError, Interrupted.
        """
        path = self.folder.chunk_path(span.start)
        manifest = self.folder.find_intact(self._key(span), path, flag)
        if manifest is not None and self._is_complete(manifest, span):
            return manifest, 'work'
        for analysis in (self.folder.digests.analysis, *self.folder.digests.fuller):
            found = self.folder.cache.find(self._digest(span, analysis), flag)
            if found is None or not self._is_complete(found[1], span):
                continue
            cached, manifest = found
            # Another process may remove an entry of the cache at any time.
            with self.folder.writing(path) as part, suppress(FileNotFoundError):
                second_name(cached, part, flag)
                return self.folder.publish(self._key(span), path, flag, manifest.facts, manifest.sha256), 'cache'
        return None

    def save(self, span: Span, chunk: FaceChunk, findings: ChunkFindings, flag: StopFlag) -> Manifest:
        """Save a chunk with its screening findings in the work folder and in the cache.

        Raises ResourceError, OutputError, Interrupted.
        """
        path = self.folder.chunk_path(span.start)
        facts = findings.as_record() | {FACES: len(chunk.frame)}
        manifest = self.folder.save(self._key(span), path, chunk, flag, facts)
        self.folder.cache.put(manifest.key.digest, path, manifest)
        return manifest

    def load(self, span: Span, flag: StopFlag) -> tuple[FaceChunk, ChunkFindings]:
        """Return the chunk of ``span``, which was found or saved before, and its findings.

        Raises ResourceError work-file-damaged, Interrupted.
        """
        chunk, manifest = self.folder.load(FaceChunk, self._key(span), self.folder.chunk_path(span.start), flag)
        return chunk, ChunkFindings.from_record(manifest.facts)

    def _is_complete(self, manifest: Manifest, span: Span) -> bool:
        with suppress(KeyError, TypeError, ValueError):
            findings = ChunkFindings.from_record(manifest.facts)
            return (manifest.key.start, manifest.key.stop) == span and self.screening.is_complete(findings, *span)
        return False

    def _key(self, span: Span) -> WorkKey:
        pts = tuple(self.target.pts[span.start : span.stop])
        return WorkKey('chunk', self._digest(span, self.folder.digests.analysis), *span, pts)

    def _digest(self, span: Span, analysis: str) -> str:
        """Return the digest of everything that decides the chunk: span, analysis, and whether it is the last one."""
        return canonical_digest({'analysis': analysis, 'span': [*span], 'is_last': span.stop >= self.stop})
