"""The units of work of a clip, each a chunk to analyse or a segment to render; an engine decides how and when they run.

A unit reads the plan, the sources and work files, and writes one work file. It returns the manifest of this file, which
is small enough to be sent from another process to the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from facefusion.inference.memory_ladder import MemoryLadder
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.files import called
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.media.sources import FrameSource
from facefusion.pipeline.analyse import ChunkAnalysis, FaceTools
from facefusion.pipeline.chunk_checkpoints import ChunkCheckpoints
from facefusion.pipeline.content_screening import ClipScreening
from facefusion.pipeline.manifest import Manifest, WorkKey
from facefusion.pipeline.plan import CHUNK_FRAMES, Plan, Span, VideoPlan
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.render import LinkedFaces, SegmentRendering
from facefusion.pipeline.work_folder import WorkFolder
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.provenance.watermarking import Watermarks
from facefusion.stopping import StopFlag

Advance = Callable[[], None]
# The fact of a segment about the steps down since the memory of the accelerator ran out.
DEVICE_MEMORY = 'device_memory'


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisUnits:
    """The chunks of one clip; any number of threads may analyse them."""

    analysis: ChunkAnalysis
    checkpoints: ChunkCheckpoints

    def reading_with(self, readers: ReaderPool) -> AnalysisUnits:
        """Return the same units, which reuse these decoders."""
        return replace(self, analysis=replace(self.analysis, readers=readers))

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
    """The segments of one clip; any number of threads may render them.

    The manifest of a segment lists the steps down of ``ladder`` until its end.
    """

    rendering: SegmentRendering
    folder: WorkFolder
    ladder: MemoryLadder = field(default_factory=MemoryLadder)

    def reading_with(self, readers: FrameSource, workers: int) -> RenderUnits:
        """Return the same units, which reuse these decoders and process frames in this many threads."""
        return replace(self, rendering=replace(self.rendering, readers=readers, workers=workers))

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
        steps = self.ladder.steps()
        noted = {DEVICE_MEMORY: steps} if steps else {}
        return self.folder.publish(self.key(number), path, flag, facts._asdict() | noted)


def analysis_units(
    target: VideoInfo,
    stop: int,
    faces: FaceTools,
    screening: ClipScreening,
    folder: WorkFolder,
    profile: Profile = NO_PROFILE,
) -> AnalysisUnits:
    """Return the chunks of a clip; ``stop`` is the end of the analysed range."""
    analysis = ChunkAnalysis(target, stop, faces, screening, profile=profile)
    return AnalysisUnits(analysis, ChunkCheckpoints(target, stop, folder, screening))


def render_units(
    plan: Plan,
    video: VideoPlan,
    chain: Chain,
    watermarks: Watermarks,
    folder: WorkFolder,
    flag: StopFlag,
    profile: Profile = NO_PROFILE,
) -> RenderUnits:
    """Return the segments of a clip, which read the selected faces from the work folder."""
    target: MediaInfo = plan.target
    faces = LinkedFaces(lambda number: folder.load_selected(chunk_span(video, number), flag))
    rendering = SegmentRendering(
        target, video, chain, plan.requirements, faces, batch=plan.batch, watermarks=watermarks, profile=profile
    )
    return RenderUnits(rendering, folder)


def chunk_span(video: VideoPlan, number: int) -> Span:
    """Return the chunk with this number on the absolute grid."""
    return video.chunks[number - video.timeline.start // CHUNK_FRAMES]
