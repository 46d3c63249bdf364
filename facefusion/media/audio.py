"""The audio of an output, the target's or another file's: copied where nothing changes it, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import av.error

from facefusion.media.adts import changes_form
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
from facefusion.media.tracks import AudioTrack, Kept, why_not_copied

# The encoder that writes a codec again in its own kind.
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
    """The tracks of the output and what is kept of them; ``volume`` is a factor.

    ``remarks`` say what was decided and why, and what is left out. The tracks are those of the file ``path`` (None:
    the target).
    """

    tracks: tuple[AudioTrack, ...]
    kept: Kept
    volume: float
    remarks: tuple[str, ...]
    path: Path | None = None

    @property
    def mode(self) -> Literal['none', 'copy', 'encode']:
        """Whether there is audio, and whether all of it is copied."""
        if not self.tracks:
            return 'none'
        return 'encode' if any(track.encoder for track in self.tracks) else 'copy'

    def as_record(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        return {
            'mode': self.mode,
            'tracks': [
                {
                    'index': track.index,
                    'codec': track.codec,
                    'encoder': track.encoder,
                    'rate': track.rate,
                    'layout': track.layout,
                    'options': dict(track.options),
                    'bit_rate': track.bit_rate,
                    'format': track.format,
                }
                for track in self.tracks
            ],
            'origin': str(self.kept.origin),
            'begin': None if self.kept.begin is None else str(self.kept.begin),
            'end': None if self.kept.end is None else str(self.kept.end),
            'until': None if self.kept.until is None else str(self.kept.until),
            'has_times': self.kept.has_times,
            'volume': self.volume,
            'remarks': list(self.remarks),
            'path': None if self.path is None else str(self.path),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AudioPlan:
        """Undoes ``as_record``."""
        tracks = [AudioTrack(**{**track, 'options': tuple(track['options'].items())}) for track in record['tracks']]
        begin, end, until = (
            None if record.get(name) is None else Fraction(record[name]) for name in ('begin', 'end', 'until')
        )
        kept = Kept(Fraction(record['origin']), begin, end, record.get('has_times', True), until)
        path = record.get('path')
        return cls(
            tuple(tracks), kept, record['volume'], tuple(record['remarks']), None if path is None else Path(path)
        )


def plan_audio(
    info: MediaInfo, timeline: Timeline, options: OutputOptions, extension: str, sound: SoundInfo | None = None
) -> AudioPlan:
    """Decides for every audio stream of a clip whether it is copied, encoded or (volume 0) left out.

    With ``sound`` that takes its place: it begins with the first output frame, and what is longer is cut off. Raises
    UsageError audio-encoder-unusable, encoder-container.
    """
    extension = extension.lower()
    volume = options.output_audio_volume / 100
    if sound is not None:
        heard = _Heard(sound.path, sound.content, (sound.audio,), _kept_of_sound(sound, timeline, extension), True)
    elif isinstance(info, VideoInfo):
        heard = _Heard(info.path, info.content, info.audio, _kept(info, timeline, container_of(extension)))
    else:
        heard = _Heard(info.path, '', (), Kept(timeline.origin, None, None))
    remarks: list[str] = []
    tracks = _plan_tracks(heard, options, extension, remarks) if volume > 0 and heard.streams else ()
    if tracks and sound is not None:
        remarks += _said_of_sound(info, sound, timeline)
    elif tracks and isinstance(info, VideoInfo) and not timeline.is_trimmed:
        remarks += _left_out(info, heard.kept, extension)
    path = None if sound is None else sound.path
    return AudioPlan(tracks, heard.kept, volume, tuple(dict.fromkeys(remarks)), path)


class _Heard(NamedTuple):
    """The file of which the sound is, what ``kinds.sniff`` names it, and what is kept of its streams.

    ``is_other`` tells that it is not the target.
    """

    path: Path
    content: str
    streams: tuple[AudioInfo, ...]
    kept: Kept
    is_other: bool = False


def _plan_tracks(heard: _Heard, options: OutputOptions, extension: str, remarks: list[str]) -> tuple[AudioTrack, ...]:
    tracks = []
    found = {audio.index: audio for audio in heard.streams}
    with open_audio(heard.path) as source:
        for number, stream in enumerate(source.streams.audio, 1):
            audio = found.get(stream.index)
            if audio is None:
                continue
            name = f'the audio of {heard.path.name}' if heard.is_other else f'audio stream {number}'
            encoder = _encoder_for(audio, heard, stream, options, extension, remarks)
            track = _track(audio, encoder, options.output_audio_quality, extension, is_deep(stream))
            if encoder:
                track = settle_track(track, extension)
                remarks += losses(name, stream, track, extension, options.output_audio_encoder)
            remarks += lost_description(name, stream, extension)
            tracks.append(track)
    return tuple(tracks)


def _kept(info: VideoInfo, timeline: Timeline, container: Container) -> Kept:
    begin, end = (timeline.begin, timeline.end) if timeline.is_trimmed else (None, None)
    if container.has_times:
        return Kept(timeline.origin, begin, end)
    rate = timeline.steady_rate(container.has_gaps)
    places = timeline.counted(rate, container.has_gaps) if rate else timeline
    origin = places.origin if rate else timeline.begin
    if begin is None and origin > info.clock * info.time_base:
        begin = origin
    return (
        Kept(origin, begin, places.end, False, places.end - origin)
        if container.ends_together
        else Kept(origin, begin, end, False)
    )


def _kept_of_sound(sound: SoundInfo, timeline: Timeline, extension: str) -> Kept:
    """All of it up to the end of the last frame, time 0 of it when the first frame is shown."""
    container = container_of(extension)
    places = timeline
    if not container.has_times:
        rate = timeline.steady_rate(container.has_gaps)
        places = timeline.counted(rate, container.has_gaps) if rate else timeline
    late, length = places.begin - places.origin, places.end - places.begin
    end = sound.origin + length if container.ends_together or sound.duration > length else None
    # Only where what a decoder is given before the beginning is hidden nothing is lost by cutting there.
    is_cut = not container.has_times or (end is not None and extension in BOXED)
    begin = sound.origin if is_cut else None
    until = late + length if container.ends_together else None
    return Kept(sound.origin - late, begin, end, container.has_times, until)


def _said_of_sound(info: MediaInfo, sound: SoundInfo, timeline: Timeline) -> Iterator[str]:
    yield from sound.remarks
    if isinstance(info, VideoInfo) and info.audio:
        yield f'the audio of {info.path.name} is replaced by that of {sound.path.name}'
    longer = float(sound.duration - (timeline.end - timeline.begin))
    if longer > UNHEARD:
        yield f'{sound.path.name} is longer than the output: its last {longer:.2f} seconds are left out'
    elif longer < -UNHEARD:
        yield f'{sound.path.name} is shorter than the output, of which the last {-longer:.2f} seconds are silent'


def _left_out(info: VideoInfo, kept: Kept, extension: str) -> Iterator[str]:
    """Says which sound of an untrimmed clip the output will not have."""
    name = extension[1:]
    starts = [audio.start * audio.time_base for audio in info.audio if audio.start is not None]
    if kept.begin is not None and starts and kept.begin - min(starts) > UNHEARD:
        lost = float(kept.begin - min(starts))
        yield f'{name} has no place for sound before the first frame: {lost:.2f} seconds of audio are left out'
    if container_of(extension).ends_together and kept.end is not None:
        lost = float(_end_of_sound(info) - kept.end)
        if lost > UNHEARD:
            yield f'{name} ends with the last frame: {lost:.2f} seconds of audio behind it are left out'


def _end_of_sound(info: VideoInfo) -> Fraction:
    """When, in seconds, the last packet of any audio stream ends; containers need not tell the truth about it."""
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
    heard: _Heard,
    stream: av.AudioStream,
    options: OutputOptions,
    extension: str,
    remarks: list[str],
) -> str:
    asked, name, container = options.output_audio_encoder, extension[1:], container_of(extension)
    if asked == 'auto':
        fits = (container.copied is None or audio.codec in container.copied) and not why_not_copied(stream, extension)
        fits = fits and _keeps_places(audio, extension)
        is_steady = not fits or _is_steady(audio, heard, extension)
        fits = fits and is_steady
        # Of a clip PCM is kept as it is, but a recording is no reason to write mp4 files that most players are mute on.
        plays = heard.content != 'wav' or container.muxer != 'mp4'
        stands = container.has_times or _stands(audio, heard)
        if fits and plays and stands and options.output_audio_volume == 100:
            return ''
        encoder = _AGAIN.get(audio.codec, container.automatic_audio)
        if encoder == 'pcm_s16le' and is_deep(stream) and 'pcm_s32le' in container.audio_encoders:
            encoder = 'pcm_s32le'
        # Only mkv is sure to play what its muxer takes.
        if encoder not in container.audio_encoders or not (fits or extension == '.mkv') or not plays:
            encoder = container.automatic_audio
        if not is_steady:
            text = f'{audio.codec} audio changes its rate or channels, which {name} cannot tell: it is encoded again'
            remarks.append(text)
        elif not fits and encoder != audio.codec:
            remarks.append(f'{name} does not hold {audio.codec} audio: it is encoded as {encoder}')
        elif not plays:
            remarks.append(f'few players know {audio.codec} audio in {name}: it is encoded as {encoder}')
        elif not stands:
            how = 'gaps filled' if heard.kept.begin is None else 'so that it begins with the pictures'
            remarks.append(f'{name} has no times of sounds: {audio.codec} audio is encoded as {encoder}, {how}')
        return encoder
    if extension == '.mov' and asked in _REPLACED_IN_MOV:
        remarks.append(f'mov does not hold {asked} audio: aac is used')
        return 'aac'
    check_held('audio', asked, extension)
    return asked


def _keeps_places(audio: AudioInfo, extension: str) -> bool:
    """Whether copied packets that do not say themselves where their channels belong are read as they are meant."""
    if audio.codec not in (*PCM, 'flac'):
        return True
    layout = usual_layout(audio.layout, audio.channels)
    return comes_back(AudioTrack(audio.index, audio.codec, audio.codec, audio.rate, layout, (), 0), extension)


def _is_steady(audio: AudioInfo, heard: _Heard, extension: str) -> bool:
    """Whether copied packets of AAC all are what a container says of the first one; ts says it of each."""
    if audio.codec != 'aac' or heard.content != 'mpegts' or extension == '.ts':
        return True
    try:
        with open_audio(heard.path) as source:
            return not changes_form(source, audio.index)
    except av.error.FFmpegError as error:
        raise damaged_audio(heard.path, error) from None


def _stands(audio: AudioInfo, heard: _Heard) -> bool:
    """Whether copied packets sound when they should in a container without times.

    Only of one that has none either it is sure that no gap lies between them; and only PCM can be cut anywhere.
    """
    if heard.content not in ('avi', 'mxf', 'wav'):
        return False
    kept = heard.kept
    start = (audio.start or 0) * audio.time_base
    if kept.begin is not None and audio.codec.startswith('pcm_'):
        return start <= kept.begin == kept.origin
    return kept.begin is None and start == kept.origin


def _track(audio: AudioInfo, encoder: str, quality: int, extension: str, is_deep: bool) -> AudioTrack:
    rate, bit_rate = audio.rate, 0
    options: dict[str, str] = {}
    # Encoders want positions.
    layout = usual_layout(audio.layout, audio.channels)
    sample_format = 's32' if encoder == 'flac' and is_deep else ''
    if encoder == 'aac':
        options = {'global_quality': str(_lambda(max(round(quality / 50, 1), 0.1)))}
    elif encoder == 'libmp3lame':
        options = {'global_quality': str(_lambda(round(9 - 9 * quality / 100)))}
        rate = rate if rate in (32000, 44100, 48000) else 44100 if rate < 48000 else 48000
        if extension == '.avi':
            # The first frame is left out (``EncodedTrack``): no other may have a part in it.
            options['reservoir'] = '0'
    elif encoder in ('mp2', 'wmav2'):
        bit_rate = min((128, 160, 192, 224, 256, 320), key=lambda kept: abs(kept - (128 + 1.92 * quality))) * 1000
        bit_rate = bit_rate if audio.channels > 1 else min(bit_rate // 2, 160000)
        rate = rate if rate in (32000, 44100, 48000) else 48000
    elif encoder == 'libopus':
        bit_rate = round(64 + (256 - 64) * quality / 100) * 1000
        rate = 48000
    return AudioTrack(audio.index, audio.codec, encoder, rate, layout, tuple(options.items()), bit_rate, sample_format)


def _lambda(quality: float) -> int:
    """FFmpeg's scale of a quality number (FF_QP2LAMBDA)."""
    return round(quality * 118)
