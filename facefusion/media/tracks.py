"""One audio stream of an output: what it will be, and whether container and encoder take it, found by trying."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction

import av
import av.error
import av.stream

from facefusion.media.containers import CONTAINERS
from facefusion.media.layouts import usual_layout
from facefusion.shortage import raise_shortage


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One audio stream of the source; ``encoder`` is '' when its packets are copied.

    ``format`` is how the encoder is given samples, '' where it takes one kind or the first that it names.
    """

    index: int
    codec: str
    encoder: str
    rate: int
    layout: str
    options: tuple[tuple[str, str], ...]
    bit_rate: int
    format: str = ''


@dataclass(frozen=True, slots=True)
class Kept:
    """What of the source's sound is kept, and where it goes; all in seconds.

    The source's time ``origin`` becomes 0; only what sounds from ``begin`` up to before ``end`` is kept (None: no
    bound). Without ``has_times`` the output's sounds stand one after the other from 0. Up to ``until``, a time of the
    output, silence is put behind what is shorter (None: it may end where it ends).
    """

    origin: Fraction
    begin: Fraction | None
    end: Fraction | None
    has_times: bool = True
    until: Fraction | None = None


def add_encoded(output: av.container.OutputContainer, track: AudioTrack) -> av.AudioStream:
    """Adds the stream that ``track`` is encoded into. Raises FFmpegError, ValueError."""
    added = output.add_stream(track.encoder, rate=track.rate, options=dict(track.options))
    assert isinstance(added, av.AudioStream)
    context = added.codec_context
    context.layout = track.layout
    if track.format:
        context.format = track.format
    if track.options:
        context.qscale = True
    if track.bit_rate:
        context.bit_rate = track.bit_rate
    return added


def add_template(output: av.container.OutputContainer, stream: av.stream.Stream) -> av.stream.Stream:
    """Adds the stream that packets are copied into. Raises FFmpegError, ValueError."""
    added = output.add_stream_from_template(stream)
    if isinstance(added, av.AudioStream):
        # Mp4 takes no PCM without positions, as mkv has it.
        context = added.codec_context
        context.layout = usual_layout(context.layout.name, context.channels)
    return added


def why_not_copied(stream: av.stream.Stream, extension: str) -> str:
    """Why a container does not take the packets of a stream as they are; '' when it does."""
    try:
        with _scratch(extension) as output:
            add_template(output, stream)
            output.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise_shortage(error)
        return _reason(error)
    return ''


def why_not_encoded(track: AudioTrack, extension: str) -> str:
    """Why an encoder, or the container behind it, does not take a track; '' when both do."""
    try:
        with _scratch(extension) as output:
            add_encoded(output, track)
            output.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise_shortage(error)
        return _reason(error)
    return ''


@contextmanager
def _scratch(extension: str) -> Iterator[av.container.OutputContainer]:
    """An output that keeps nothing, to find out what its container takes. Raises FFmpegError, ValueError."""
    container = CONTAINERS[extension]
    output = av.open(io.BytesIO(), 'w', format=container.muxer)
    try:
        if container.muxer == 'mxf':
            # Its first stream has to be video.
            picture = output.add_stream('mpeg2video', rate=25)
            assert isinstance(picture, av.VideoStream)
            picture.width, picture.height, picture.pix_fmt = 128, 128, 'yuv420p'
        yield output
    finally:
        # A file without packets need not be one that can be finished.
        with suppress(av.error.FFmpegError):
            output.close()


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)
