"""The output containers, with the streams and times that each supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from facefusion.errors import UsageError

_H264 = ('libx264', 'h264_nvenc', 'h264_amf', 'h264_qsv', 'h264_videotoolbox')
_H265 = ('libx265', 'hevc_nvenc', 'hevc_amf', 'hevc_qsv', 'hevc_videotoolbox')
_COMMON_VIDEO = (*_H264, *_H265, 'libx264rgb', 'libvpx-vp9', 'rawvideo')
_ALPHA_IN_MOV = ('prores_ks', 'qtrle')
_COMMON_AUDIO = ('flac', 'aac', 'libmp3lame', 'libopus', 'libvorbis', 'pcm_s16le', 'pcm_s32le')
# Supported by FFmpeg's muxers (movenc.c: codec_mp4_tags, codec_movaudio_tags) and by players without conversion.
PCM = ('pcm_s16le', 'pcm_s16be', 'pcm_s24le', 'pcm_s24be', 'pcm_s32le', 'pcm_s32be', 'pcm_f32le', 'pcm_f32be')
_MP3 = ('mp3', 'mp3float')
_MP4_AUDIO = ('aac', *_MP3, 'ac3', 'eac3', 'alac', 'opus', 'libopus', 'flac', *PCM)
# frame_rate_code of ISO/IEC 13818-2, table 6-4; players support the same edit rates in SMPTE ST 377-1.
_BROADCAST_RATES = tuple(
    Fraction(rate) for rate in ('24000/1001', '24', '25', '30000/1001', '30', '50', '60000/1001', '60')
)


@dataclass(frozen=True, slots=True)
class Container:
    """A container by its extension.

    ``muxer`` is FFmpeg's name for it. ``encoders`` and ``audio_encoders`` are the encoders whose streams it supports,
    ``copied`` the audio codecs whose packets are copied into it (None: all that the muxer accepts). 'auto' means the
    first working encoder of ``automatic``, or for audio ``automatic_audio``. If ``has_times``, every frame and audio
    packet has its own time; otherwise packets follow one another from 0, and the frame rate is one of ``rates`` (empty:
    any rate). If ``has_gaps``, frame slots may be empty. ``ends_together``: FFmpeg ends the file with its shortest
    stream. ``reorders``: the storage order of frames may differ from their display order. ``starts_at`` is the time in
    seconds that is written for 0 in containers that cannot store times before 0. ``repeats_header``: keyframes contain
    the encoder's settings. ``tick`` is the container's fixed tick (None: the output's tick). ``alpha`` are the encoders
    whose transparency it supports; 'auto' means the first of them for transparent output.
    """

    muxer: str
    encoders: tuple[str, ...]
    automatic: tuple[str, ...]
    audio_encoders: tuple[str, ...]
    automatic_audio: str
    copied: tuple[str, ...] | None
    has_times: bool = True
    has_gaps: bool = False
    ends_together: bool = False
    reorders: bool = True
    rates: tuple[Fraction, ...] = ()
    tick: Fraction | None = None
    starts_at: int = 0
    repeats_header: bool = False
    alpha: tuple[str, ...] = ()


def _mp4(muxer: str, copied: tuple[str, ...]) -> Container:
    return Container(muxer, _COMMON_VIDEO, ('libx264', 'libx265'), _COMMON_AUDIO, 'aac', copied)


_MILLISECOND = Fraction(1, 1000)
_MPEG_TICK = Fraction(1, 90000)
_PROGRAM = Container(
    'vob',
    ('mpeg2video',),
    ('mpeg2video',),
    ('mp2', 'libmp3lame'),
    'mp2',
    ('mp2', *_MP3, 'ac3'),
    has_times=False,
    rates=_BROADCAST_RATES,
    tick=_MPEG_TICK,
    starts_at=1,
)
CONTAINERS: dict[str, Container] = {
    '.mp4': _mp4('mp4', _MP4_AUDIO),
    '.m4v': _mp4('mp4', _MP4_AUDIO),
    '.mov': replace(
        _mp4('mov', ('aac', *_MP3, 'ac3', 'eac3', 'alac', *PCM)),
        encoders=(*_COMMON_VIDEO, *_ALPHA_IN_MOV),
        alpha=_ALPHA_IN_MOV,
    ),
    '.mkv': Container(
        'matroska',
        _COMMON_VIDEO,
        ('libx264', 'libx265'),
        _COMMON_AUDIO,
        'aac',
        None,
        tick=_MILLISECOND,
        alpha=('libvpx-vp9',),
    ),
    '.webm': Container(
        'webm',
        ('libvpx-vp9',),
        ('libvpx-vp9',),
        ('libopus', 'libvorbis'),
        'libopus',
        ('opus', 'libopus', 'vorbis'),
        tick=_MILLISECOND,
        alpha=('libvpx-vp9',),
    ),
    '.avi': Container(
        'avi',
        (*_H264, 'mpeg4', 'wmv2'),
        ('libx264',),
        ('libmp3lame', 'pcm_s16le'),
        'libmp3lame',
        (*_MP3, 'mp2', 'ac3', 'pcm_s16le'),
        has_times=False,
        has_gaps=True,
        reorders=False,
        repeats_header=True,
    ),
    '.wmv': Container(
        'asf',
        ('wmv2', *_H264),
        ('wmv2',),
        ('wmav2', 'libmp3lame', 'aac'),
        'wmav2',
        ('wmav1', 'wmav2', 'wmapro', 'wmalossless', *_MP3),
        reorders=False,
        repeats_header=True,
        tick=_MILLISECOND,
    ),
    '.mpg': _PROGRAM,
    '.mpeg': _PROGRAM,
    '.ts': Container(
        'mpegts',
        (*_H264, *_H265),
        ('libx264', 'libx265'),
        ('aac', 'mp2', 'libmp3lame', 'libopus'),
        'aac',
        ('aac', 'mp2', *_MP3, 'ac3', 'eac3'),
        tick=_MPEG_TICK,
        starts_at=1,
    ),
    '.mxf': Container(
        'mxf',
        ('mpeg2video', *_H264),
        ('mpeg2video',),
        ('pcm_s16le',),
        'pcm_s16le',
        ('pcm_s16le', 'pcm_s24le'),
        has_times=False,
        ends_together=True,
        reorders=False,
        repeats_header=True,
        rates=_BROADCAST_RATES,
    ),
}
# Containers made of boxes, whose index can be at the front of the file.
BOXED = ('.mp4', '.m4v', '.mov')


def pcm_bits(codec: str) -> int:
    """Return the bits of a sample of a PCM codec, such as 24 of 'pcm_s24le'."""
    return int(''.join(filter(str.isdigit, codec)) or 8)


def container_of(extension: str) -> Container:
    """Return the container of an extension. Raises UsageError output-kind-unsupported."""
    try:
        return CONTAINERS[extension]
    except KeyError:
        raise UsageError(
            'output-kind-unsupported',
            f'videos cannot be written as {extension or "a file without an extension"}',
            hint=f'name the output {", ".join([*CONTAINERS][:-1])} or {[*CONTAINERS][-1]}',
        ) from None


def check_held(kind: str, encoder: str, extension: str) -> None:
    """Raise UsageError encoder-container if a container does not support an encoder of ``kind`` 'video' or 'audio'."""
    container = container_of(extension)
    supported = container.encoders if kind == 'video' else container.audio_encoders
    if encoder not in supported:
        others = [name[1:] for name, other in CONTAINERS.items() if encoder in _encoders(other, kind)]
        elsewhere = f', or name the output {" or ".join(others)}' if others else ''
        raise UsageError(
            'encoder-container',
            f'{extension[1:]} does not support {kind} from the encoder {encoder}',
            cause=f'{extension[1:]} supports {", ".join(supported)}',
            hint=f'leave --output-{kind}-encoder out, or choose one of these{elsewhere}',
        )


def check_alpha(encoder: str, extension: str, advice: str = '') -> None:
    """Raise UsageError alpha-container if a container or encoder ('auto': any) does not support transparency.

    ``advice`` states another remedy.
    """
    supported, name = container_of(extension).alpha, extension[1:]
    if supported and encoder in ('auto', *supported):
        return
    with_alpha = [other for other, container in CONTAINERS.items() if container.alpha]
    instead = f', or {advice}' if advice else ''
    others = [other for other in with_alpha if encoder in ('auto', *CONTAINERS[other].alpha)]
    if supported:
        elsewhere = f', or name the output {_any_of(others)}' if others else ''
        raise UsageError(
            'alpha-container',
            f'{name} does not support the transparency of {encoder}',
            cause=f'frames with transparent parts are written to {name} with {_any_of(supported)}',
            hint=f'leave --output-video-encoder out, or choose {_any_of(supported)}{elsewhere}{instead}',
        )
    also = '' if others else 'leave --output-video-encoder out, and '
    raise UsageError(
        'alpha-container',
        f'{name} does not support transparency',
        cause='the output frames have transparent parts',
        hint=f'{also}name the output {_any_of(others or with_alpha)}{instead}',
    )


def _any_of(names: Sequence[str]) -> str:
    return ' or '.join(filter(None, (', '.join(names[:-1]), names[-1])))


def _encoders(container: Container, kind: str) -> tuple[str, ...]:
    return container.encoders if kind == 'video' else container.audio_encoders
