"""Choosing the video encoder of a step, with every setting that decides its bytes.

The quality and preset tables are those of FaceFusion 3.8.1, so that its users get what they know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.error
import cv2

from facefusion.errors import MediaError, UsageError
from facefusion.media.color import ColorSpec
from facefusion.media.containers import BOXED, check_held, container_of
from facefusion.media.info import MediaInfo
from facefusion.media.options import VIDEO_ENCODERS, OutputOptions
from facefusion.media.planes import PLANE_FORMATS, even_size
from facefusion.media.timeline import Timeline, exact_rate

# Fixed, because the number of threads changes the bytes that x264 and x265 write: never the machine's cores.
_THREADS = 2
# CV_CPU_AVX512_SKX (opencv2/core/cvdef.h): the subsets that x264 asks for.
_AVX512 = 256
# FFmpeg's scale of a quantiser (FF_QP2LAMBDA).
_LAMBDA = 118
_QUANTISED = ('mpeg2video', 'mpeg4', 'wmv2')
_FAST = ('ultrafast', 'superfast', 'veryfast')
_SLOW = ('slow', 'slower', 'veryslow')
# Chroma and depth of a plane format as the hardware encoders name it.
_HARDWARE_NAMES = {'yuv420p10le': 'p010le', 'yuv422p10le': 'p210le', 'yuv420p12le': 'p012le', 'yuv422p': 'nv16'}


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Everything that decides what an encoder writes.

    ``picture_width`` x ``picture_height`` is the picture after scaling; ``width`` x ``height`` what is encoded: up to
    one repeated line or column more where the encoder takes no odd sides. ``color`` is what the samples mean once
    they are written. ``is_counted`` where the container has no times: frames stand one after the other then, ``rate``
    a second. ``remarks`` say what was decided and why.
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    picture_width: int
    picture_height: int
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    color: ColorSpec
    options: tuple[tuple[str, str], ...]
    bit_rate: int
    tag: str
    extension: str
    remarks: tuple[str, ...]
    is_counted: bool = False

    def as_record(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        return {
            'codec': self.codec,
            'pix_fmt': self.pix_fmt,
            'size': [self.width, self.height],
            'picture_size': [self.picture_width, self.picture_height],
            'time_base': str(self.time_base),
            'rate': str(self.rate),
            'aspect': str(self.aspect),
            'color': self.color.as_record(),
            'options': dict(self.options),
            'bit_rate': self.bit_rate,
            'tag': self.tag,
            'extension': self.extension,
            'remarks': list(self.remarks),
            'is_counted': self.is_counted,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> EncoderSettings:
        """Undoes ``as_record``."""
        return cls(
            codec=record['codec'],
            pix_fmt=record['pix_fmt'],
            width=record['size'][0],
            height=record['size'][1],
            picture_width=record['picture_size'][0],
            picture_height=record['picture_size'][1],
            time_base=Fraction(record['time_base']),
            rate=Fraction(record['rate']),
            aspect=Fraction(record['aspect']),
            color=ColorSpec.from_record(record['color']),
            options=tuple(record['options'].items()),
            bit_rate=record['bit_rate'],
            tag=record['tag'],
            extension=record['extension'],
            remarks=tuple(record['remarks']),
            is_counted=record.get('is_counted', False),
        )


def choose_encoder(
    info: MediaInfo, options: OutputOptions, extension: str, timeline: Timeline | None = None
) -> EncoderSettings:
    """The encoder for a clip, or for one that shows a picture; proved by encoding a frame with it.

    ``extension`` is the output's, one of ``CONTAINERS``; without ``timeline`` frames keep their source times.
    Raises MediaError hdr-unsupported; UsageError output-kind-unsupported, encoder-container (the container does not
    hold what was asked for), variable-rate, rate-unheld, encoder-unusable.
    """
    extension = extension.lower()
    container = container_of(extension)
    if info.color.is_hdr:
        curve = 'PQ' if info.color.transfer == 16 else 'HLG'
        raise MediaError(
            'hdr-unsupported',
            f'{info.path.name} is HDR ({curve}), which is not processed',
            cause='its colours would be wrong in an SDR pipeline, and cutting them to SDR silently would be a loss',
            hint='convert the clip to SDR (BT.709) with a tone mapping of your choice first',
        )
    asked, remarks = _for_container(options.output_video_encoder, extension)
    if asked != 'auto':
        check_held('video', asked, extension)
    rate = None if container.has_times or timeline is None else steady_rate(info, timeline, extension)
    wanted = _Wanted(info, options, extension, timeline, rate, remarks)
    reasons = []
    for codec in container.automatic if asked == 'auto' else (asked,):
        keeps_only = asked == 'auto' and codec != container.automatic[-1] and info.bits > 8
        for pix_fmt in _formats(codec, info.plane_format):
            if keeps_only and _depth(pix_fmt) < PLANE_FORMATS[info.plane_format].bits:
                continue
            settings = _settings(wanted, codec, pix_fmt)
            reason = why_unusable(settings)
            if not reason:
                return settings
            reasons.append(f'{codec} {pix_fmt}: {reason}')
    raise UsageError(
        'encoder-unusable',
        f'the video encoder {asked} does not work here',
        cause=reasons[0] if reasons else f'this build of FFmpeg has no {asked}',
        hint='encoders that work here: ' + ', '.join(name for name in usable_encoders() if name in container.encoders),
    )


def steady_rate(info: MediaInfo, timeline: Timeline, extension: str) -> Fraction:
    """The frame rate of a clip in a container that has one for the whole file.

    Raises UsageError variable-rate, rate-unheld.
    """
    rates, name = container_of(extension).rates, extension[1:]
    rate = timeline.steady_rate(container_of(extension).has_gaps)
    nearest = min(rates, key=lambda held: abs(held - timeline.rate)) if rates else exact_rate(float(timeline.rate))
    other = f'{float(nearest):.3f}'.rstrip('0').rstrip('.')
    if rate is None:
        raise UsageError(
            'variable-rate',
            f'the frames of {info.path.name} are not at equal distances, as {name} needs them',
            cause=f'{name} has one frame rate for the whole file and no times of frames',
            hint=f'add --output-video-fps {other}, or name the output .mp4, .mov, .mkv or .webm',
        )
    if rates and rate not in rates:
        held = ', '.join(f'{float(held):.5g}' for held in rates)
        raise UsageError(
            'rate-unheld',
            f'{name} does not hold {float(rate):.5g} frames a second',
            cause=f'it holds {held}',
            hint=f'add --output-video-fps {other}, or name the output .mp4, .mov, .mkv or .webm',
        )
    return rate


def why_unusable(settings: EncoderSettings) -> str:
    """Why an encoder does not take a frame with these settings; '' when it does."""
    try:
        context: Any = av.CodecContext.create(settings.codec, 'w')
        apply_settings(context, settings)
        frame = av.VideoFrame(settings.width, settings.height, settings.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, settings.time_base
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        return getattr(error, 'strerror', None) or str(error)
    return '' if any(packet.size for packet in packets) else 'it gives no packets'


def usable_encoders() -> tuple[str, ...]:
    """The video encoders of this build that encode a small frame on this machine."""
    color = ColorSpec('bt709', False, 1, 1)
    found = []
    for codec in VIDEO_ENCODERS:
        for pix_fmt in _formats(codec, 'yuv420p')[:1]:
            probe = EncoderSettings(
                codec, pix_fmt, 256, 256, 256, 256, Fraction(1, 25), Fraction(25), Fraction(1), color, (), 0, '', '', ()
            )
            if not why_unusable(probe):
                found.append(codec)
    return tuple(found)


def apply_settings(context: Any, settings: EncoderSettings) -> None:
    """Gives a video codec context (or stream) that is not open yet its settings."""
    context.width, context.height = settings.width, settings.height
    context.pix_fmt = settings.pix_fmt
    context.time_base = settings.time_base
    context.framerate = settings.rate
    context.sample_aspect_ratio = settings.aspect
    context.options = dict(settings.options) | _machine_options(settings)
    if settings.codec == 'libx265':
        # x265 writes to stderr by itself, past FFmpeg's log level.
        own = context.options.get('x265-params', '')
        context.options |= {'x265-params': f'{own}:log-level=none'.lstrip(':')}
    if settings.bit_rate:
        context.bit_rate = settings.bit_rate
    tag_colors(context, settings)


def _machine_options(settings: EncoderSettings) -> dict[str, str]:
    """What makes the encoder write the same bytes for the same frames, every time.

    x264's macroblock tree for AVX-512 reads memory that nobody wrote where a line is no multiple of eight macroblocks,
    so that every run gave other bytes (measured with the x264 of PyAV 17); its AVX2 code does not.
    """
    if settings.codec.startswith('libx264') and settings.width % 128 and cv2.checkHardwareSupport(_AVX512):
        return {'x264-params': 'asm=MMX2,SSE2,SSSE3,SSE4.2,AVX,FMA3,BMI1,BMI2,AVX2'}
    return {}


def tag_colors(context: Any, settings: EncoderSettings) -> None:
    """Writes what the samples mean into a video codec context."""
    is_rgb = settings.codec == 'libx264rgb'
    context.color_range = 2 if is_rgb else settings.color.range_code
    context.colorspace = 0 if is_rgb else settings.color.matrix_code
    context.color_primaries = settings.color.primaries
    context.color_trc = settings.color.transfer


def _for_container(asked: str, extension: str) -> tuple[str, tuple[str, ...]]:
    """The encoder after the peer's container fix-ups, and what to say about it."""
    if extension in (*BOXED, '.mkv') and (asked == 'rawvideo' or (asked == 'libvpx-vp9' and extension == '.mov')):
        return 'libx264', (f'{asked} is not written to {extension[1:]}, as in FaceFusion 3.8: libx264 is used',)
    return asked, ()


