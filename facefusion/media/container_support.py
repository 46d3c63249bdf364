"""What a container gives back of what is written into it, found by writing a small file and reading that."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, TypeVar

import av
import av.error
import av.filter
import av.stream
import numpy as np

from facefusion.media.containers import BOXED, CONTAINERS
from facefusion.media.extras import describe_stream, title_of
from facefusion.media.languages import same_language
from facefusion.media.layouts import channels_of, keeps_all, link, renamed, usual_layout
from facefusion.media.tracks import AudioTrack, add_encoded

_Found = TypeVar('_Found')
_Disposition = av.stream.Disposition
# Those that say what a stream is for. That one is the default is no loss where it is the first.
_PURPOSES = (
    'forced',
    'original',
    'dub',
    'comment',
    'lyrics',
    'karaoke',
    'hearing_impaired',
    'visual_impaired',
    'captions',
    'descriptions',
)
# Shorter ones of a transport stream are read without their tables.
_PICTURES = 12
_FAST = {'libx264': {'preset': 'ultrafast'}, 'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8'}}
# Adds streams to an output beside its picture, and gives what their packets are, once it has begun.
_Fill = Callable[[av.container.OutputContainer, Any], Iterator[Any]]


def lost_tags(tags: Mapping[str, str], extension: str) -> tuple[str, ...]:
    """The names of the tags of a clip that do not come back from a container."""
    if not tags:
        return ()

    def fill(output: av.container.OutputContainer, picture: Any) -> Iterator[av.Packet[Any]]:
        output.metadata.update(tags)
        return iter(())

    def read(written: av.container.InputContainer) -> set[str]:
        return {value for source in (written, *written.streams) for value in source.metadata.values()}

    found = _read_back(extension, fill, read, tag_options(tags, extension)) or set()
    return tuple(sorted(key for key, value in tags.items() if value not in found))


def tag_options(tags: Mapping[str, str], extension: str) -> dict[str, str]:
    """The muxer's options with which these tags can be written.

    QuickTime has names like com.apple.quicktime.make in a list of their own; mp4 and mov have one kind of list or the
    other.
    """
    has_names = extension in BOXED and any(key.startswith('com.') for key in tags)
    return {'movflags': '+use_metadata_tags'} if has_names else {}


def lost_description(name: str, stream: Any, extension: str, encoder: str = '') -> Iterator[str]:
    """Says what of a stream's language, title and purposes does not come back from a container.

    ``encoder`` is one of subtitles, with which these are tried.
    """
    language, title = stream.metadata.get('language', 'und'), title_of(stream)
    purposes = _purposes(stream)
    is_later = stream.type == 'audio' and stream.disposition & _Disposition.default and _place(stream) > 0
    if language == 'und' and not title and not purposes and not is_later:
        return

    def fill(output: av.container.OutputContainer, picture: Any) -> Iterator[av.Packet[Any]]:
        if stream.type == 'video':
            describe_stream(stream, picture)
            return iter(())
        if stream.type == 'subtitle':
            describe_stream(stream, output.add_stream(encoder))
            return iter(())
        # The second one, if it is not the first: of these containers may not tell which is the default.
        tracks = [add_encoded(output, _usual_track(extension)) for _ in range(2 if is_later else 1)]
        describe_stream(stream, tracks[-1])
        return (packet for track in tracks for packet in _tones(track))

    def read(written: av.container.InputContainer) -> tuple[str, str, list[str], bool]:
        held: Any = [found for found in written.streams if found.type == stream.type][-1]
        is_default = bool(held.disposition & _Disposition.default)
        return held.metadata.get('language', 'und'), title_of(held), _purposes(held), is_default

    found = _read_back(extension, fill, read) or ('und', '', [], False)
    lost = [f'its language ({language})'] if not same_language(language, found[0]) else []
    lost += [f'its title ({title})'] if title != found[1] else []
    lost += [f'that it is {purpose.replace("_", " ")}' for purpose in purposes if purpose not in found[2]]
    lost += ['that it is the default'] if is_later and not found[3] else []
    if lost:
        yield f'{extension[1:]} does not hold of {name}: {", ".join(lost)}'


def comes_back(track: AudioTrack, extension: str) -> bool:
    """Whether a track that is encoded is read with all of its channels, each in its place.

    FFmpeg's libopus wrapper, for one, exchanges channels of 5.0 and 6.1; and not every container tells their places.
    """
    if track.layout in ('mono', 'stereo'):
        return True
    if 'channels' in track.layout:
        # It has no places, which mp4 demands of PCM (ISO/IEC 23003-5).
        return CONTAINERS[extension].muxer != 'mp4'

    def fill(output: av.container.OutputContainer, picture: Any) -> Iterator[av.Packet[Any]]:
        return _tones(add_encoded(output, track))

    def read(written: av.container.InputContainer) -> tuple[str, list[float]]:
        context = written.streams.audio[0].codec_context
        resampler = av.AudioResampler('flt')
        parts = [part.to_ndarray() for frame in written.decode(audio=0) for part in resampler.resample(frame)]
        samples = np.concatenate(parts, axis=1).reshape(-1, context.channels)
        return usual_layout(context.layout.name, context.channels), (samples**2).mean(0).tolist()

    layout, heard = _read_back(extension, fill, read) or ('', [])
    if not heard or not keeps_all(track.layout, layout) or not keeps_all(layout, track.layout):
        return False
    # The later a channel the louder is its tone.
    names = renamed(track.layout, layout)
    levels = dict(zip(channels_of(layout), heard, strict=True))
    return all(levels[quieter] < levels[louder] for quieter, louder in pairwise(names))


def _read_back(
    extension: str,
    fill: _Fill,
    read: Callable[[av.container.InputContainer], _Found],
    options: Mapping[str, str] | None = None,
) -> _Found | None:
    """What ``read`` finds in a file with a picture and what ``fill`` adds; None where it cannot be written or read."""
    file, held = io.BytesIO(), CONTAINERS[extension]
    with suppress(av.error.FFmpegError, ValueError, IndexError):
        output = av.open(file, 'w', format=held.muxer, options=dict(options or {}))
        try:
            codec = 'mpeg2video' if held.muxer == 'mxf' else held.automatic[0]
            picture: Any = output.add_stream(codec, rate=25, options=_FAST.get(codec, {}))
            picture.width, picture.height, picture.pix_fmt = 128, 128, 'yuv420p'
            others = fill(output, picture)
            for number in range(_PICTURES):
                frame = av.VideoFrame(128, 128, 'yuv420p')
                frame.pts = number
                for packet in picture.encode(frame):
                    output.mux(packet)
            for packet in (*picture.encode(None), *others):
                output.mux(packet)
        finally:
            output.close()
        file.seek(0)
        with av.open(file, 'r') as written:
            return read(written)
    return None


def _usual_track(extension: str) -> AudioTrack:
    return AudioTrack(0, '', CONTAINERS[extension].automatic_audio, 48000, 'stereo', (), 128000)


def _tones(stream: av.AudioStream) -> Iterator[av.Packet[Any]]:
    """Half a second of a deep tone, louder from channel to channel: also an LFE channel has it."""
    context = stream.codec_context
    length, layout, rate = context.frame_size or 1024, context.layout.name, context.sample_rate
    count = context.channels
    tones = '|'.join(f'{(number + 1) / count / 2}*sin(60*2*PI*t)' for number in range(count))
    graph = av.filter.Graph()
    begin = graph.add('aevalsrc', f'{tones}:channel_layout={layout}:sample_rate={rate}:nb_samples={length}')
    taken = f'sample_fmts={context.format.name}:channel_layouts={layout}'
    link([begin, graph.add('aformat', taken), graph.add('abuffersink')])
    graph.configure()
    for _ in range(rate // 2 // length):
        frame: Any = graph.pull()
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _purposes(stream: Any) -> list[str]:
    return [name for name in _PURPOSES if stream.disposition & getattr(_Disposition, name)]


def _place(stream: Any) -> int:
    """How many streams of its kind come before it."""
    return sum(other.type == stream.type and other.index < stream.index for other in stream.container.streams)
