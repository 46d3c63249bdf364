"""Plan the audio of an output, from the target or another file: copy unchanged streams, encode the others again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import av.error

from facefusion.media.audio_copy import UNHEARD
from facefusion.media.audio_settle import is_deep, losses, settle_track
from facefusion.media.container_support import comes_back, lost_description
from facefusion.media.containers import BOXED, PCM, Container, check_held, container_of
from facefusion.media.info import AudioInfo, MediaInfo, VideoInfo
from facefusion.media.layouts import usual_layout
from facefusion.media.opening import damaged_audio, open_audio
from facefusion.media.options import OutputOptions
from facefusion.media.sound import SoundInfo
from facefusion.media.timeline import Timeline
from facefusion.media.tracks import AudioRange, AudioTrack, why_not_copied

# The encoder for each source codec whose audio is encoded again. It writes the same format or a similar one.
_AGAIN = {
    'mp3': 'libmp3lame',
    'mp3float': 'libmp3lame',
    'opus': 'libopus',
    'libopus': 'libopus',
    'flac': 'flac',
    'alac': 'flac',
    'vorbis': 'libopus',
    'mp2': 'mp2',
    'wmav2': 'wmav2',
    **dict.fromkeys((*PCM, 'pcm_mulaw', 'pcm_alaw'), 'pcm_s16le'),
}
_REPLACED_IN_MOV = ('flac', 'libopus')


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """The tracks of the output and their time range ``span``; ``volume`` is a factor.

    ``remarks`` state the decisions with their reasons, and the losses. ``path`` is the file that the tracks come from
    (None: the target). If ``mixed`` names files, the only track comes from the mix of their audio (``audio_mix``).
    """

    tracks: tuple[AudioTrack, ...]
    span: AudioRange
    volume: float
    remarks: tuple[str, ...]
    path: Path | None = None
    mixed: tuple[Path, ...] = ()

    @property
    def mode(self) -> Literal['none', 'copy', 'encode']:
        """'none' without tracks, 'copy' if all tracks are copied, else 'encode'."""
        if not self.tracks:
            return 'none'
        return 'encode' if any(track.encoder for track in self.tracks) else 'copy'

    def as_record(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
        span = self.span
        times = {'origin': span.origin, 'begin': span.begin, 'end': span.end, 'until': span.until}
        return {
            'mode': self.mode,
            'tracks': [asdict(track) | {'options': dict(track.options)} for track in self.tracks],
            **{name: None if time is None else str(time) for name, time in times.items()},
            'has_times': span.has_times,
            'volume': self.volume,
            'remarks': list(self.remarks),
            'path': None if self.path is None else str(self.path),
            'mixed': [str(path) for path in self.mixed],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AudioPlan:
        """Return the plan of a record made by ``as_record``."""
        tracks = [AudioTrack(**{**track, 'options': tuple(track['options'].items())}) for track in record['tracks']]
        begin, end, until = (
            None if record.get(name) is None else Fraction(record[name]) for name in ('begin', 'end', 'until')
        )
        span = AudioRange(Fraction(record['origin']), begin, end, record.get('has_times', True), until)
        path = None if record.get('path') is None else Path(record['path'])
        mixed = tuple(Path(each) for each in record.get('mixed', ()))
        return cls(tuple(tracks), span, record['volume'], tuple(record['remarks']), path, mixed)


def plan_audio(
    info: MediaInfo, timeline: Timeline, options: OutputOptions, extension: str, sound: SoundInfo | None = None
) -> AudioPlan:
    """Decide for every audio stream of a clip whether it is copied, encoded or (volume 0) left out.

    ``sound`` replaces the clip's audio. It begins at the first output frame and is cut at the end of the last one.
    Raises UsageError audio-encoder-unusable, encoder-container.
    """
    extension = extension.lower()
    volume = options.output_audio_volume / 100
    if sound is not None:
        span = span_of_sound(sound.origin, sound.duration, timeline, extension)
        source_audio = _InputAudio(sound.path, sound.content, (sound.audio,), span, True)
    elif isinstance(info, VideoInfo):
        span = _span(info, timeline, container_of(extension))
        source_audio = _InputAudio(info.path, info.content, info.audio, span)
    else:
        source_audio = _InputAudio(info.path, '', (), AudioRange(timeline.origin, None, None))
    remarks: list[str] = []
    has_audio = volume > 0 and source_audio.streams
    tracks = _plan_tracks(source_audio, options, extension, remarks) if has_audio else ()
    if tracks and sound is not None:
        remarks += sound.remarks
        if isinstance(info, VideoInfo) and info.audio and info.path != sound.path:
            remarks.append(f'the audio of {info.path.name} is replaced by the audio of {sound.path.name}')
        remarks += remarks_on_length(timeline, sound.path.name, sound.duration)
    elif tracks and isinstance(info, VideoInfo) and not timeline.is_trimmed:
        remarks += _losses_at_ends(info, source_audio.span, extension)
    path = None if sound is None else sound.path
    return AudioPlan(tracks, source_audio.span, volume, tuple(dict.fromkeys(remarks)), path)


class _InputAudio(NamedTuple):
    """The file with the audio; ``content`` is its kind as returned by ``kinds.sniff``.

    ``span`` is the range of its streams. ``is_other``: whether this file is not the target.
    """

    path: Path
    content: str
    streams: tuple[AudioInfo, ...]
    span: AudioRange
    is_other: bool = False


def _plan_tracks(
    source_audio: _InputAudio, options: OutputOptions, extension: str, remarks: list[str]
) -> tuple[AudioTrack, ...]:
    tracks = []
    found = {audio.index: audio for audio in source_audio.streams}
    with open_audio(source_audio.path) as source:
        for number, stream in enumerate(source.streams.audio, 1):
            audio = found.get(stream.index)
            if audio is None:
                continue
            name = f'the audio of {source_audio.path.name}' if source_audio.is_other else f'audio stream {number}'
            encoder = _encoder_for(audio, source_audio, stream, options, extension, remarks)
            track = encoded_track(audio, encoder, options.output_audio_quality, extension, is_deep(stream))
            if encoder:
                track = settle_track(track, extension)
                remarks += losses(name, stream, track, extension, options.output_audio_encoder)
            remarks += lost_description(name, stream, extension)
            tracks.append(track)
    return tuple(tracks)


def _span(info: VideoInfo, timeline: Timeline, container: Container) -> AudioRange:
    begin, end = (timeline.begin, timeline.end) if timeline.is_trimmed else (None, None)
    if container.has_times:
        return AudioRange(timeline.origin, begin, end)
    rate = timeline.steady_rate(container.has_gaps)
    places = timeline.counted(rate, container.has_gaps) if rate else timeline
    origin = places.origin if rate else timeline.begin
    if begin is None and origin > info.clock * info.time_base:
        begin = origin
    return (
        AudioRange(origin, begin, places.end, False, places.end - origin)
        if container.ends_together
        else AudioRange(origin, begin, end, False)
    )


def span_of_sound(origin: Fraction, duration: Fraction, timeline: Timeline, extension: str) -> AudioRange:
    """Return the range of a sound from its time ``origin``, placed at the first frame, to the end of the last frame.

    ``duration``: that of the sound, in seconds.
    """
    container = container_of(extension)
    places = timeline
    if not container.has_times:
        rate = timeline.steady_rate(container.has_gaps)
        places = timeline.counted(rate, container.has_gaps) if rate else timeline
    late, length = places.begin - places.origin, places.end - places.begin
    end = origin + length if container.ends_together or duration > length else None
    # A cut at the beginning would lose audio in a container that cannot hide the decoder's lead-in.
    is_cut = not container.has_times or (end is not None and extension in BOXED)
    begin = origin if is_cut else None
    until = late + length if container.ends_together else None
    return AudioRange(origin - late, begin, end, container.has_times, until)


def remarks_on_length(timeline: Timeline, name: str, duration: Fraction) -> Iterator[str]:
    """Yield a remark if the sound ``name`` of ``duration`` seconds is longer or shorter than the output."""
    longer = float(duration - (timeline.end - timeline.begin))
    if longer > UNHEARD:
        yield f'{name} is longer than the output: its last {longer:.2f} seconds are left out'
    elif longer < -UNHEARD:
        yield f'{name} is shorter than the output: the last {-longer:.2f} seconds are silent'


def _losses_at_ends(info: VideoInfo, span: AudioRange, extension: str) -> Iterator[str]:
    """Yield a sentence for each end of an untrimmed clip where the output lacks audio."""
    name = extension[1:]
    starts = [audio.start * audio.time_base for audio in info.audio if audio.start is not None]
    if span.begin is not None and starts and span.begin - min(starts) > UNHEARD:
        lost = float(span.begin - min(starts))
        yield f'{name} cannot store audio before the first frame: {lost:.2f} seconds of audio are left out'
    if container_of(extension).ends_together and span.end is not None:
        lost = float(_end_of_audio(info) - span.end)
        if lost > UNHEARD:
            yield f'{name} ends with the last frame: {lost:.2f} seconds of audio after it are left out'


def _end_of_audio(info: VideoInfo) -> Fraction:
    """Return the end of the last audio packet in seconds, read from all packets because headers may be wrong."""
    end = Fraction(0)
    with open_audio(info.path) as source:
        try:
            for packet in source.demux([source.streams[audio.index] for audio in info.audio]):
                if packet.size and packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        except av.error.FFmpegError as error:
            raise damaged_audio(info.path, error) from None
    return end


def _encoder_for(
    audio: AudioInfo,
    source_audio: _InputAudio,
    stream: av.AudioStream,
    options: OutputOptions,
    extension: str,
    remarks: list[str],
) -> str:
    asked, name, container = options.output_audio_encoder, extension[1:], container_of(extension)
    if asked == 'auto':
        fits = (container.copied is None or audio.codec in container.copied) and not why_not_copied(stream, extension)
        fits = fits and _keeps_layout(audio, extension)
        is_steady = not fits or _is_steady(audio, source_audio, extension)
        fits = fits and is_steady
        # PCM is copied from clips, but not from a wav file into mp4, because most players cannot play PCM in mp4.
        plays = source_audio.content != 'wav' or container.muxer != 'mp4'
        starts_right = container.has_times or _starts_right(audio, source_audio)
        if fits and plays and starts_right and options.output_audio_volume == 100:
            return ''
        encoder = _AGAIN.get(audio.codec, container.automatic_audio)
        if encoder == 'pcm_s16le' and is_deep(stream) and 'pcm_s32le' in container.audio_encoders:
            encoder = 'pcm_s32le'
        # Only mkv players support every codec that the muxer accepts.
        if encoder not in container.audio_encoders or not (fits or extension == '.mkv') or not plays:
            encoder = container.automatic_audio
        if not is_steady:
            text = f'{audio.codec} audio changes its rate or channels, which {name} cannot store: it is encoded again'
            remarks.append(text)
        elif not fits and encoder != audio.codec:
            remarks.append(f'{name} does not support {audio.codec} audio: it is encoded as {encoder}')
        elif not plays:
            remarks.append(f'few players support {audio.codec} audio in {name}: it is encoded as {encoder}')
        elif not starts_right:
            how = 'gaps filled' if source_audio.span.begin is None else 'so that it begins with the video'
            remarks.append(f'{name} stores no audio times: {audio.codec} audio is encoded as {encoder}, {how}')
        return encoder
    return chosen_encoder(asked, extension, remarks)


def chosen_encoder(asked: str, extension: str, remarks: list[str]) -> str:
    """Return the encoder for a named ``--output-audio-encoder``. Raises UsageError encoder-container."""
    if extension == '.mov' and asked in _REPLACED_IN_MOV:
        remarks.append(f'mov does not support {asked} audio: aac is used')
        return 'aac'
    check_held('audio', asked, extension)
    return asked


def _keeps_layout(audio: AudioInfo, extension: str) -> bool:
    """Whether copied packets that do not store their channel layout are read back with the right one."""
    if audio.codec not in (*PCM, 'flac'):
        return True
    layout = usual_layout(audio.layout, audio.channels)
    return comes_back(AudioTrack(audio.index, audio.codec, audio.codec, audio.rate, layout, (), 0), extension)


def _is_steady(audio: AudioInfo, source_audio: _InputAudio, extension: str) -> bool:
    """Whether all AAC packets have the rate and channels of the first one, as every container except ts requires."""
    if audio.codec != 'aac' or source_audio.content != 'mpegts' or extension == '.ts':
        return True
    try:
        with open_audio(source_audio.path) as source:
            return not _changes_form(source, audio.index)
    except av.error.FFmpegError as error:
        raise damaged_audio(source_audio.path, error) from None


def _changes_form(source: av.container.InputContainer, index: int) -> bool:
    """Whether the rate or the channels of an AAC stream change between packets; reads the whole file.

    In ts, the ADTS header of each packet contains rate and channels. Other containers store both once for the stream.
    """
    form = None
    for packet in source.demux(source.streams[index]):
        header = bytes(packet)[:4]
        if len(header) == 4 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0:
            # Profile, rate and channels, without the private and copyright bits between them.
            found = header[2] & 0xFD, header[3] & 0xC0
            if form not in (None, found):
                return True
            form = found
    return False


def _starts_right(audio: AudioInfo, source_audio: _InputAudio) -> bool:
    """Whether copied packets are heard at their correct times in a container without timestamps.

    Only a source without timestamps is certain to have no gaps, and only PCM can be cut at any sample.
    """
    if source_audio.content not in ('avi', 'mxf', 'wav'):
        return False
    span = source_audio.span
    start = (audio.start or 0) * audio.time_base
    if span.begin is not None and audio.codec.startswith('pcm_'):
        return start <= span.begin == span.origin
    return span.begin is None and start == span.origin


def encoded_track(audio: AudioInfo, encoder: str, quality: int, extension: str, is_deep: bool) -> AudioTrack:
    """Return the track for the encoder ('': copied) at ``--output-audio-quality``.

    ``is_deep``: whether the samples have more than 16 bits.
    """
    rate, bit_rate = audio.rate, 0
    options: dict[str, str] = {}
    # Encoders require channel positions.
    layout = usual_layout(audio.layout, audio.channels)
    sample_format = 's32' if encoder == 'flac' and is_deep else ''
    if encoder == 'aac':
        options = {'global_quality': str(_lambda(max(round(quality / 50, 1), 0.1)))}
    elif encoder == 'libmp3lame':
        options = {'global_quality': str(_lambda(round(9 - 9 * quality / 100)))}
        rate = rate if rate in (32000, 44100, 48000) else 44100 if rate < 48000 else 48000
        if extension == '.avi':
            # ``EncodedTrack`` drops the first frame, so no other frame may depend on it.
            options['reservoir'] = '0'
    elif encoder in ('mp2', 'wmav2'):
        bit_rate = min((128, 160, 192, 224, 256, 320), key=lambda rate: abs(rate - (128 + 1.92 * quality))) * 1000
        bit_rate = bit_rate if audio.channels > 1 else min(bit_rate // 2, 160000)
        rate = rate if rate in (32000, 44100, 48000) else 48000
    elif encoder == 'libopus':
        bit_rate = round(64 + (256 - 64) * quality / 100) * 1000
        rate = 48000
    return AudioTrack(audio.index, audio.codec, encoder, rate, layout, tuple(options.items()), bit_rate, sample_format)


def _lambda(quality: float) -> int:
    """Return a quality number on FFmpeg's scale (FF_QP2LAMBDA)."""
    return round(quality * 118)