def _formats(codec: str, wanted: str) -> list[str]:
    """Pixel formats that ``codec`` takes, the one that keeps most of ``wanted`` first."""
    try:
        offered = {entry.name for entry in av.Codec(codec, 'w').video_formats or ()}
    except (ValueError, av.error.FFmpegError):
        return []
    if codec == 'libx264rgb':
        return ['bgr24']
    bits, sub_x, sub_y = PLANE_FORMATS[wanted]
    # The same, then the same without the range in its name, then more chroma, less depth, less chroma.
    chroma = {(2, 2): ('420', '444'), (2, 1): ('422', '444', '420'), (1, 1): ('444', '420')}[sub_x, sub_y]
    depths = {8: ('',), 10: ('10le', '12le', ''), 12: ('12le', '10le', '')}[bits]
    names = [wanted, *(f'yuv{layout}p{depth}' for depth in depths for layout in chroma)]
    names = [option for name in names for option in (name, _HARDWARE_NAMES.get(name, ''))]
    return list(dict.fromkeys(name for name in names if name in offered))


def _depth(pix_fmt: str) -> int:
    return max(component.bits for component in av.VideoFormat(pix_fmt, 16, 16).components)


class _Wanted(NamedTuple):
    """What decides the settings of every encoder; ``counted`` is the rate of a container without times."""

    info: MediaInfo
    options: OutputOptions
    extension: str
    timeline: Timeline | None
    counted: Fraction | None
    remarks: tuple[str, ...]


