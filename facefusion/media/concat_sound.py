"""Audio of joined clips: the packets copied from each clip, and their times."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.container

from facefusion.errors import MediaError
from facefusion.media.extras import describe_stream
from facefusion.media.info import AudioInfo, VideoInfo
from facefusion.media.probe import open_video
from facefusion.media.timeline import nearest
from facefusion.stopping import StopFlag


@dataclass(frozen=True, slots=True)
class Sound:
    """One audio stream; ``first`` is the time of the first packet that belongs to the clip, in seconds."""

    audio: AudioInfo
    settings: bytes
    first: Fraction | None


@dataclass(frozen=True, slots=True)
class SoundOfClip:
    """The audio streams of a clip from ``begin`` seconds on; a clip time plus ``shift`` is the output time."""

    info: VideoInfo
    sounds: tuple[Sound, ...]
    begin: Fraction
    shift: Fraction


def measure_sounds(info: VideoInfo, stop: StopFlag) -> tuple[Sound, ...]:
    """Measure the audio streams of a clip. Raises MediaError media-damaged, Interrupted."""
    indexes = [audio.index for audio in info.audio]
    begin = info.pts[0] * info.time_base
    settings: dict[int, bytes] = {}
    first: dict[int, Fraction] = {}
    with closing(read_packets(info, indexes, stop)) as packets:
        for packet in packets:
            index = packet.stream.index
            settings.setdefault(index, packet.stream.codec_context.extradata or b'')
            start, length = _span(packet)
            if index not in first and _is_of_clip(start, length, begin, packet.time_base):
                first[index] = start
                if len(first) == len(indexes):
                    break
    return tuple(
        Sound(audio, _neutral(audio.codec, settings.get(audio.index, b'')), first.get(audio.index))
        for audio in info.audio
    )


def read_packets(info: VideoInfo, indexes: Sequence[int], stop: StopFlag) -> Generator[av.Packet[Any], None, None]:
    """Yield the packets of streams of a clip in file order. Raises MediaError media-damaged, Interrupted."""
    if not indexes:
        return
    with open_video(info.path) as container:
        for stream in container.streams:
            if stream.index not in indexes:
                stream.discard = av.stream.Discard.all
        try:
            for packet in container.demux([container.streams[index] for index in indexes]):
                stop.check()
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            raise MediaError(
                'media-damaged',
                f'{info.path.name} cannot be read to its end',
                cause=error.strerror or str(error),
                hint='run the step that wrote it again',
            ) from None


def check_sounds(first: SoundOfClip, other: SoundOfClip) -> None:
    """Raise MediaError join-audio where the streams of two clips cannot be joined."""
    pairs: list[tuple[str, object, object]] = [('number of tracks', len(first.sounds), len(other.sounds))]
    for number, (one, two) in enumerate(zip(first.sounds, other.sounds, strict=False), 1):
        track = '' if len(first.sounds) == len(other.sounds) == 1 else f' of track {number}'
        pairs += [
            (f'codec{track}', one.audio.codec, two.audio.codec),
            (f'rate{track}', one.audio.rate, two.audio.rate),
            (f'layout{track}', one.audio.layout, two.audio.layout),
        ]
    differences = describe_differences(pairs)
    if not differences and [one.settings for one in first.sounds] != [two.settings for two in other.sounds]:
        differences = 'the settings of the audio encoder'
    if differences:
        raise MediaError(
            'join-audio',
            f'the audio of {other.info.path.name} cannot be joined to the audio of {first.info.path.name}',
            cause=f'they differ in {differences}',
            hint='give both steps the same --output-audio-encoder, or leave the audio out with --output-audio-volume 0',
        )


def describe_differences(pairs: Sequence[tuple[str, object, object]]) -> str:
    """Return the differences of two clips by name, with both values; '' without differences."""
    return ', '.join(f'{name} ({one} and {two})' for name, one, two in pairs if one != two)


def add_sounds(clips: Sequence[SoundOfClip], output: av.container.OutputContainer, has_gaps: bool) -> list[SoundTrack]:
    """Add the audio streams to an output, with the descriptions of the first clip that has audio."""
    clip = next((clip for clip in clips if clip.sounds), None)
    if clip is None:
        return []
    with open_video(clip.info.path) as source:
        return [SoundTrack(sound, source.streams[sound.audio.index], output, has_gaps) for sound in clip.sounds]


class SoundTrack:
    """An audio stream of the output.

    Without ``has_gaps`` (mp4 and mov, where samples of PCM have no times and follow one another) gaps in PCM are filled
    with silence. Packets in avi have no timestamps, so the last packet of a clip is kept only if the audio stays
    within half a packet of its correct position.
    """

    def __init__(self, sound: Sound, template: Any, output: av.container.OutputContainer, has_gaps: bool) -> None:
        self._stream: Any = output.add_stream_from_template(template)
        self._base = sound.audio.time_base
        self._rate = sound.audio.rate
        self._stream.time_base = self._base
        if sound.settings != (template.codec_context.extradata or b''):
            self._stream.codec_context.extradata = sound.settings
        describe_stream(template, self._stream)
        self._fills = not has_gaps and sound.audio.codec.startswith('pcm_')
        self._reached: int | None = None
        self._counts = output.format.name == 'avi' and not sound.audio.codec.startswith('pcm_')
        self._heard = Fraction(0)

    def fits(self, packet: av.Packet[Any], start: Fraction, length: Fraction, limit: Fraction) -> bool:
        """Whether a packet belongs before the time ``limit``, at which the audio of the next clip begins."""
        if self._counts:
            return self._heard + length / 2 <= limit
        return start + length <= limit + packet.time_base

    def place(self, packet: av.Packet[Any], start: Fraction, length: Fraction) -> Iterator[av.Packet[Any]]:
        """Yield any silence needed before the packet, then the packet at ``start``, in seconds of the output."""
        ticks = nearest(start / self._base)
        self._heard += length
        if self._reached is not None:
            if self._fills and ticks > self._reached:
                frame_size = packet.size // max(nearest(length * self._rate), 1)
                yield from self._silence(self._reached, ticks, frame_size)
            ticks = max(ticks, self._reached)
        yield self._timed(packet, ticks, nearest(length / self._base))

    def _silence(self, begin: int, end: int, frame_size: int) -> Iterator[av.Packet[Any]]:
        second = nearest(1 / self._base)
        for at in range(begin, end, second):
            count = min(second, end - at)
            samples = nearest(count * self._base * self._rate)
            packet: av.Packet[Any] = av.Packet(bytes(samples * frame_size))
            packet.is_keyframe = True
            yield self._timed(packet, at, count)

    def _timed(self, packet: av.Packet[Any], ticks: int, count: int) -> av.Packet[Any]:
        packet.time_base = self._base
        packet.pts = packet.dts = ticks
        packet.duration = count
        packet.stream = self._stream
        self._reached = ticks + max(count, 1)
        return packet


def sound_packets(
    clips: Sequence[SoundOfClip], tracks: Sequence[SoundTrack], stop: StopFlag
) -> Generator[av.Packet[Any], None, None]:
    """Yield the audio of all clips with output times, cut where the next clip begins.

    Raises the errors of ``read_packets``.
    """
    for number, clip in enumerate(clips):
        track_of = {sound.audio.index: track for track, sound in enumerate(clip.sounds)}
        following = clips[number + 1 :]
        limits = [_limit(following, track) for track in range(len(tracks))]
        with closing(read_packets(clip.info, list(track_of), stop)) as packets:
            for packet in packets:
                track = track_of[packet.stream.index]
                start, length = _span(packet)
                start += clip.shift
                if number and not _is_of_clip(start, length, clip.begin, packet.time_base):
                    continue
                if following and start >= following[0].begin:
                    continue
                limit = limits[track]
                if limit is None or tracks[track].fits(packet, start, length, limit):
                    yield from tracks[track].place(packet, start, length)


def _limit(following: Sequence[SoundOfClip], track: int) -> Fraction | None:
    """Return the time at which the next sound of a track begins; None without one."""
    firsts = ((clip.sounds[track].first, clip.shift) for clip in following if clip.sounds)
    return next((first + shift for first, shift in firsts if first is not None), None)


def _span(packet: av.Packet[Any]) -> tuple[Fraction, Fraction]:
    ticks = packet.dts if packet.pts is None else packet.pts
    return (ticks or 0) * packet.time_base, (packet.duration or 0) * packet.time_base


def _is_of_clip(start: Fraction, length: Fraction, begin: Fraction, tick: Fraction) -> bool:
    """Whether a packet is heard after the beginning of its clip, or is the decoder's lead-in just before it."""
    return start + length + tick >= begin


def _neutral(codec: str, settings: bytes) -> bytes:
    """Return the settings of an audio stream without the values that depend on its length and content.

    FLAC's header (RFC 9639, section 8.2) has the sample count and the checksum of the whole file; 0 means unknown.
    """
    if codec != 'flac':
        return settings
    header = bytearray(settings[8:42] if settings[:4] == b'fLaC' else settings[:34])
    if len(header) < 34:
        return settings
    header[4:10] = bytes(6)
    header[13] &= 0xF0
    header[14:34] = bytes(20)
    return bytes(header)
