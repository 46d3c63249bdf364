"""Choose the rate and layout of an encoded track nearest to the source, and describe its losses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import av

from facefusion.errors import UsageError
from facefusion.media.container_support import comes_back
from facefusion.media.containers import CONTAINERS, PCM, pcm_bits
from facefusion.media.layouts import channels_of, is_common, keeps_all, nearest_layouts, usual_layout, why_not_mixed
from facefusion.media.options import AUDIO_ENCODERS
from facefusion.media.tracks import AudioTrack, why_not_encoded

_LOSSLESS = ('flac', 'alac')
_STEREO_ONLY = ('libmp3lame', 'mp2', 'wmav2')
_LOW = {'LFE', 'LFE2'}


def is_deep(stream: av.AudioStream) -> bool:
    """Whether the samples of a stream have more than 16 exact bits."""
    return _depth(stream) > 16


def settle_track(track: AudioTrack, extension: str) -> AudioTrack:
    """Return the track with the nearest rate and layout that encoder and container support, found by opening both.

    A layout that keeps every channel is preferred to any downmix. Raises UsageError audio-encoder-unusable.
    """
    _check_encoder(track.encoder)
    rates = sorted(av.Codec(track.encoder, 'w').audio_rates or ())
    first = track.rate
    if rates and track.rate not in rates:
        first = next((rate for rate in rates if rate >= track.rate), rates[-1])
    reasons = []
    # AAC encoders write unusual layouts with a program_config_element, which few players support.
    for layout in nearest_layouts(track.layout, prefers_common=track.encoder == 'aac'):
        for rate in dict.fromkeys((first, 48000)):
            tried = replace(track, rate=rate, layout=layout)
            reason = why_not_encoded(tried, extension)
            if not reason and layout != track.layout:
                reason = why_not_mixed(track.layout, layout)
            if not reason and comes_back(tried, extension):
                return tried
            reasons.append(reason or f'{extension[1:]} does not support the layout {layout}')
    raise UsageError(
        'audio-encoder-unusable',
        f'the audio encoder {track.encoder} does not work for {extension[1:]} here',
        cause=reasons[0],
        hint='choose another --output-audio-encoder or leave the option out, name the output .mkv, or leave the audio '
        'out with --output-audio-volume 0',
    )


def losses(name: str, stream: av.AudioStream, track: AudioTrack, extension: str, asked: str) -> Iterator[str]:
    """Yield a sentence for each loss of channels, rate or depth of an audio stream, with advice on how to avoid it.

    ``name`` is the subject of the sentence, ``asked`` the value of --output-audio-encoder.
    """
    context = stream.codec_context
    layout = usual_layout(context.layout.name, context.channels)
    before, after = channels_of(layout), channels_of(track.layout)
    if not keeps_all(layout, track.layout):
        low = ', the LFE channel is left out' if _LOW & {*before} and not _LOW & {*after} else ''
        limit = 'at most 2 channels' if track.encoder in _STEREO_ONLY else f'no {layout} in {extension[1:]}'
        yield (
            f'{name} is mixed from {len(before)} channels ({layout}) to {len(after)} channel{"s" * (len(after) > 1)} '
            f'({track.layout}){low}: '
            f'{track.encoder} supports {limit}{_keeping(layout, track, extension, asked)}'
        )
    elif len(after) != len(before):
        yield (
            f'{name} is written with {len(after)} channels ({track.layout}), those missing in {layout} are silent: '
            f'{track.encoder} does not support {layout} in {extension[1:]}'
        )
    if track.rate < context.sample_rate:
        yield f'{name} is written at {track.rate} Hz: {track.encoder} does not support {context.sample_rate} Hz'
    depth, written = _depth(stream), _written_depth(track)
    if 0 < written < depth:
        yield f'{name} is written with {written} of its {depth} bits a sample: {track.encoder} supports no more'


def _keeping(layout: str, track: AudioTrack, extension: str, asked: str) -> str:
    """Return advice on how to keep all channels; '' if no way is known."""
    container, option = CONTAINERS[extension], '--output-audio-encoder'
    if asked != 'auto' and is_common(layout) and container.automatic_audio == 'aac':
        return f'; without {option} all are kept'
    # Mkv does not store the channel layout of PCM.
    names = '.mp4, .mov or .mkv' if is_common(layout) else '.mov' if track.codec in PCM else '.mkv'
    if extension in names:
        return ''
    if asked == 'auto' and 'pcm_s16le' in container.audio_encoders and track.encoder != 'pcm_s16le':
        return f'; {option} pcm_s16le keeps all'
    return f'; an output named {names} keeps all' + ('' if asked == 'auto' else f' without {option}')


def _depth(stream: av.AudioStream) -> int:
    """Return the number of exact bits of a sample; 0 if the codec is lossy."""
    codec, held = stream.codec_context.name, stream.format.bits
    if codec.startswith('pcm_'):
        return pcm_bits(codec)
    return (24 if held > 16 else held) if codec in _LOSSLESS else 0


def _written_depth(track: AudioTrack) -> int:
    if track.encoder == 'flac':
        return 24 if track.format == 's32' else 16
    return pcm_bits(track.encoder) if track.encoder in PCM else 0


def _check_encoder(name: str) -> None:
    def exists(encoder: str) -> bool:
        try:
            av.Codec(encoder, 'w')
        except ValueError:
            return False
        return True

    if not exists(name):
        raise UsageError(
            'audio-encoder-unusable',
            f'the audio encoder {name} is not in this build of FFmpeg',
            hint='choose one of ' + ', '.join(filter(exists, AUDIO_ENCODERS)),
        )
