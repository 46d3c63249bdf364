"""What becomes of the target's audio: copied packet by packet where nothing changes it, else encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, cast

import av
import av.error
import av.filter

from facefusion.errors import MediaError, OutputError
from facefusion.media.audio_copy import CopiedTrack
from facefusion.media.containers import PCM, check_held, container_of
from facefusion.media.extras import describe_stream
from facefusion.media.opening import open_input
from facefusion.media.options import OutputOptions
from facefusion.media.probe import AudioInfo, VideoInfo
from facefusion.media.timeline import Timeline
from facefusion.media.tracks import AudioTrack, add_encoded, settle_track, why_not_copied
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


@dataclass(frozen=True, slots=True)
class AudioPlan:
    """The tracks of the output and the source time in seconds that is kept of them.

    ``origin`` becomes time 0; only what starts from ``begin`` up to before ``end`` is kept (None: no bound);
    ``volume`` is a factor. Without ``has_times`` the output's sounds stand one after the other from 0.
    ``remarks`` say what was decided and why.
    """

    tracks: tuple[AudioTrack, ...]
    origin: Fraction
    begin: Fraction | None
    end: Fraction | None
    volume: float
    remarks: tuple[str, ...]
    has_times: bool = True

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
            'origin': str(self.origin),
            'begin': None if self.begin is None else str(self.begin),
            'end': None if self.end is None else str(self.end),
            'volume': self.volume,
            'remarks': list(self.remarks),
            'has_times': self.has_times,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AudioPlan:
        """Undoes ``as_record``."""
        tracks = [AudioTrack(**{**track, 'options': tuple(track['options'].items())}) for track in record['tracks']]
        return cls(
            tracks=tuple(tracks),
            origin=Fraction(record['origin']),
            begin=None if record['begin'] is None else Fraction(record['begin']),
            end=None if record['end'] is None else Fraction(record['end']),
            volume=record['volume'],
            remarks=tuple(record['remarks']),
            has_times=record.get('has_times', True),
        )


def plan_audio(info: VideoInfo, timeline: Timeline, options: OutputOptions, extension: str) -> AudioPlan:
    """Decides for every audio stream of a clip whether it is copied, encoded or (volume 0) left out.

    Raises UsageError audio-encoder-unusable, encoder-container.
    """
    extension = extension.lower()
    clock = info.clock * info.time_base
    container = container_of(extension)
    origin = timeline.origin if container.has_times else timeline.begin
    begin = timeline.begin if origin != clock or timeline.is_trimmed else None
    end = timeline.end if timeline.is_trimmed else None
    volume = options.output_audio_volume / 100
    remarks: list[str] = []
    tracks = []
    if volume > 0 and info.audio:
        with open_source(info) as source:
            for audio in info.audio:
                encoder = _encoder_for(audio, info, source, options, extension, remarks)
                track = _track(audio, encoder, options.output_audio_quality)
                tracks.append(settle_track(track, extension, remarks) if encoder else track)
    said = tuple(dict.fromkeys(remarks))
    return AudioPlan(tuple(tracks), origin, begin, end, volume, said, container.has_times)


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
    source: av.container.InputContainer,
    options: OutputOptions,
    extension: str,
    remarks: list[str],
) -> str:
    asked, name, container = options.output_audio_encoder, extension[1:], container_of(extension)
    if asked == 'auto':
        stream = source.streams[audio.index]
        assert isinstance(stream, av.AudioStream)
        fits = (container.copied is None or audio.codec in container.copied) and not why_not_copied(stream, extension)
        # Sound has no times in such a container: copied, gaps in it would move what follows.
        stands = container.has_times or info.content in ('avi', 'mxf')
        if fits and stands and options.output_audio_volume == 100:
            return ''
        encoder = _AGAIN.get(audio.codec, container.automatic_audio)
        # Only mkv is sure to play what its muxer takes.
        if encoder not in container.audio_encoders or not (fits or extension == '.mkv'):
            encoder = container.automatic_audio
        if not fits:
            remarks.append(f'{name} does not hold {audio.codec} audio: it is encoded as {encoder}')
        elif not stands:
            remarks.append(f'{name} has no times of sounds: {audio.codec} audio is encoded as {encoder}, gaps filled')
        return encoder
    if extension == '.mov' and asked in _REPLACED_IN_MOV:
        remarks.append(f'mov does not hold {asked} audio: aac is used')
        return 'aac'
    check_held('audio', asked, extension)
    return asked


def _track(audio: AudioInfo, encoder: str, quality: int) -> AudioTrack:
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
        info: VideoInfo,
        plan: AudioPlan,
        output: av.container.OutputContainer,
        stop: StopFlag | None = None,
    ) -> None:
        self._plan = plan
        self._stop = stop or StopFlag()
        self._name = info.path.name
        self._inputs: list[av.AudioStream] = []
        self._tracks: dict[int, CopiedTrack | _Encoded] = {}
        with ExitStack() as stack:
            # Closed here again when a track cannot be set up.
            self._source = stack.enter_context(open_source(info))
            for track in plan.tracks:
                stream = self._source.streams[track.index]
                assert isinstance(stream, av.AudioStream)
                self._inputs.append(stream)
                self._tracks[track.index] = (
                    _Encoded(stream, track, plan, output)
                    if track.encoder
                    else CopiedTrack(stream, track, plan.origin, plan.begin, plan.end, output)
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
        if self._plan.begin is None and not all(counts.values()):
            raise MediaError(
                'audio-lost',
                f'{self._name} names an audio stream that has no sound in it',
                hint='leave the audio out with --output-audio-volume 0',
            )

    def close(self) -> None:
        """Closes the source."""
        self._open.close()


class _Encoded:
    """Decodes, cuts, scales the volume and encodes again; gaps in the source become silence."""

    def __init__(
        self, stream: av.AudioStream, track: AudioTrack, plan: AudioPlan, output: av.container.OutputContainer
    ) -> None:
        self._output = add_encoded(output, track)
        describe_stream(stream, self._output)
        self._stream = stream
        self._track = track
        self._plan = plan
        self._graph: av.filter.Graph | None = None
        self._is_past_end = False

    def take(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        if self._is_past_end:
            return
        for frame in cast('list[av.AudioFrame]', packet.decode()):
            if self._graph is None:
                self._graph = self._build(frame)
            self._push(self._graph, frame)
            yield from self._drain(self._graph)

    def finish(self) -> Iterator[av.Packet[Any]]:
        if self._graph is not None:
            self._push(self._graph, None)
            yield from self._drain(self._graph)
            yield from self._encode(None)

    def _push(self, graph: av.filter.Graph, frame: av.AudioFrame | None) -> None:
        try:
            graph.push(frame)
        except av.error.EOFError:
            # The trim has its end behind it and takes no more.
            self._is_past_end = True

    def _build(self, frame: av.AudioFrame) -> av.filter.Graph:
        plan, track = self._plan, self._track
        graph = av.filter.Graph()
        base = frame.time_base or Fraction(1, frame.sample_rate)
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=base
            )
        ]
        bounds = [f'start={float(plan.begin):.6f}'] if plan.begin is not None else []
        bounds += [f'end={float(plan.end):.6f}'] if plan.end is not None else []
        if bounds:
            chain.append(graph.add('atrim', ':'.join(bounds)))
        if plan.origin:
            chain.append(graph.add('asetpts', f'PTS-{float(plan.origin):.9f}/TB'))
        chain.append(graph.add('volume', f'{plan.volume:g}'))
        # Where sounds have no times the first one stands at 0, whenever it is heard.
        from_zero = '' if plan.has_times else ':first_pts=0'
        chain.append(graph.add('aresample', f'{track.rate}:async=1000:min_hard_comp=0.1{from_zero}'))
        chain.append(graph.add('aformat', f'sample_rates={track.rate}:channel_layouts={track.layout}'))
        chain.append(graph.add('abuffersink'))
        for first, second in pairwise(chain):
            first.link_to(second)
        graph.configure()
        return graph

    def _encode(self, frame: av.AudioFrame | None) -> list[av.Packet[Any]]:
        try:
            return list(self._output.encode(frame))
        except av.error.FFmpegError as error:
            raise OutputError(
                'audio-encoder-failed',
                f'the audio encoder {self._track.encoder} failed',
                cause=error.strerror or str(error),
                hint='choose another --output-audio-encoder, or leave the option out',
            ) from None

    def _drain(self, graph: av.filter.Graph) -> Iterator[av.Packet[Any]]:
        while True:
            try:
                frame = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, av.AudioFrame)
            yield from self._encode(frame)
