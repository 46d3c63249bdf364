"""The audio of an output, the target's or another file's: copied where nothing changes it, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
import av.error

from facefusion.errors import MediaError
from facefusion.media.audio_copy import CopiedTrack
from facefusion.media.audio_encode import EncodedTrack
from facefusion.media.containers import BOXED, PCM, Container, check_held, container_of
from facefusion.media.opening import open_input
from facefusion.media.options import OutputOptions
from facefusion.media.probe import AudioInfo, MediaInfo, VideoInfo
from facefusion.media.sound import SoundInfo
from facefusion.media.timeline import Timeline
from facefusion.media.tracks import AudioTrack, Kept, settle_track, why_not_copied
from facefusion.stopping import StopFlag

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
# FFmpeg's default positions (av_channel_layout_default).
_USUAL_LAYOUTS = dict(enumerate(('mono', 'stereo', '2.1', '4.0', '5.0', '5.1', '6.1', '7.1'), 1))
_REPLACED_IN_MOV = ('flac', 'libopus')
# Seconds that an encoder may put before the sound, or fill its last packet with: no loss of anything heard.
_STARTING_UP = Fraction(1, 20)


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
        heard = _Heard(sound.path, sound.content, (sound.audio,), _kept_of_sound(sound, timeline, extension))
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
    """The file of which the sound is, what ``kinds.sniff`` names it, and what is kept of its streams."""

    path: Path
    content: str
    streams: tuple[AudioInfo, ...]
    kept: Kept


def _plan_tracks(heard: _Heard, options: OutputOptions, extension: str, remarks: list[str]) -> tuple[AudioTrack, ...]:
    tracks = []
    with open_source(heard.path) as source:
        for audio in heard.streams:
            stream = source.streams[audio.index]
            assert isinstance(stream, av.AudioStream)
            encoder = _encoder_for(audio, heard, stream, options, extension, remarks)
            track = _track(audio, encoder, options.output_audio_quality, extension)
            tracks.append(settle_track(track, extension, remarks) if encoder else track)
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
    if longer > _STARTING_UP:
        yield f'{sound.path.name} is longer than the output: its last {longer:.2f} seconds are left out'
    elif longer < -_STARTING_UP:
        yield f'{sound.path.name} is shorter than the output, of which the last {-longer:.2f} seconds are silent'


def _left_out(info: VideoInfo, kept: Kept, extension: str) -> Iterator[str]:
    """Says which sound of an untrimmed clip the output will not have."""
    name = extension[1:]
    starts = [audio.start * audio.time_base for audio in info.audio if audio.start is not None]
    if kept.begin is not None and starts and kept.begin - min(starts) > _STARTING_UP:
        lost = float(kept.begin - min(starts))
        yield f'{name} has no place for sound before the first frame: {lost:.2f} seconds of audio are left out'
    if container_of(extension).ends_together and kept.end is not None:
        lost = float(_end_of_sound(info) - kept.end)
        if lost > _STARTING_UP:
            yield f'{name} ends with the last frame: {lost:.2f} seconds of audio behind it are left out'


def _end_of_sound(info: VideoInfo) -> Fraction:
    """When, in seconds, the last packet of any audio stream ends; containers need not tell the truth about it."""
    end = Fraction(0)
    with open_source(info.path) as source:
        try:
            for packet in source.demux([source.streams[audio.index] for audio in info.audio]):
                if packet.size and packet.pts is not None:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        except av.error.FFmpegError as error:
            raise _damaged(info.path.name, error) from None
    return end


@contextmanager
def open_source(path: Path) -> Iterator[av.container.InputContainer]:
    """Opens a file for its audio. Raises MediaError audio-damaged."""
    try:
        source = open_input(path)
    except av.error.FFmpegError as error:
        raise _damaged(path.name, error) from None
    with source:
        yield source


def _damaged(name: str, error: av.error.FFmpegError) -> MediaError:
    return MediaError(
        'audio-damaged',
        f'the audio of {name} cannot be read',
        cause=error.strerror or str(error),
        hint='repair the file, or leave its audio out with --output-audio-volume 0',
    )


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
        # Of a clip PCM is kept as it is, but a recording is no reason to write mp4 files that most players are mute on.
        plays = heard.content != 'wav' or container.muxer != 'mp4'
        stands = container.has_times or _stands(audio, heard)
        if fits and plays and stands and options.output_audio_volume == 100:
            return ''
        encoder = _AGAIN.get(audio.codec, container.automatic_audio)
        # Only mkv is sure to play what its muxer takes.
        if encoder not in container.audio_encoders or not (fits or extension == '.mkv') or not plays:
            encoder = container.automatic_audio
        if not fits:
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


def _track(audio: AudioInfo, encoder: str, quality: int, extension: str) -> AudioTrack:
    rate, bit_rate = audio.rate, 0
    options: dict[str, str] = {}
    # A stream that names no positions has '2 channels'; encoders want some.
    layout = _USUAL_LAYOUTS.get(audio.channels, audio.layout) if 'channels' in audio.layout else audio.layout
    if encoder == 'aac':
        options = {'global_quality': str(_lambda(max(round(quality / 50, 1), 0.1)))}
    elif encoder == 'libmp3lame':
        options = {'global_quality': str(_lambda(round(9 - 9 * quality / 100)))}
        layout = layout if audio.channels <= 2 else 'stereo'
        rate = rate if rate in (32000, 44100, 48000) else 44100
        if extension == '.avi':
            # The first frame is left out (``EncodedTrack``): no other may have a part in it.
            options['reservoir'] = '0'
    elif encoder in ('mp2', 'wmav2'):
        bit_rate = min((128, 160, 192, 224, 256, 320), key=lambda kept: abs(kept - (128 + 1.92 * quality))) * 1000
        layout = layout if audio.channels <= 2 else 'stereo'
        bit_rate = bit_rate if layout == 'stereo' else min(bit_rate // 2, 160000)
        rate = rate if rate in (32000, 44100, 48000) else 48000
    elif encoder == 'libopus':
        bit_rate = round(64 + (256 - 64) * quality / 100) * 1000
        rate = 48000
    return AudioTrack(audio.index, audio.codec, encoder, rate, layout, tuple(options.items()), bit_rate)


def _lambda(quality: float) -> int:
    """FFmpeg's scale of a quality number (FF_QP2LAMBDA)."""
    return round(quality * 118)


