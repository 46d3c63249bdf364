"""One audio stream of an output, and trials of whether its encoder and container support it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
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

    ``format`` is the sample format of the encoder, '' for its only or first format.
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
class AudioRange:
    """The range of the source's audio in the output; all in seconds.

    The source's time ``origin`` becomes 0; the range is from ``begin`` up to before ``end`` (None: no bound). Without
    ``has_times`` audio frames follow one another from 0. Shorter audio is filled with silence up to ``until``, a time
    of the output (None: not filled).
    """

    origin: Fraction
    begin: Fraction | None
    end: Fraction | None
    has_times: bool = True
    until: Fraction | None = None


def add_encoded(output: av.container.OutputContainer, track: AudioTrack) -> av.AudioStream:
    """Add the stream for the encoded packets of ``track``. Raises FFmpegError, ValueError."""
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
    """Add a stream for copied packets. Raises FFmpegError, ValueError."""
    added = output.add_stream_from_template(stream)
    if isinstance(added, av.AudioStream):
        # Mp4 rejects PCM without channel positions, as stored in mkv.
        context = added.codec_context
        context.layout = usual_layout(context.layout.name, context.channels)
    return added


def why_not_copied(stream: av.stream.Stream, extension: str) -> str:
    """Return why a container rejects the packets of a stream; '' when it accepts them."""
    return _why_not(extension, lambda output: add_template(output, stream))


def why_not_encoded(track: AudioTrack, extension: str) -> str:
    """Return why an encoder or its container rejects a track; '' when both accept it."""
    return _why_not(extension, lambda output: add_encoded(output, track))


def _why_not(extension: str, add: Callable[[av.container.OutputContainer], object]) -> str:
    try:
        with _scratch(extension) as output:
            add(output)
            output.start_encoding()
    except (av.error.FFmpegError, ValueError) as error:
        raise_shortage(error)
        return getattr(error, 'strerror', None) or str(error)
    return ''


@contextmanager
def _scratch(extension: str) -> Iterator[av.container.OutputContainer]:
    """Open an output in memory to try its container. Raises FFmpegError, ValueError."""
    container = CONTAINERS[extension]
    output = av.open(io.BytesIO(), 'w', format=container.muxer)
    try:
        if container.muxer == 'mxf':
            # The first stream of mxf has to be video.
            picture = output.add_stream('mpeg2video', rate=25)
            assert isinstance(picture, av.VideoStream)
            picture.width, picture.height, picture.pix_fmt = 128, 128, 'yuv420p'
        yield output
    finally:
        # Closing a file without packets may fail.
        with suppress(av.error.FFmpegError):
            output.close()
