"""Looks for the invisible mark in any picture or clip, made by whatever program."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import MediaError
from facefusion.media.image import read_image
from facefusion.media.kinds import IMAGE_EXTENSIONS, content_of
from facefusion.media.opening import open_input
from facefusion.provenance.mark.detect import MarkFinding, MarkReader
from facefusion.provenance.mark.payload import mark_payload
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# Larger frames are not looked at: a header may claim anything, and a frame takes its size several times.
MOST_PIXELS = 100_000_000
# Frames without one that can be looked at, before that is given up.
_MOST_FAILURES = 100
# Where a clip is begun to be looked at, in shares of its length: a mark that is in a part of it only is found, too.
_BEGINNINGS = (0.0, 0.5)
_COVER = av.stream.Disposition.attached_pic


class MarkReading(NamedTuple):
    """What was found in a file: one finding for each payload, the most certain first; empty when there is none.

    ``frames`` were looked at. ``problem`` says why that was not possible, or not to the end; '' when it was.
    """

    findings: tuple[MarkFinding, ...]
    frames: int
    problem: str

    def as_record(self) -> dict[str, Any]:
        """Plain JSON; ``confidence`` is -log10 of the chance that a file without a mark gives this finding."""
        found = [
            {
                'payload': finding.payload.hex() if finding.payload is not None else None,
                'confidence': round(finding.confidence, 1),
                'place': [round(share, 4) for share in finding.window],
            }
            for finding in self.findings
        ]
        return {'found': found, 'frames': self.frames, 'problem': self.problem}


def is_mark_of(finding: MarkFinding, job_id: str) -> bool:
    """Whether the mark is the one of a job."""
    return finding.payload == mark_payload(job_id)


def read_marks(path: Path, flag: StopFlag | None = None) -> MarkReading:
    """The marks in a picture, or in the first frames of a clip and some from its middle.

    Whatever the file is, it gives an answer; raises only Interrupted, when ``flag`` is set, and ResourceError
    memory-out, threads-out.
    """
    content = content_of(path)
    if content in IMAGE_EXTENSIONS.values() or (not content and path.suffix.lower() in IMAGE_EXTENSIONS):
        reader = MarkReader()
        try:
            reader.add(read_image(path).luma())
        except MediaError as error:
            raise_shortage(error)
            return MarkReading((), 0, error.message)
        return MarkReading(tuple(reader.results()), reader.frames, '')
    frames, problem = 0, ''
    for beginning in _BEGINNINGS:
        reader = MarkReader()
        problem = _read_clip(path, reader, beginning, flag) or problem
        frames += reader.frames
        findings = tuple(reader.results())
        if findings or not reader.is_full:
            # A clip that was read to its end has no middle that was not looked at.
            return MarkReading(findings, frames, '' if findings else problem)
    return MarkReading((), frames, problem)


def _read_clip(path: Path, reader: MarkReader, beginning: float, flag: StopFlag | None) -> str:
    """Shows frames to the reader until it wants no more; says what came in between, '' if nothing."""
    try:
        with open_input(path) as container, closing(_lumas(container, beginning, flag)) as lumas:
            for luma in lumas:
                reader.add(luma)
                if reader.is_certain or reader.is_full:
                    break
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise_shortage(error)
        return f'its pictures cannot be read: {error}'
    return '' if reader.frames else 'it has no pictures that can be read'


def _lumas(
    container: av.container.InputContainer, beginning: float, flag: StopFlag | None
) -> Generator[NDArray[np.uint8], None, None]:
    """The luma of frames, upright, uint8 HxW."""
    videos = [stream for stream in container.streams.video if not stream.disposition & _COVER]
    if not videos:
        return
    stream = videos[0]
    _check_size(stream.width, stream.height)
    stream.thread_type = 'AUTO'
    if beginning > 0 and container.duration:
        with suppress(av.error.FFmpegError):
            container.seek(int((container.start_time or 0) + container.duration * beginning))
    failures = 0
    for packet in container.demux(stream):
        if flag is not None:
            flag.check()
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            raise_shortage(error)
            failures += 1
            if failures > _MOST_FAILURES:
                raise
            continue
        for frame in frames:
            _check_size(frame.width, frame.height)
            luma = frame.to_ndarray(format='gray')
            yield np.ascontiguousarray(np.rot90(luma, round(frame.rotation / 90)))


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise ValueError(f'they have {width}x{height} pixels')