class AudioFeed:
    """Adds the tracks of a plan to an output and yields their packets in the order of their times.

    Raises MediaError audio-damaged when the source's audio cannot be read to its end, audio-lost when a stream of
    an untrimmed clip yields nothing; OutputError audio-encoder-failed.
    """

    def __init__(
        self,
        info: MediaInfo,
        plan: AudioPlan,
        output: av.container.OutputContainer,
        stop: StopFlag | None = None,
    ) -> None:
        self._plan = plan
        self._stop = stop or StopFlag()
        path = plan.path or info.path
        self._name = path.name
        self._inputs: list[av.AudioStream] = []
        self._tracks: dict[int, CopiedTrack | EncodedTrack] = {}
        with ExitStack() as stack:
            # Closed here again when a track cannot be set up.
            self._source = stack.enter_context(open_source(path))
            kept = plan.kept
            for track in plan.tracks:
                stream = self._source.streams[track.index]
                assert isinstance(stream, av.AudioStream)
                self._inputs.append(stream)
                self._tracks[track.index] = (
                    EncodedTrack(stream, track, kept, plan.volume, output)
                    if track.encoder
                    else CopiedTrack(stream, track, kept, output)
                )
            self._open = stack.pop_all()

    def __iter__(self) -> Iterator[av.Packet[Any]]:
        counts = dict.fromkeys(self._tracks, 0)
        try:
            for packet in self._source.demux(self._inputs):
                self._stop.check()
                # Of the stream: a packet that flushes carries no index, and one that is handed on the output's.
                index = packet.stream.index
                for made in self._tracks[index].take(packet):
                    counts[index] += 1
                    yield made
            for index, track in self._tracks.items():
                for made in track.finish():
                    counts[index] += 1
                    yield made
        except av.error.FFmpegError as error:
            raise _damaged(self._name, error) from None
        if self._plan.kept.begin is None and not all(counts.values()):
            raise MediaError(
                'audio-lost',
                f'{self._name} names an audio stream that has no sound in it',
                hint='leave the audio out with --output-audio-volume 0',
            )

    def close(self) -> None:
        """Closes the source."""
        self._open.close()
