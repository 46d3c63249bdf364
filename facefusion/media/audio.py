"""What becomes of the target's audio: copied packet by packet where nothing changes it, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import av.error

from facefusion.errors import MediaError
from facefusion.media.adts import changes_form
from facefusion.media.audio_copy import UNHEARD, CopiedTrack
from facefusion.media.audio_encode import EncodedTrack
from facefusion.media.audio_settle import is_deep, losses, settle_track
from facefusion.media.containers import PCM, Container, check_held, container_of
from facefusion.media.held import comes_back, lost_description
from facefusion.media.layouts import usual_layout
from facefusion.media.opening import open_input
from facefusion.media.options import OutputOptions
from facefusion.media.probe import AudioInfo, VideoInfo
from facefusion.media.timeline import Timeline
from facefusion.media.tracks import AudioTrack, Kept, why_not_copied
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
_REPLACED_IN_MOV = ('flac', 'libopus')


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """The tracks of the output and what is kept of them; ``volume`` is a factor.

    ``remarks`` say what was decided and why, and what is left out.
    """

    tracks: tuple[AudioTrack, ...]
    kept: Kept
    volume: float
    remarks: tuple[str, ...]

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
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AudioPlan:
        """Undoes ``as_record``."""
        tracks = [AudioTrack(**{**track, 'options': tuple(track['options'].items())}) for track in record['tracks']]
        begin, end, until = (
            None if record.get(name) is None else Fraction(record[name]) for name in ('begin', 'end', 'until')
        )
        kept = Kept(Fraction(record['origin']), begin, end, record.get('has_times', True), until)
        return cls(tuple(tracks), kept, record['volume'], tuple(record['remarks']))


def plan_audio(info: VideoInfo, timeline: Timeline, options: OutputOptions, extension: str) -> AudioPlan:
    """Decides for every audio stream of a clip whether it is copied, encoded or (volume 0) left out.

    Raises UsageError audio-encoder-unusable, encoder-container.
    """
    extension = extension.lower()
    kept = _kept(info, timeline, container_of(extension))
    volume = options.output_audio_volume / 100
    remarks: list[str] = []
    tracks = []
    found = {audio.index: audio for audio in info.audio}
    if volume > 0 and found:
        with open_source(info) as source:
            for number, stream in enumerate(source.streams.audio, 1):
                audio = found.get(stream.index)
                if audio is None:
                    continue
                encoder = _encoder_for(audio, info, stream, options, extension, kept, remarks)
                track = _track(audio, encoder, options.output_audio_quality, extension, is_deep(stream))
                if encoder:
                    track = settle_track(track, extension)
                    remarks += losses(number, stream, track, extension, options.output_audio_encoder)
                remarks += lost_description(f'audio stream {number}', stream, extension)
                tracks.append(track)
            if not timeline.is_trimmed:
                remarks += _left_out(info, source, kept, extension)
    return AudioPlan(tuple(tracks), kept, volume, tuple(dict.fromkeys(remarks)))


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


def _left_out(info: VideoInfo, source: av.container.InputContainer, kept: Kept, extension: str) -> Iterator[str]:
    """Says which sound of an untrimmed clip the output will not have."""
    name = extension[1:]
    starts = [audio.start * audio.time_base for audio in info.audio if audio.start is not None]
    if kept.begin is not None and starts and kept.begin - min(starts) > UNHEARD:
        lost = float(kept.begin - min(starts))
        yield f'{name} has no place for sound before the first frame: {lost:.2f} seconds of audio are left out'
    if container_of(extension).ends_together and kept.end is not None:
        lost = float(_end_of_sound(info, source) - kept.end)
        if lost > UNHEARD:
            yield f'{name} ends with the last frame: {lost:.2f} seconds of audio behind it are left out'


def _end_of_sound(info: VideoInfo, source: av.container.InputContainer) -> Fraction:
    """When, in seconds, the last packet of any audio stream ends; containers need not tell the truth about it."""
    end = Fraction(0)
    try:
        for packet in source.demux([source.streams[audio.index] for audio in info.audio]):
            if packet.size and packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    except av.error.FFmpegError as error:
        raise _damaged(info.path.name, error) from None
    return end


@contextmanager
def open_source(info: VideoInfo) -> Iterator[av.container.InputContainer]:
    """Opens the clip for its audio. Raises MediaError audio-damaged."""
    try:
        source = open_input(info.path)
    except av.error.FFmpegError as error:
        raise _damaged(info.path.name, error) from None
    with source:
        yield source


def _damaged(name: str, error: av.error.FFmpegError) -> MediaError:
    return MediaError(
        'audio-damaged',
        f'the audio of {name} cannot be read',
        cause=error.strerror or str(error),
        hint='repair the clip, or leave its audio out with --output-audio-volume 0',
    )


def _encoder_for(
    audio: AudioInfo,
    info: VideoInfo,
    stream: av.AudioStream,
    options: OutputOptions,
    extension: str,
    kept: Kept,
    remarks: list[str],
) -> str:
    asked, name, container = options.output_audio_encoder, extension[1:], container_of(extension)
    if asked == 'auto':
        fits = (container.copied is None or audio.codec in container.copied) and not why_not_copied(stream, extension)
        fits = fits and _keeps_places(audio, extension)
        is_steady = not fits or _is_steady(audio, info, extension)
        fits = fits and is_steady
        stands = container.has_times or _stands(audio, info, kept)
        if fits and stands and options.output_audio_volume == 100:
            return ''
        encoder = _AGAIN.get(audio.codec, container.automatic_audio)
        if encoder == 'pcm_s16le' and is_deep(stream) and 'pcm_s32le' in container.audio_encoders:
            encoder = 'pcm_s32le'
        # Only mkv is sure to play what its muxer takes.
        if encoder not in container.audio_encoders or not (fits or extension == '.mkv'):
            encoder = container.automatic_audio
        if not is_steady:
            text = f'{audio.codec} audio changes its rate or channels, which {name} cannot tell: it is encoded again'
            remarks.append(text)
        elif not fits and encoder != audio.codec:
            remarks.append(f'{name} does not hold {audio.codec} audio: it is encoded as {encoder}')
        elif not stands:
            how = 'gaps filled' if kept.begin is None else 'so that it begins with the pictures'
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


def _is_steady(audio: AudioInfo, info: VideoInfo, extension: str) -> bool:
    """Whether copied packets of AAC all are what a container says of the first one; ts says it of each."""
    if audio.codec != 'aac' or info.content != 'mpegts' or extension == '.ts':
        return True
    try:
        with open_source(info) as source:
            return not changes_form(source, audio.index)
    except av.error.FFmpegError as error:
        raise _damaged(info.path.name, error) from None


def _stands(audio: AudioInfo, info: VideoInfo, kept: Kept) -> bool:
    """Whether copied packets sound when they should in a container without times.

    Only of one that has none either it is sure that no gap lies between them; and only PCM can be cut anywhere.
    """
    if info.content not in ('avi', 'mxf'):
        return False
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


class AudioFeed:
    """Adds the tracks of a plan to an output and yields their packets in the order of their times.

    Raises MediaError audio-damaged when the source's audio cannot be read to its end, audio-lost when a stream of
    an untrimmed clip yields nothing; OutputError audio-encoder-failed.
    """

    def __init__(
        self,
        info: VideoInfo,
        plan: AudioPlan,
        output: av.container.OutputContainer,
        stop: StopFlag | None = None,
    ) -> None:
        self._plan = plan
        self._stop = stop or StopFlag()
        self._name = info.path.name
        self._inputs: list[av.AudioStream] = []
        self._tracks: dict[int, CopiedTrack | EncodedTrack] = {}
        with ExitStack() as stack:
            # Closed here again when a track cannot be set up.
            self._source = stack.enter_context(open_source(info))
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

    @property
    def remarks(self) -> tuple[str, ...]:
        """What of the sound was lost, as far as only reading it could show; complete when all packets were yielded."""
        numbers = {stream.index: number for number, stream in enumerate(self._source.streams.audio, 1)}
        found = ((numbers[index], text) for index, track in self._tracks.items() for text in track.remarks)
        return tuple(f'audio stream {number} {text}' for number, text in found)

    def close(self) -> None:
        """Closes the source."""
        self._open.close()
