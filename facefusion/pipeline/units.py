"""The units of work of a clip, each a chunk to analyse or a segment to render; an engine decides how and when they run.

A unit reads the plan, the sources and work files, and writes one work file. It returns the manifest of this file, which
is small enough to be sent from another process to the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.media.file_stamp import check_unchanged
from facefusion.media.files import called
from facefusion.pipeline.analyse import ChunkAnalysis
from facefusion.pipeline.chunk_checkpoints import ChunkCheckpoints
from facefusion.pipeline.manifest import Manifest, WorkKey
from facefusion.pipeline.plan import CHUNK_FRAMES, Span, VideoPlan
from facefusion.pipeline.render import SegmentRendering
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

Advance = Callable[[], None]


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisUnits:
    """The chunks of one clip; any number of threads may analyse them."""

    analysis: ChunkAnalysis
    checkpoints: ChunkCheckpoints

    def run(self, span: Span, flag: StopFlag, advance: Advance) -> Manifest:
        """Analyse a chunk and save it.

        Raises the errors of ``ChunkAnalysis.analyse`` and ``ChunkCheckpoints.save``, and MediaError media-changed.
        """
        flag.check()
        chunk, findings = self.analysis.analyse(span, flag, advance)
        check_unchanged(self.analysis.target, flag)
        return self.checkpoints.save(span, chunk, findings, flag)


@dataclass(frozen=True, slots=True, eq=False)
class RenderUnits:
    """The segments of one clip; any number of threads may render them."""

    rendering: SegmentRendering
    folder: WorkFolder

    def path(self, number: int) -> Path:
        """Return the work file of the segment."""
        return self.folder.path / f'segment-{number:05d}{self.rendering.video.encoder.segment_suffix}'

    def key(self, number: int) -> WorkKey:
        """Return the key of the segment's work file."""
        video = self.rendering.video
        span = video.segments[number]
        pts = tuple(video.timeline.pts[span.start : span.stop].tolist())
        return WorkKey('segment', self.folder.digests.plan, *span, pts)

    def run(self, number: int, flag: StopFlag, advance: Advance) -> Manifest:
        """Render a segment and save it.

        Raises the errors of ``SegmentRendering.write``, and MediaError media-changed.
        """
        flag.check()
        check_unchanged(self.rendering.target, flag)
        path = self.path(number)
        with called(path.name, self.folder.part(path)):
            facts = self.rendering.write(self.rendering.video.segments[number], self.folder.part(path), flag, advance)
        check_unchanged(self.rendering.target, flag)
        return self.folder.publish(self.key(number), path, flag, facts._asdict())


def chunk_span(video: VideoPlan, number: int) -> Span:
    """Return the chunk with this number on the absolute grid."""
    return video.chunks[number - video.timeline.start // CHUNK_FRAMES]
