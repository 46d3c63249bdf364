"""The units of work of a clip: a chunk to analyse, a segment to render. Engines decide who works on which, and when.

A unit reads the plan, the sources and work files, writes one work file, and returns its manifest: small data, which may
come from another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facefusion.media.file_stamp import check_unchanged
from facefusion.media.files import called
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.pipeline.analyse import ChunkAnalysis
from facefusion.pipeline.chunk_checkpoints import ChunkCheckpoints
from facefusion.pipeline.manifest import Manifest, WorkKey
from facefusion.pipeline.plan import CHUNK_FRAMES, Span, VideoPlan
from facefusion.pipeline.render import SegmentRendering
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.stopping import StopFlag

Advance = Callable[[], None]
# The facts of a segment and of the joined clip: how many of its frames were changed, and carry the invisible mark.
CHANGED = 'changed_frames'
MARKED = 'marked_frames'


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisUnits:
    """The chunks of one clip; any number of threads may work on them."""

    analysis: ChunkAnalysis
    kept: ChunkCheckpoints

    @property
    def target(self) -> VideoInfo:
        """The clip."""
        return self.analysis.target

    def work(self, span: Span, flag: StopFlag, advance: Advance) -> Manifest:
        """Analyses a chunk and keeps it. Raises as ``ChunkAnalysis.analyse`` and ``KeptChunks.keep`` do, MediaError
        media-changed."""
        flag.check()
        chunk, looks = self.analysis.analyse(span, flag, advance)
        check_unchanged(self.target, flag)
        return self.kept.keep(span, chunk, looks, flag)


@dataclass(frozen=True, slots=True, eq=False)
class RenderUnits:
    """The segments of one clip; any number of threads may work on them."""

    rendering: SegmentRendering
    folder: WorkFolder

    @property
    def target(self) -> MediaInfo:
        """The clip, or the picture that is shown as one."""
        return self.rendering.target

    def path(self, number: int) -> Path:
        """The work file of the segment."""
        return self.folder.segment_path(number, self.rendering.video.encoder.segment_suffix)

    def key(self, number: int) -> WorkKey:
        """Which work file the segment is."""
        video = self.rendering.video
        span = video.segments[number]
        pts = tuple(video.timeline.pts[span.start : span.stop].tolist())
        return WorkKey('segment', self.folder.digests.plan, *span, pts)

    def work(self, number: int, flag: StopFlag, advance: Advance) -> Manifest:
        """Renders a segment and keeps it. Raises as ``SegmentRendering.write`` does, MediaError media-changed."""
        flag.check()
        check_unchanged(self.target, flag)
        path = self.path(number)
        part = self.folder.part(path)
        with called(path.name, part):
            facts = self.rendering.write(self.rendering.video.segments[number], part, flag, advance)
        check_unchanged(self.target, flag)
        return self.folder.publish(
            self.key(number), path, flag, {CHANGED: facts.changed_frames, MARKED: facts.marked_frames}
        )


def chunk_span(video: VideoPlan, number: int) -> Span:
    """The chunk with this number on the absolute grid."""
    return video.chunks[number - video.timeline.start // CHUNK_FRAMES]
