"""Render a segment of output frames: apply the chain of processors and encode the frames into a file.

A rendered frame depends only on the source frame and its neighbours, its linked record, its time, the sources and the
job (its mark); no state is carried from frame to frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import LinkedFace
from facefusion.faces.role import NO_ROLE, FaceRole
from facefusion.media.frame import Frame
from facefusion.media.info import MediaInfo
from facefusion.media.sources import FrameSource, open_frames
from facefusion.media.writer import SegmentWriter
from facefusion.pipeline.plan import CHUNK_FRAMES, DECODED_AHEAD, Span, VideoPlan
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.stream import ordered_map, prefetch
from facefusion.processors.processor import FrameTask
from facefusion.processors.registration import Requirements
from facefusion.profiling import NO_PROFILE, Profile
from facefusion.provenance.watermarking import NO_WATERMARKS, Watermarks
from facefusion.stopping import StopFlag

# The stage of a batch of frames in the profile: processors, conversion, label and mark.
RENDER = 'render'


class LinkedFaces:
    """The faces of each frame, from linked chunks that are loaded by number; the last two stay in memory.

    Any number of threads may share it. For ascending frames and their neighbours, each chunk is loaded once.
    """

    def __init__(self, load: Callable[[int], LinkedChunk], chunk_frames: int = CHUNK_FRAMES) -> None:
        self._load = lru_cache(maxsize=2)(load)
        self._chunk_frames = chunk_frames

    def of(self, frame: int) -> tuple[LinkedFace, ...]:
        """Return the selected faces of a source frame in the selector's order."""
        return faces_of(self._load(frame // self._chunk_frames), frame)


def faces_of(chunk: LinkedChunk, frame: int) -> tuple[LinkedFace, ...]:
    """Return the faces of one frame of a linked chunk."""
    low, high = np.searchsorted(chunk.frame, [frame, frame + 1])
    return tuple(
        LinkedFace(
            track=int(chunk.track[k]),
            landmarks=chunk.landmarks[k],
            score=float(chunk.score[k]),
            presence=float(chunk.presence[k]) if len(chunk.presence) else 1.0,
            is_filled=bool(chunk.filled[k]),
            values={name: value[k] for name, value in chunk.values.items()},
            role=FaceRole.from_values(chunk.roles[k].tolist()) if len(chunk.roles) else NO_ROLE,
        )
        for k in range(int(low), int(high))
    )


def still_task(frame: Frame, faces: tuple[LinkedFace, ...], needed: Requirements) -> FrameTask:
    """Return the task of a single frame, with everything that its processors need; ``frame`` stays unprocessed."""
    # At the ends of a clip, copies of the end frame replace missing neighbours; all neighbours of an image are copies.
    reach = needed.neighbours
    neighbours = tuple(frame.untouched() for _ in range(2 * reach + 1)) if reach else ()
    return FrameTask(
        frame.untouched(),
        faces,
        original=frame.untouched() if needed.original else None,
        neighbours=neighbours,
        neighbour_faces=(faces,) * len(neighbours),
    )


class Shown(NamedTuple):
    """The output frames ``start`` to ``stop`` (exclusive), which show one source frame."""

    source: int
    start: int
    stop: int


class Rendered(NamedTuple):
    """A frame after the chain, its output frames, whether it was changed, and whether it carries the invisible mark."""

    frame: Frame
    shown: Shown
    is_changed: bool
    is_marked: bool


class SegmentFacts(NamedTuple):
    """The numbers of changed and marked frames of a segment, and the number of frames decoded ahead of display."""

    changed_frames: int
    marked_frames: int
    delay: int


@dataclass(frozen=True, slots=True, eq=False)
class SegmentRendering:
    """Renders the segments of a clip, in any order.

    ``workers`` threads process batches of ``batch`` frames. ``readers`` are open decoders to reuse.
    """

    target: MediaInfo
    video: VideoPlan
    chain: Chain
    requirements: Requirements
    faces: LinkedFaces
    workers: int = 1
    batch: int = 1
    watermarks: Watermarks = NO_WATERMARKS
    readers: FrameSource | None = None
    profile: Profile = NO_PROFILE

    def write(
        self, segment: Span, path: Path, flag: StopFlag, advance: Callable[[], None] = lambda: None
    ) -> SegmentFacts:
        """Write the output frames of ``segment`` to ``path``, which exists only when it is complete.

        Raises MediaError, OutputError, ResourceError, and Interrupted at a frame boundary when the flag is set.
        """
        changed = marked = 0
        # Close both here, because the traceback of a failing writer would keep the decoder and the workers alive.
        with closing(self.frames(segment, flag)) as rendered, ExitStack() as written:
            with self.profile.span('encode'):
                writer = written.enter_context(SegmentWriter(path, self.video.encoder))
            for frame, shown, is_changed, is_marked in rendered:
                for number in range(shown.start, shown.stop):
                    flag.check()
                    with self.profile.span('encode'):
                        writer.write(frame, int(self.video.timeline.pts[number]))
                    advance()
                changed += is_changed * (shown.stop - shown.start)
                marked += is_marked * (shown.stop - shown.start)
            with self.profile.span('encode'):
                written.close()
        return SegmentFacts(changed, marked, writer.delay)

    def frames(self, segment: Span, flag: StopFlag) -> Generator[Rendered, None, None]:
        """Yield the frames of ``segment`` after the chain, in order.

        A repeated source frame is rendered once, unless a processor depends on its time.
        """
        groups = _grouped(self._tasks(segment, flag), self.batch)
        with closing(ordered_map(self._render, groups, self.workers)) as rendered:
            for group in rendered:
                yield from group

    def _render(self, group: Sequence[tuple[Shown, FrameTask]]) -> list[Rendered]:
        with self.profile.span(RENDER, len(group)):
            changed = self.chain.apply([task for _, task in group])
            encoder, rendered = self.video.encoder, []
            for (shown, task), is_changed in zip(group, changed, strict=True):
                # The label and the mark are applied at the size of the output.
                with self.profile.span('convert'):
                    planes = task.frame.to_planes(encoder.plane_format, encoder.picture_size, encoder.color)
                rendered.append(Rendered(planes, shown, is_changed, self.watermarks.apply(planes, self.profile)))
            return rendered

    def _tasks(self, segment: Span, flag: StopFlag) -> Iterator[tuple[Shown, FrameTask]]:
        """Yield the tasks of a segment with the frames that they need, each decoded once."""
        timeline = self.video.timeline
        waiting = deque(shown_frames(timeline.sources[segment.start : segment.stop].tolist(), segment.start))
        if self.requirements.source_audio:
            waiting = deque(Shown(source, k, k + 1) for source, start, stop in waiting for k in range(start, stop))
        reach = self.requirements.neighbours
        low = max(waiting[0].source - reach, timeline.start)
        high = min(waiting[-1].source + reach + 1, timeline.stop)
        reader = self.readers or open_frames(self.target, 1, flag)
        decoded: dict[int, Frame] = {}
        source = self.profile.items('decode', reader.frames(low, high))
        with closing(prefetch(source, DECODED_AHEAD)) as frames:
            for frame in frames:
                flag.check()
                decoded[frame.number] = frame
                while waiting and frame.number >= min(waiting[0].source + reach, high - 1):
                    shown = waiting.popleft()
                    yield shown, self._task(shown, decoded)
                first = waiting[0].source - reach if waiting else high
                decoded = {number: each for number, each in decoded.items() if number >= first}

    def _task(self, shown: Shown, decoded: dict[int, Frame]) -> FrameTask:
        timeline, reach = self.video.timeline, self.requirements.neighbours
        own = decoded[shown.source]
        # The unprocessed frame is also used by other tasks or by another rendering of the same frame.
        is_shared = reach > 0 or self.requirements.original or self.requirements.source_audio
        around = range(shown.source - reach, shown.source + reach + 1) if reach else ()
        numbers = [min(max(number, timeline.start), timeline.stop - 1) for number in around]
        return FrameTask(
            frame=own.untouched() if is_shared else own,
            faces=self.faces.of(shown.source),
            seconds=timeline.time_of(shown.start),
            original=own.untouched() if self.requirements.original else None,
            neighbours=tuple(decoded[number].untouched() for number in numbers),
            neighbour_faces=tuple(self.faces.of(number) for number in numbers),
        )


def shown_frames(sources: Sequence[int], first: int) -> list[Shown]:
    """Return the ranges of output frames that show one source frame; frame ``first`` shows ``sources[0]``."""
    runs, start = [], first
    for source, repeated in groupby(sources):
        stop = start + len(list(repeated))
        runs.append(Shown(source, start, stop))
        start = stop
    return runs


def _grouped(
    tasks: Iterator[tuple[Shown, FrameTask]], size: int
) -> Generator[list[tuple[Shown, FrameTask]], None, None]:
    with closing(tasks) as items:  # type: ignore[type-var]
        while group := list(islice(items, size)):
            yield group
