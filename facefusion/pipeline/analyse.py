"""Analyse a chunk of frames: return its faces as small arrays, and its screening findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facefusion.faces.analyser import FaceFinder
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.measurement_types import Meters
from facefusion.faces.track import ChunkTracker
from facefusion.media.info import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.pipeline.content_screening import NO_FINDINGS, ChunkFindings, ClipScreening
from facefusion.pipeline.plan import DECODED_AHEAD, Span
from facefusion.pipeline.stream import prefetch
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class FaceTools:
    """The tools that find and measure faces."""

    analyser: FaceFinder
    meters: Meters


@dataclass(frozen=True, slots=True, eq=False)
class ChunkAnalysis:
    """Analyses the chunks of a clip, in any number of threads.

    ``stop`` is the end of the whole range: no later frame is read. ``readers`` are open decoders to reuse.
    """

    target: VideoInfo
    stop: int
    faces: FaceTools
    screening: ClipScreening | None = None
    readers: ReaderPool | None = None
    profile: Profile = NO_PROFILE

    def analyse(
        self, chunk: Span, flag: StopFlag, advance: Callable[[], None] = lambda: None
    ) -> tuple[FaceChunk, ChunkFindings]:
        """Return the faces of the frames of ``chunk``, and the screening findings.

        Both depend only on these frames and the next one. Raises MediaError for frames that cannot be decoded, and
        Interrupted at a frame boundary when the flag is set.
        """
        tracker = ChunkTracker(self.faces.analyser, self.faces.meters)
        screening = self.screening.chunk(*chunk) if self.screening is not None else None
        after = None
        reader = self.readers or VideoReader(self.target, stop=flag)
        source = self.profile.items('decode', reader.frames(chunk.start, min(chunk.stop + 1, self.stop)))
        frames = prefetch(source, DECODED_AHEAD)
        try:
            for frame in frames:
                flag.check()
                if frame.number < chunk.stop:
                    with self.profile.span('analyse'):
                        tracker.add(frame)
                    if screening is not None:
                        with self.profile.span('content gate'):
                            screening.screen(frame, tracker.starts_shot, tracker.faces, tracker.appeared)
                    advance()
                else:
                    after = frame
            with self.profile.span('analyse'):
                record = tracker.finish(after)
            if screening is not None and after is not None and tracker.starts_shot:
                with self.profile.span('content gate'):
                    screening.screen_next(after)
            return record, screening.findings() if screening is not None else NO_FINDINGS
        finally:
            frames.close()