def _settings(wanted: _Wanted, codec: str, pix_fmt: str) -> EncoderSettings:
    info, options, extension, timeline, counted, remarks = wanted
    said = list(remarks)
    if _depth(pix_fmt) < info.bits:
        said.append(f'{codec} takes no {info.bits}-bit video: it is written with {_depth(pix_fmt)} bits')
    if _chroma_lost(info.plane_format, pix_fmt):
        said.append(f'{codec} takes no chroma as fine as that of {info.plane_format}: it is written as {pix_fmt}')
    picture = (info.width, info.height)
    if options.output_video_scale != 1:
        picture = even_size(info.width, info.height, options.output_video_scale)
    size = _encoded_size(codec, pix_fmt, picture)
    if size != picture:
        said.append(
            f'{codec} takes no odd sides in {pix_fmt}: {picture[0]}x{picture[1]} is written as {size[0]}x{size[1]}, '
            'its last line or column repeated'
        )
    color = _written_color(codec, info.color, size[1])
    if color != info.color:
        said.append(
            f'{codec} cannot tell matrix and range of its colours: they are converted to {color.matrix}, limited'
        )
    quality = options.output_video_quality
    is_toolbox = codec.endswith('_videotoolbox')
    order = {} if container_of(extension).reorders else {'bf': '0'}
    needs_tag = codec == 'libx265' or codec.startswith('hevc_')
    return EncoderSettings(
        codec=codec,
        pix_fmt=pix_fmt,
        width=size[0],
        height=size[1],
        picture_width=picture[0],
        picture_height=picture[1],
        time_base=1 / counted if counted else timeline.time_base if timeline else info.time_base,
        rate=counted or (timeline.rate if timeline else info.average_rate),
        aspect=info.aspect,
        color=color,
        options=tuple((_codec_options(codec, quality, options.output_video_preset) | order).items()),
        bit_rate=round(1024 + (50512 - 1024) * quality / 100) * 1000 if is_toolbox else 0,
        tag='hvc1' if needs_tag and extension in BOXED else '',
        extension=extension,
        remarks=tuple(said),
        is_counted=counted is not None,
    )


