"""The audio of a voice source: the first audio stream of a file, measured and decoded to one channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

import av
import av.error
import av.stream
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import MediaError
from facefusion.media.file_stamp import FileStamp
from facefusion.media.info import AudioInfo
from facefusion.media.kinds import find_kind
from facefusion.media.probe import describe_audio, open_video
from facefusion.media.timestamps import audio_streams
from facefusion.media.truncation import check_complete, missing_at_end
from facefusion.stopping import StopFlag

Samples = NDArray[np.float32]

MINIMUM = Fraction(1, 10)
MAXIMUM = 24 * 60 * 60
# Containers whose clock is 0 at the beginning of the file. Other clocks start at any time, or at the encoder's delay.
_FROM_ZERO = ('mp4', 'matroska', 'avi', 'asf', 'mxf', 'flv')
# In seconds; shorter than any packet of the usual codecs, and longer than the rounding of times in containers.
_JITTER = 0.01
# Pieces are joined until they have this number of samples, which is about a second.
_BATCH = 1 << 15
_EXPORT = 'check that the file plays; export it again, for example as wav'


@dataclass(frozen=True, slots=True)
class SoundInfo:
    """The first audio stream of a file, measured by decoding it.

    The file's time ``origin`` is time 0 of the audio, which ends after ``duration``; both in seconds. ``content`` is
    the file's kind as named by ``kinds.sniff``. ``remarks`` report losses. ``stamp`` is as in ``ImageInfo``.
    """

    path: Path
    size: int
    stamp: FileStamp = field(compare=False, repr=False)
    content: str
    audio: AudioInfo
    origin: Fraction
    duration: Fraction
    remarks: tuple[str, ...]


class Piece(NamedTuple):
    """Decoded audio: ``samples`` at ``rate``, beginning ``begin`` seconds after time 0.

    ``samples`` are float32 [n], or [n,2] for stereo. ``follows``: the piece has the rate of the previous piece and
    begins where that piece ends.
    """

    begin: Fraction
    rate: int
    samples: Samples
    follows: bool

    @property
    def end(self) -> Fraction:
        """Seconds from time 0 to the end of the last sample."""
        return self.begin + Fraction(len(self.samples), self.rate)


def probe_sound(path: Path, stop: StopFlag | None = None) -> SoundInfo:
    """Measure the audio of an audio file or a clip by decoding all of it.

    Raises MediaError: those of ``find_kind``, media-truncated, media-damaged, audio-missing, audio-empty,
    audio-damaged, audio-format, audio-too-short, audio-too-long. Raises Interrupted when ``stop`` is set.
    """
    kind = find_kind(path, takes_audio=True)
    if kind.family == 'image':
        raise _missing(path, 'it is an image')
    check_complete(path, kind.content)
    status = path.stat()
    pieces = SoundPieces(path, kind.content, stop or StopFlag())
    end = max((piece.end for piece in pieces), default=Fraction(0))
    if pieces.audio is None or not end:
        if pieces.is_damaged:
            raise pieces.damaged()
        cause = 'the recording did not begin, or the file was cut off'
        raise MediaError('audio-empty', f'{path.name} has an audio stream without audio', cause=cause, hint=_EXPORT)
    if pieces.is_mostly_damaged:
        raise pieces.damaged()
    if end < MINIMUM:
        raise MediaError(
            'audio-too-short',
            f'the audio of {path.name} lasts {float(end):.3f} seconds',
            cause=f'a voice must last at least {float(MINIMUM)} seconds',
            hint='use the complete recording',
        )
    return SoundInfo(
        path=path,
        size=status.st_size,
        stamp=FileStamp(status),
        content=kind.content,
        audio=pieces.audio,
        origin=pieces.origin,
        duration=end,
        remarks=tuple(pieces.remarks(kind.content)),
    )


class SoundPieces:
    """The first audio stream of a file, decoded once, piece by piece in chronological order.

    Channels are averaged; ``is_stereo`` returns samples [n,2] instead, with the left and the right channel of a stereo
    file, or the average of any other number of channels on both sides. Audio before time 0, or overlapping earlier
    audio, is left out. ``audio`` and ``origin`` are known after the first piece, the other results at the end. Raises
    the errors of ``probe_sound``.
    """

    def __init__(self, path: Path, content: str, stop: StopFlag, is_stereo: bool = False) -> None:
        self.audio: AudioInfo | None = None
        self.origin = Fraction(0)
        self._path = path
        self._content = content
        self._stop = stop
        self._is_stereo = is_stereo
        self._packets = 0
        self._undecoded = 0
        self._overlap = Fraction(0)
        self._error = ''
        self._stated = Fraction(0)
        # The end of the last packet, from the durations in the packets; the tick is 0 if no packet has a duration.
        self._last_tick = 0
        self._tick = Fraction(0)

    def __iter__(self) -> Iterator[Piece]:
        pending: Piece | None = None
        with open_video(self._path) as container:
            for piece in self._timed(container, self._find_stream(container)):
                if pending is not None and piece.follows and len(pending.samples) < _BATCH:
                    # Fewer and larger pieces cost less.
                    pending = pending._replace(samples=np.concatenate([pending.samples, piece.samples]))
                    continue
                if pending is not None:
                    yield pending
                pending = piece
        if pending is not None:
            yield self._without_padding(pending)

    @property
    def is_damaged(self) -> bool:
        """Whether a part of the stream could not be read."""
        return self._undecoded > 0 or bool(self._error)

    @property
    def is_mostly_damaged(self) -> bool:
        """Whether less than half of the packets can be decoded."""
        return 2 * self._undecoded > self._packets

    def damaged(self) -> MediaError:
        """Return the error for a damaged stream."""
        cause = self._error or f'{self._undecoded} of its {self._packets} packets do not decode'
        return MediaError('audio-damaged', f'the audio of {self._path.name} cannot be read', cause=cause, hint=_EXPORT)

    def remarks(self, content: str) -> Iterator[str]:
        """Yield a remark on each loss of audio."""
        name = self._path.name
        lost = self._error or missing_at_end(self._path, content)
        if lost:
            yield f'the audio of {name} ends early: {lost}'
        elif content == 'flac' and self._stated - self._last_tick * self._tick > _JITTER:
            # The duration in the header is reliable only in flac.
            seconds = float(self._stated - self._last_tick * self._tick)
            yield f'the audio of {name} ends early: {seconds:.2f} seconds are missing'
        if self._undecoded:
            yield f'{self._undecoded} of {self._packets} audio packets of {name} do not decode: they are silent'
        if self._overlap > _JITTER:
            seconds = float(self._overlap)
            yield f'{seconds:.2f} seconds of audio of {name} are left out: they overlap earlier audio'

    def _find_stream(self, container: av.container.InputContainer) -> av.AudioStream:
        streams = audio_streams(container)
        if not streams:
            reason = 'its codec is unknown' if container.streams.audio else 'it has only video'
            raise _missing(self._path, reason if container.streams else 'it is empty')
        for stream in container.streams:
            if stream.index != streams[0].index:
                stream.discard = av.stream.Discard.all
        self.audio = describe_audio(streams[0])
        if streams[0].duration and streams[0].time_base:
            self._stated = streams[0].duration * streams[0].time_base
        return streams[0]

    def _frames(self, container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
        try:
            for packet in container.demux(stream):
                self._stop.check()
                if packet.size:
                    self._packets += 1
                    if packet.pts is not None and packet.duration:
                        self._tick = packet.time_base
                        self._last_tick = max(self._last_tick, packet.pts + packet.duration)
                try:
                    frames = packet.decode()
                except av.error.FFmpegError:
                    self._undecoded += packet.size > 0
                    continue
                yield from frames
        except av.error.FFmpegError as error:
            self._error = error.strerror or str(error)

    def _timed(self, container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[Piece]:
        """Yield the frames as pieces, each at its time, or right after the previous one if the rounded times agree."""
        begun, count, rate = Fraction(0), 0, 0
        for frame in self._frames(container, stream):
            samples = self._mixed(frame)
            base = frame.time_base or Fraction(0)
            if not rate:
                self.origin = self._clock(container, (frame.pts or 0) * base)
            # Floats are many times faster than fractions, and exact enough for this comparison.
            reached = float(begun) + count / max(rate, 1)
            begin = reached if frame.pts is None else frame.pts * float(base) - float(self.origin)
            is_near = rate > 0 and abs(begin - reached) <= _JITTER
            follows = is_near and rate == frame.sample_rate
            if not follows:
                end = begun + Fraction(count, max(rate, 1))
                exact = end if is_near or frame.pts is None else frame.pts * base - self.origin
                early = min(max(ceil((end - exact) * frame.sample_rate), 0), len(samples))
                self._overlap += Fraction(early, frame.sample_rate) if rate else 0
                samples = samples[early:]
                if not len(samples):
                    continue
                begun, count, rate = exact + Fraction(early, frame.sample_rate), 0, frame.sample_rate
            if begin > MAXIMUM:
                raise MediaError(
                    'audio-too-long',
                    f'the audio of {self._path.name} exceeds {MAXIMUM // 3600} hours',
                    hint='cut it, or export it again if its times are wrong',
                )
            yield Piece(begun + Fraction(count, rate), rate, samples, follows)
            count += len(samples)

    def _clock(self, container: av.container.InputContainer, first: Fraction) -> Fraction:
        if self._content in _FROM_ZERO:
            return Fraction(0)
        if self._content not in ('mpeg', 'mpegts'):
            return first
        starts = [
            stream.start_time * stream.time_base
            for stream in container.streams.video
            if stream.start_time is not None and stream.time_base is not None
        ]
        return min([first, *starts])

    def _without_padding(self, last: Piece) -> Piece:
        """Return the last piece without the encoder's padding, if the container states the duration of its packet."""
        excess = last.end - (self._last_tick * self._tick - self.origin)
        if not self._tick or not self._tick < excess < last.end - last.begin:
            return last
        return last._replace(samples=last.samples[: len(last.samples) - round(excess * last.rate)])

    def _mixed(self, frame: av.AudioFrame) -> Samples:
        """Return the mean of all channels, or both channels of stereo, -1 to 1; NaN and infinities become silence."""
        try:
            samples = frame.to_ndarray()
        except ValueError:
            raise MediaError(
                'audio-format',
                f'the audio of {self._path.name} has the unsupported sample format {frame.format.name}',
                hint='export it as wav with 16, 24 or 32 bits',
            ) from None
        channels = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
        if self._is_stereo and len(channels) == 2:
            mixed = channels.T.astype(np.float64)
        else:
            mixed = channels.mean(axis=0, dtype=np.float64)
            mixed = np.stack([mixed, mixed], axis=1) if self._is_stereo else mixed
        if samples.dtype.kind != 'f':
            half = float(1 << (8 * samples.dtype.itemsize - 1))
            mixed = (mixed - half if samples.dtype.kind == 'u' else mixed) / half
        elif not np.isfinite(mixed).all():
            mixed = np.nan_to_num(mixed, posinf=0, neginf=0)
        result: Samples = mixed.astype(np.float32)
        return result


def _missing(path: Path, cause: str) -> MediaError:
    return MediaError(
        'audio-missing',
        f'{path.name} has no audio stream',
        cause=cause,
        hint='use a recording of the voice (wav, mp3, m4a, aac, flac, ogg, opus), or a video with audio',
    )
