"""Find out what a container preserves by writing a small file and reading it back."""

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
# The dispositions that state a stream's purpose. 'default' is checked separately, for later audio only.
_PURPOSES = (
    *('forced', 'original', 'dub', 'comment', 'lyrics', 'karaoke'),
    *('hearing_impaired', 'visual_impaired', 'captions', 'descriptions'),
)
# FFmpeg does not read the tables of shorter transport streams.
_FRAMES = 12
_FAST = {'libx264': {'preset': 'ultrafast'}, 'libvpx-vp9': {'deadline': 'realtime', 'cpu-used': '8'}}
# A function that adds further streams to an output and returns their packets, which are read once the output has begun.
_Fill = Callable[[av.container.OutputContainer, Any], Iterator[Any]]


def lost_tags(tags: Mapping[str, str], extension: str) -> tuple[str, ...]:
    """Return the names of the tags of a clip that a container does not preserve."""
    if not tags:
        return ()

    def fill(output: av.container.OutputContainer, video: Any) -> Iterator[av.Packet[Any]]:
        output.metadata.update(tags)
        return iter(())

    def read(written: av.container.InputContainer) -> set[str]:
        return {value for source in (written, *written.streams) for value in source.metadata.values()}

    found = _read_back(extension, fill, read, tag_options(tags, extension)) or set()
    return tuple(sorted(key for key, value in tags.items() if value not in found))


def tag_options(tags: Mapping[str, str], extension: str) -> dict[str, str]:
    """Return the muxer's options for writing these tags.

    QuickTime stores tags such as com.apple.quicktime.make in a list of their own. An mp4 or mov file can contain either
    this list or the usual one.
    """
    has_names = extension in BOXED and any(key.startswith('com.') for key in tags)
    return {'movflags': '+use_metadata_tags'} if has_names else {}


def lost_description(name: str, stream: Any, extension: str, encoder: str = '') -> Iterator[str]:
    """Yield a sentence on the language, title and purposes of a stream that a container does not preserve.

    ``encoder`` is the subtitle encoder that the test uses.
    """
    language, title = stream.metadata.get('language', 'und'), title_of(stream)
    purposes = _purposes(stream)
    earlier = [other for other in stream.container.streams if other.type == 'audio' and other.index < stream.index]
    is_later = stream.type == 'audio' and stream.disposition & _Disposition.default and bool(earlier)
    if language == 'und' and not title and not purposes and not is_later:
        return

    def fill(output: av.container.OutputContainer, video: Any) -> Iterator[av.Packet[Any]]:
        if stream.type == 'video':
            describe_stream(stream, video)
            return iter(())
        if stream.type == 'subtitle':
            describe_stream(stream, output.add_stream(encoder))
            return iter(())
        # A later stream is tested as the second track, because some containers do not store which track is the default.
        track = AudioTrack(0, '', CONTAINERS[extension].automatic_audio, 48000, 'stereo', (), 128000)
        tracks = [add_encoded(output, track) for _ in range(2 if is_later else 1)]
        describe_stream(stream, tracks[-1])
        return (packet for added in tracks for packet in _tones(added))

    def read(written: av.container.InputContainer) -> tuple[str, str, list[str], bool]:
        last: Any = [found for found in written.streams if found.type == stream.type][-1]
        is_default = bool(last.disposition & _Disposition.default)
        return last.metadata.get('language', 'und'), title_of(last), _purposes(last), is_default

    found = _read_back(extension, fill, read) or ('und', '', [], False)
    lost = [f'its language ({language})'] if not same_language(language, found[0]) else []
    lost += [f'its title ({title})'] if title != found[1] else []
    lost += [f'its purpose ({purpose.replace("_", " ")})' for purpose in purposes if purpose not in found[2]]
    lost += ['its default flag'] if is_later and not found[3] else []
    if lost:
        yield f'{name} loses in {extension[1:]}: {", ".join(lost)}'


def comes_back(track: AudioTrack, extension: str) -> bool:
    """Whether an encoded track is read back with all of its channels in their positions.

    FFmpeg's libopus wrapper exchanges channels of 5.0 and 6.1, and some containers do not store positions.
    """
    if track.layout in ('mono', 'stereo'):
        return True
    if 'channels' in track.layout:
        # Such a layout has no channel positions, which mp4 requires for PCM (ISO/IEC 23003-5).
        return CONTAINERS[extension].muxer != 'mp4'

    def fill(output: av.container.OutputContainer, video: Any) -> Iterator[av.Packet[Any]]:
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
    # Every channel has a louder tone than the one before.
    names = renamed(track.layout, layout)
    levels = dict(zip(channels_of(layout), heard, strict=True))
    return all(levels[quieter] < levels[louder] for quieter, louder in pairwise(names))


def _read_back(
    extension: str,
    fill: _Fill,
    read: Callable[[av.container.InputContainer], _Found],
    options: Mapping[str, str] | None = None,
) -> _Found | None:
    """Return the result of ``read`` on a file with a video and the streams of ``fill``; None if either fails."""
    file, container = io.BytesIO(), CONTAINERS[extension]
    with suppress(av.error.FFmpegError, ValueError, IndexError):
        output = av.open(file, 'w', format=container.muxer, options=dict(options or {}))
        try:
            codec = 'mpeg2video' if container.muxer == 'mxf' else container.automatic[0]
            video: Any = output.add_stream(codec, rate=25, options=_FAST.get(codec, {}))
            video.width, video.height, video.pix_fmt = 128, 128, 'yuv420p'
            others = fill(output, video)
            for number in range(_FRAMES):
                frame = av.VideoFrame(128, 128, 'yuv420p')
                frame.pts = number
                for packet in video.encode(frame):
                    output.mux(packet)
            for packet in (*video.encode(None), *others):
                output.mux(packet)
        finally:
            output.close()
        file.seek(0)
        with av.open(file, 'r') as written:
            return read(written)
    return None


def _tones(stream: av.AudioStream) -> Iterator[av.Packet[Any]]:
    """Yield half a second of a tone deep enough for an LFE channel, in each channel louder than in the one before."""
    context = stream.codec_context
    length, layout, rate = context.frame_size or 1024, context.layout.name, context.sample_rate
    count = context.channels
    tones = '|'.join(f'{(number + 1) / count / 2}*sin(60*2*PI*t)' for number in range(count))
    graph = av.filter.Graph()
    begin = graph.add('aevalsrc', f'{tones}:channel_layout={layout}:sample_rate={rate}:nb_samples={length}')
    form = f'sample_fmts={context.format.name}:channel_layouts={layout}'
    link([begin, graph.add('aformat', form), graph.add('abuffersink')])
    graph.configure()
    for _ in range(rate // 2 // length):
        frame: Any = graph.pull()
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _purposes(stream: Any) -> list[str]:
    return [name for name in _PURPOSES if stream.disposition & getattr(_Disposition, name)]
