"""Analyse: what is to be seen in a chunk of frames, as small arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facefusion.faces.analyser import FaceFinder
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.measurement_types import Meters
from facefusion.faces.track import ChunkTracker
from facefusion.media.info import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.pipeline.content_screening import NO_LOOKS, ChunkLooks, TargetWatch
from facefusion.pipeline.plan import DECODED_AHEAD, Span
from facefusion.pipeline.stream import prefetch
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True, eq=False)
class FaceTools:
    """What finds and measures faces."""

    analyser: FaceFinder
    meters: Meters


@dataclass(frozen=True, slots=True, eq=False)
class ChunkAnalysis:
    """Analyses the chunks of a clip, from any number of threads.

    ``stop`` is the end of the whole range, beyond which nothing is looked at. ``readers`` are decoders to go on with,
    ``watch`` is the content gate's.
    """

    target: VideoInfo
    stop: int
    faces: FaceTools
    watch: TargetWatch | None = None
    readers: ReaderPool | None = None

    def analyse(
        self, chunk: Span, flag: StopFlag, advance: Callable[[], None] = lambda: None
    ) -> tuple[FaceChunk, ChunkLooks]:
        """The faces of the frames of ``chunk``, and what the content gate has seen of them.

        Both are functions of these frames and the one after them. Raises MediaError for frames that cannot be decoded,
        Interrupted at a frame boundary when the flag is set.
        """
        tracker = ChunkTracker(self.faces.analyser, self.faces.meters)
        watch = self.watch.frames(*chunk) if self.watch is not None else None
        after = None
        reader = self.readers or VideoReader(self.target, stop=flag)
        frames = prefetch(reader.frames(chunk.start, min(chunk.stop + 1, self.stop)), DECODED_AHEAD)
        try:
            for frame in frames:
                flag.check()
                if frame.number < chunk.stop:
                    tracker.add(frame)
                    if watch is not None:
                        watch.look(frame, tracker.starts_shot, tracker.faces, tracker.appeared)
                    advance()
                else:
                    after = frame
            record = tracker.finish(after)
            if watch is not None and after is not None and tracker.starts_shot:
                watch.look_behind(after)
            return record, watch.looks() if watch is not None else NO_LOOKS
        finally:
            frames.close()
