"""Render: a segment of output frames through the chain of processors into an encoded file.

What a frame becomes is a function of the frame, its linked record, the sources and the job (its mark); nothing is kept
between frames.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import LinkedFace
from facefusion.media.frame import Frame, PlaneFrame
from facefusion.media.probe import VideoInfo
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline.plan import CHUNK_FRAMES, DECODED_AHEAD, Span, VideoPlan
from facefusion.pipeline.stream import ordered_map, prefetch
from facefusion.processors.processor import FrameTask, Processor
from facefusion.provenance.traces import NO_TRACES, Traces
from facefusion.stopping import StopFlag


class LinkedFaces:
    """The faces of a frame, from linked chunks that are loaded when they are first needed; one is held at a time."""

    def __init__(self, load: Callable[[int], LinkedChunk], chunk_frames: int = CHUNK_FRAMES) -> None:
        self._load = load
        self._chunk_frames = chunk_frames
        self._number = -1
        self._chunk: LinkedChunk | None = None

    def of(self, frame: int) -> tuple[LinkedFace, ...]:
        """The selected faces of a source frame in the selector's order; frames should be asked for in order."""
        number = frame // self._chunk_frames
        if self._chunk is None or number != self._number:
            self._chunk, self._number = self._load(number), number
        return faces_of(self._chunk, frame)


def faces_of(chunk: LinkedChunk, frame: int) -> tuple[LinkedFace, ...]:
    """The faces of one frame of a linked chunk."""
    low, high = np.searchsorted(chunk.frame, [frame, frame + 1])
    return tuple(
        LinkedFace(
            track=int(chunk.track[k]),
            landmarks=chunk.landmarks[k],
            score=float(chunk.score[k]),
            is_filled=bool(chunk.filled[k]),
            values={name: value[k] for name, value in chunk.values.items()},
        )
        for k in range(int(low), int(high))
    )


class Rendered(NamedTuple):
    """A frame after the chain, and whether it carries the invisible mark."""

    frame: Frame
    is_marked: bool


def apply_processors(task: FrameTask, processors: Sequence[Processor], traces: Traces = NO_TRACES) -> Rendered:
    """The frame after every processor of the chain, with the traces; frames are handed on in memory."""
    if task.faces:
        for processor in processors:
            processor.process((task,))
    return Rendered(task.frame, traces.leave(task.frame))


def render_frames(
    target: VideoInfo,
    numbers: Sequence[int],
    faces: LinkedFaces,
    processors: Sequence[Processor],
    workers: int,
    flag: StopFlag,
    readers: ReaderPool | None = None,
    traces: Traces = NO_TRACES,
) -> Generator[Rendered, None, None]:
    """The source frames ``numbers`` (ascending, repeats allowed) after the chain, each number once, in order."""
    wanted = set(numbers)

    def tasks() -> Iterator[FrameTask]:
        reader = readers or VideoReader(target, stop=flag)
        frames = prefetch(reader.frames(numbers[0], numbers[-1] + 1), DECODED_AHEAD)
        try:
            for frame in frames:
                flag.check()
                if frame.number in wanted:
                    yield FrameTask(frame, faces.of(frame.number))
        finally:
            frames.close()

    return ordered_map(lambda task: apply_processors(task, processors, traces), tasks(), workers)


def render_segment(
    target: VideoInfo,
    video: VideoPlan,
    segment: Span,
    faces: LinkedFaces,
    processors: Sequence[Processor],
    path: Path,
    workers: int,
    flag: StopFlag,
    advance: Callable[[], None],
    readers: ReaderPool | None = None,
    traces: Traces = NO_TRACES,
) -> int:
    """Writes the output frames of ``segment`` to ``path``, which appears when it is whole.

    Gives how many of them carry the invisible mark. ``readers`` are decoders to go on with. Raises MediaError,
    OutputError, ResourceError, and Interrupted at a frame boundary when the flag is set.
    """
    sources = video.timeline.sources[segment.start : segment.stop].tolist()
    rendered = render_frames(target, sources, faces, processors, workers, flag, readers, traces)
    at, marked = segment.start, 0
    # Closed here: the traceback of a failing writer would keep the decoder and the workers alive.
    with closing(rendered), SegmentWriter(path, video.encoder) as writer:
        for frame, is_marked in rendered:
            assert isinstance(frame, PlaneFrame)
            while at < segment.stop and int(video.timeline.sources[at]) == frame.number:
                flag.check()
                writer.write(frame, int(video.timeline.pts[at]))
                advance()
                at += 1
                marked += is_marked
    return marked
