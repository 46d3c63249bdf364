"""Detect the invisible mark in an image or video file that any program may have written."""

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

# Frames with more pixels are not decoded, because a header may state any size, and decoding a frame needs several
# times the memory of its pixels.
_MOST_PIXELS = 100_000_000
# The maximum number of undecodable packets.
_MOST_FAILURES = 100
# The starts of the checked parts of a clip, as shares of its length. Perhaps only one part has the mark.
_STARTS = (0.0, 0.5)
_COVER = av.stream.Disposition.attached_pic


class MarkReading(NamedTuple):
    """The marks of a file: one finding per payload, the most certain first.

    ``frames`` is the number of checked frames. ``problem`` is the reason why some frames could not be checked, or ''.
    """

    findings: tuple[MarkFinding, ...]
    frames: int
    problem: str

    def as_record(self) -> dict[str, Any]:
        """Return plain JSON; ``confidence`` is -log10 of the chance of this finding in a file without a mark."""
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
    """Whether the mark belongs to the job."""
    return finding.payload == mark_payload(job_id)


def read_marks(path: Path, flag: StopFlag | None = None) -> MarkReading:
    """Return the marks in an image, or in the first frames of a clip and some from its middle.

    Accepts any file; raises only Interrupted, when ``flag`` is set, and ResourceError memory-out, threads-out.
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
    for start in _STARTS:
        reader = MarkReader()
        problem = _read_clip(path, reader, start, flag) or problem
        frames += reader.frames
        findings = tuple(reader.results())
        if findings or not reader.is_full:
            # A clip that was read to its end was checked completely.
            return MarkReading(findings, frames, '' if findings else problem)
    return MarkReading((), frames, problem)


def _read_clip(path: Path, reader: MarkReader, start: float, flag: StopFlag | None) -> str:
    """Add frames to the reader until it is certain or full; return the problem, '' without one."""
    try:
        with open_input(path) as container, closing(_lumas(container, start, flag)) as lumas:
            for luma in lumas:
                reader.add(luma)
                if reader.is_certain or reader.is_full:
                    break
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise_shortage(error)
        return f'its frames cannot be read: {error}'
    return '' if reader.frames else 'it has no readable frames'


def _lumas(
    container: av.container.InputContainer, start: float, flag: StopFlag | None
) -> Generator[NDArray[np.uint8], None, None]:
    """Yield the luma of frames, upright, uint8 HxW."""
    videos = [stream for stream in container.streams.video if not stream.disposition & _COVER]
    if not videos:
        return
    stream = videos[0]
    _check_size(stream.width, stream.height)
    stream.thread_type = 'AUTO'
    if start > 0 and container.duration:
        with suppress(av.error.FFmpegError):
            container.seek(int((container.start_time or 0) + container.duration * start))
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
    if width * height > _MOST_PIXELS:
        raise ValueError(f'they have {width}x{height} pixels')
