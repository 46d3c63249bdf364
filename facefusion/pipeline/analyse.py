"""Analyse: what is to be seen in a chunk of frames, as small arrays."""

from __future__ import annotations

from collections.abc import Callable

from facefusion.faces.analyser import FaceAnalyser
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.skin import SkinMeter
from facefusion.faces.track import ChunkTracker
from facefusion.media.probe import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.pipeline.plan import Span
from facefusion.pipeline.stream import prefetch
from facefusion.stopping import StopFlag

DECODED_AHEAD = 4


def analyse_chunk(
    target: VideoInfo,
    chunk: Span,
    stop: int,
    analyser: FaceAnalyser,
    meter: SkinMeter | None,
    flag: StopFlag,
    advance: Callable[[], None],
    readers: ReaderPool | None = None,
) -> FaceChunk:
    """The faces of the frames of ``chunk``; a function of these frames and the one after them.

    ``stop`` is the end of the whole range, beyond which nothing is looked at. Raises MediaError for frames that
    cannot be decoded, Interrupted at a frame boundary when the flag is set. ``readers`` are decoders to go on with.
    """
    tracker = ChunkTracker(analyser, meter)
    after = None
    reader = readers or VideoReader(target, stop=flag)
    frames = prefetch(reader.frames(chunk.start, min(chunk.stop + 1, stop)), DECODED_AHEAD)
    try:
        for frame in frames:
            flag.check()
            if frame.number < chunk.stop:
                tracker.add(frame)
                advance()
            else:
                after = frame
        return tracker.finish(after)
    finally:
        frames.close()
