"""One audio stream of an output: what it will be, and whether container and encoder take it, found by trying."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction

import av
import av.error
import av.stream

from facefusion.errors import UsageError
from facefusion.media.containers import CONTAINERS
from facefusion.media.options import AUDIO_ENCODERS
from facefusion.shortage import raise_shortage


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One audio stream of the source; ``encoder`` is '' when its packets are copied."""

    index: int
    codec: str
    encoder: str
    rate: int
    layout: str
    options: tuple[tuple[str, str], ...]
    bit_rate: int


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
    if track.options:
        context.qscale = True
    if track.bit_rate:
        context.bit_rate = track.bit_rate
    return added


def why_not_copied(stream: av.stream.Stream, extension: str) -> str:
    """Why a container does not take the packets of a stream as they are; '' when it does."""
    try:
        with _scratch(extension) as output:
            output.add_stream_from_template(stream)
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


def settle_track(track: AudioTrack, extension: str, remarks: list[str]) -> AudioTrack:
    """The track with the nearest rate and layout that encoder and container take, found by opening both.

    Raises UsageError audio-encoder-unusable.
    """
    _check_encoder(track.encoder)
    rates = sorted(av.Codec(track.encoder, 'w').audio_rates or ())
    first = track
    if rates and track.rate not in rates:
        first = replace(track, rate=next((rate for rate in rates if rate >= track.rate), rates[-1]))
    reasons = []
    for tried in (first, replace(first, rate=48000), replace(first, rate=48000, layout='stereo')):
        reason = why_not_encoded(tried, extension)
        if not reason:
            if (tried.rate, tried.layout) != (track.rate, track.layout):
                asked, taken = f'{track.rate} Hz {track.layout}', f'{tried.rate} Hz {tried.layout}'
                remarks.append(f'{track.encoder} takes no {asked} audio: it is written as {taken}')
            return tried
        reasons.append(reason)
    raise UsageError(
        'audio-encoder-unusable',
        f'the audio encoder {track.encoder} does not work for {extension[1:]} here',
        cause=reasons[0],
        hint='choose another --output-audio-encoder, or leave the option out',
    )


def _check_encoder(name: str) -> None:
    def exists(encoder: str) -> bool:
        try:
            av.Codec(encoder, 'w')
        except ValueError:
            return False
        return True

    if not exists(name):
        raise UsageError(
            'audio-encoder-unusable',
            f'the audio encoder {name} is not in this build of FFmpeg',
            hint='encoders that are: ' + ', '.join(filter(exists, AUDIO_ENCODERS)),
        )


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error)