def _chroma_lost(wanted: str, pix_fmt: str) -> bool:
    found = PLANE_FORMATS.get(pix_fmt)
    before = PLANE_FORMATS[wanted]
    return found is not None and (found.sub_x > before.sub_x or found.sub_y > before.sub_y)


def _written_color(codec: str, color: ColorSpec, height: int) -> ColorSpec:
    """What samples mean in the streams of a codec that cannot say so: what readers take them for, limited range.

    MPEG-2 has its matrix (ISO/IEC 13818-2, 6.3.6), and no range.
    """
    if codec == 'mpeg2video':
        return replace(color, full_range=False)
    if codec not in ('mpeg4', 'wmv2'):
        return color
    return ColorSpec.from_codes(matrix=2, color_range=1, primaries=2, transfer=2, height=height, pix_fmt='yuv420p')


def _encoded_size(codec: str, pix_fmt: str, picture: tuple[int, int]) -> tuple[int, int]:
    """Even where chroma is subsampled, but for VP9, which counts odd sides itself.

    H.264 and H.265 could crop by metadata only in whole chroma samples, so two luma samples: never an odd side.
    """
    width, height = picture
    shape = PLANE_FORMATS.get(pix_fmt)
    if codec == 'libvpx-vp9' or (shape is None and codec == 'libx264rgb'):
        return picture
    sub_x, sub_y = (shape.sub_x, shape.sub_y) if shape else (2, 2)
    return -(-width // sub_x) * sub_x, -(-height // sub_y) * sub_y


def _codec_options(codec: str, quality: int, preset: str) -> dict[str, str]:
    level = str(round(51 * (100 - quality) / 100))
    if codec in ('libx264', 'libx264rgb'):
        return {'crf': level, 'preset': preset, 'threads': str(_THREADS)}
    if codec == 'libx265':
        fixed = f'pools={_THREADS}:frame-threads=1'
        return {'crf': level, 'preset': preset, 'x265-params': fixed}
    if codec == 'libvpx-vp9':
        best = str(round(63 * (100 - quality) / 100))
        return {'crf': best, 'b': '0', 'deadline': 'good', 'cpu-used': '4', 'threads': str(_THREADS)}
    if codec.endswith('_nvenc'):
        return {
            'cq': level,
            'preset': 'fast' if preset in (*_FAST, 'faster') else 'slow' if preset in _SLOW else preset,
        }
    if codec.endswith('_amf'):
        speed = 'speed' if preset in _FAST else 'quality' if preset in _SLOW else 'balanced'
        return {'qp_i': level, 'qp_p': level, 'qp_b': level, 'quality': speed}
    if codec.endswith('_qsv'):
        return {'global_quality': level, 'preset': 'veryfast' if preset in _FAST else preset}
    if codec in _QUANTISED:
        # 1 to 31; squared, since the first steps are the largest ones to the eye.
        step = 1 + round(30 * ((100 - quality) / 100) ** 2)
        quantised = {'flags': '+qscale', 'global_quality': str(step * _LAMBDA), 'qmin': '1', 'threads': str(_THREADS)}
        return quantised | {'g': '12', 'bf': '0'}
    return {}
