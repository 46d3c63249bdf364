"""Analyse: what is to be seen in a chunk of frames, as small arrays."""

from __future__ import annotations

from collections.abc import Callable

from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.measurement import Meters
from facefusion.faces.track import ChunkTracker
from facefusion.media.probe import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.pipeline.guard import TargetWatch
from facefusion.pipeline.plan import DECODED_AHEAD, Span
from facefusion.pipeline.stream import prefetch
from facefusion.stopping import StopFlag


def analyse_chunk(
    target: VideoInfo,
    chunk: Span,
    stop: int,
    analyser: FaceAnalyser,
    meters: Meters,
    flag: StopFlag,
    advance: Callable[[], None],
    readers: ReaderPool | None = None,
    watch: TargetWatch | None = None,
) -> FaceChunk:
    """The faces of the frames of ``chunk``; a function of these frames and the one after them.

    ``stop`` is the end of the whole range, beyond which nothing is looked at. Raises MediaError for frames that
    cannot be decoded, Interrupted at a frame boundary when the flag is set. ``readers`` are decoders to go on with.
    ``watch`` is shown the frames.
    """
    tracker = ChunkTracker(analyser, meters)
    after = None
    reader = readers or VideoReader(target, stop=flag)
    frames = prefetch(reader.frames(chunk.start, min(chunk.stop + 1, stop)), DECODED_AHEAD)
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
        if watch is not None and after is not None and tracker.starts_shot and not watch.is_sampled(after.number):
            # The next chunk does not know that a shot starts with it.
            watch.look(after, True)
        return record
    finally:
        frames.close()
