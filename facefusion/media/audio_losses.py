"""What a track loses when it is encoded again, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import av

from facefusion.media.containers import CONTAINERS, PCM
from facefusion.media.layouts import channels_of, keeps_all, nearest_layouts, usual_layout
from facefusion.media.tracks import AudioTrack

_LOSSLESS = ('flac', 'alac')
_LOW = {'LFE', 'LFE2'}


def is_deep(stream: av.AudioStream) -> bool:
    """Whether the samples of a stream are exact to more than 16 bits."""
    return _depth(stream) > 16


def losses(number: int, stream: av.AudioStream, track: AudioTrack, extension: str, asked: str) -> Iterator[str]:
    """Says which channels, rate and depth of an audio stream a track does not keep, and how they are kept.

    ``number`` is the stream's among those of sound, ``asked`` the value of --output-audio-encoder.
    """
    context, name = stream.codec_context, f'audio stream {number}'
    layout = usual_layout(context.layout.name, context.channels)
    before, after = channels_of(layout), channels_of(track.layout)
    if not keeps_all(layout, track.layout):
        low = ', the LFE channel is left out' if _LOW & {*before} and not _LOW & {*after} else ''
        most = f'at most {len(after)} channels' if len(after) < 3 else f'no {layout}'
        yield (
            f'{name} is mixed from {len(before)} channels ({layout}) to {_named(after, track.layout)}{low}: '
            f'{track.encoder} takes {most}; {_keeping(layout, extension, asked)}'
        )
    elif len(after) != len(before):
        yield (
            f'{name} is written with {len(after)} channels ({track.layout}), those that {layout} has not are silent: '
            f'{track.encoder} takes no {layout}'
        )
    if track.rate < context.sample_rate:
        yield f'{name} is written with {track.rate} Hz: {track.encoder} takes no {context.sample_rate} Hz'
    depth, written = _depth(stream), _written_depth(track)
    if 0 < written < depth:
        yield f'{name} is written with {written} bits a sample, it has {depth}: {track.encoder} holds no more'


def _named(channels: tuple[str, ...], layout: str) -> str:
    return f'{len(channels)} channel{"s" * (len(channels) > 1)} ({layout})'


def _keeping(layout: str, extension: str, asked: str) -> str:
    """How all channels are kept."""
    container = CONTAINERS[extension]
    is_common = any(keeps_all(layout, other) for other in nearest_layouts(layout)[1:])
    if asked != 'auto' and (is_common and container.automatic_audio == 'aac'):
        return 'without --output-audio-encoder all are kept'
    if asked == 'auto' and 'pcm_s16le' in container.audio_encoders:
        return '--output-audio-encoder pcm_s16le keeps all'
    names = '.mp4, .mov or .mkv' if is_common else '.mkv'
    return f'an output named {names} keeps all' + (' without --output-audio-encoder' if asked != 'auto' else '')


def _depth(stream: av.AudioStream) -> int:
    """The bits of a sample as far as it is exact; 0 where the codec is lossy."""
    codec, held = stream.codec_context.name, stream.format.bits
    if codec.startswith('pcm_'):
        return int(''.join(filter(str.isdigit, codec)) or 8)
    return (24 if held > 16 else held) if codec in _LOSSLESS else 0


def _written_depth(track: AudioTrack) -> int:
    if track.encoder == 'flac':
        return 24 if track.format == 's32' else 16
    return int(''.join(filter(str.isdigit, track.encoder))) if track.encoder in PCM else 0
