"""Choose the video encoder of a step, with every setting that decides its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.error
import cv2

from facefusion.errors import MediaError, OutputError, UsageError
from facefusion.media.codecs import (
    codec_options,
    codec_tag,
    depth_of,
    encoded_size,
    loses_chroma,
    pixel_formats,
    written_color,
)
from facefusion.media.color import ColorSpec
from facefusion.media.containers import BOXED, Container, check_alpha, check_held, container_of
from facefusion.media.encoder_room import check_survivable, raise_encoder_shortage
from facefusion.media.info import MediaInfo
from facefusion.media.options import VIDEO_ENCODERS, OutputOptions
from facefusion.media.planes import PLANE_FORMATS, has_alpha, planar_format, scaled_size
from facefusion.media.timeline import Timeline, exact_rate

# CV_CPU_AVX512_SKX (opencv2/core/cvdef.h): the subsets of AVX-512 that x264 requires.
_AVX512 = 256
# Distance between two frames of a counted segment.
SEGMENT_TICK = Fraction(1, 1000)
# Tag of a Matroska track whose frames have separate alpha.
ALPHA_TAG = 'alpha_mode'
# The side of a frame that every encoder supports, in pixels.
_SMALL_SIDE = 256
_HARDWARE = ('_nvenc', '_amf', '_qsv', '_videotoolbox')
# Codecs that PyAV cannot write to NUT.
_IN_MOV = ('prores_ks', 'qtrle')


@dataclass(frozen=True, slots=True)
class Picture:
    """The output frames: ``width`` x ``height`` after every scaling, and whether they have transparency."""

    width: int
    height: int
    has_alpha: bool = False


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """Everything that decides the bytes of an encoder.

    ``picture_width`` x ``picture_height`` is the size after scaling; ``width`` x ``height`` is the encoded size, with
    the last line or column repeated where the encoder does not support odd sides. ``color`` is the meaning of the
    written samples. ``is_counted``: the container has no timestamps, and frames follow one another at ``rate``.
    ``remarks`` state the decisions with their reasons.
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

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height after scaling."""
        return self.picture_width, self.picture_height

    @property
    def plane_format(self) -> str:
        """The plane format that ``Frame.to_planes`` must produce; without alpha."""
        return planar_format(self.pix_fmt)

    @property
    def has_alpha(self) -> bool:
        """Whether transparency is written."""
        return has_alpha(self.pix_fmt)

    @property
    def segment_suffix(self) -> str:
        """The extension of segments: NUT, which has exact times, where it supports the encoder's output.

        NUT loses the alpha of VP9. In the other containers the frames of a segment are counted, ``SEGMENT_TICK`` apart,
        because Matroska has no exact times.
        """
        if self.codec in _IN_MOV:
            return '.mov'
        return '.mkv' if self.has_alpha else '.nut'

    def as_record(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
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
        """Return the settings of a record made by ``as_record``."""
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
    info: MediaInfo,
    options: OutputOptions,
    extension: str,
    timeline: Timeline | None = None,
    picture: Picture | None = None,
) -> EncoderSettings:
    """Return the encoder for a clip, or for an image shown as a clip, after encoding one frame as a test.

    ``extension`` is the output's, one of ``CONTAINERS``; without ``timeline`` frames keep their source times. The
    default of ``picture`` is opaque frames of the clip's size times ``output_video_scale``.
    Raises MediaError hdr-unsupported; UsageError output-kind-unsupported, encoder-container (the container does not
    support the requested encoder), alpha-container (it does not support transparency), variable-rate, rate-unheld,
    encoder-unusable; OutputError output-too-large; ResourceError memory-out, threads-out. No other encoder is tried as
    a substitute.
    """
    picture = picture or Picture(*scaled_size(info.width, info.height, options.output_video_scale))
    extension = extension.lower()
    container = container_of(extension)
    if info.color.is_hdr:
        curve = 'PQ' if info.color.transfer == 16 else 'HLG'
        raise MediaError(
            'hdr-unsupported',
            f'{info.path.name} is HDR ({curve}), which is not supported',
            cause='its colours would be wrong in an SDR pipeline, and reducing them to SDR would lose colours',
            hint='convert the clip to SDR (BT.709) with a tone mapping of your choice first',
        )
    if picture.has_alpha:
        check_alpha(options.output_video_encoder, extension)
    asked, remarks = _for_container(options.output_video_encoder, extension)
    if asked != 'auto':
        check_held('video', asked, extension)
    rate = None if container.has_times or timeline is None else steady_rate(info, timeline, extension)
    wanted = _Wanted(info, options, extension, timeline, picture, rate, remarks)
    codec, formats = _selected(container, info, asked, picture.has_alpha)
    reasons = []
    for pix_fmt in formats:
        settings = _settings(wanted, codec, pix_fmt)
        reason = why_unusable(settings)
        if not reason:
            return settings
        reasons.append(f'{codec} {pix_fmt}: {reason}')
        _check_size(settings, reason)
    # The encoders in the hint are not tried, so the hint omits hardware encoders, which only a trial can confirm.
    others = [name for name in container.encoders if name != codec and not name.endswith(_HARDWARE)]
    others = [name for name in others if pixel_formats(name, info.plane_format)]
    raise UsageError(
        'encoder-unusable',
        f'the video encoder {codec} does not work here',
        cause=reasons[0] if reasons else f'this build of FFmpeg has no {codec}',
        hint=f'encoders of this build that need no hardware: {", ".join(others)}' if others else '',
    )


def _check_size(settings: EncoderSettings, reason: str) -> None:
    """Raise OutputError output-too-large when an encoder failed for ``reason``, but encodes small frames."""
    side = _SMALL_SIDE
    if max(settings.width, settings.height) > side and not why_unusable(replace(settings, width=side, height=side)):
        raise OutputError(
            'output-too-large',
            f'the output would have {settings.width}x{settings.height} pixels',
            cause=f'{settings.codec} encodes smaller frames, but not these: {reason}',
            hint='lower --output-video-scale, or choose another --output-video-encoder',
        )


def meant_encoder(info: MediaInfo, options: OutputOptions, extension: str, has_alpha: bool = False) -> str:
    """Return the name of the encoder that ``choose_encoder`` would try, without opening it."""
    asked, _ = _for_container(options.output_video_encoder, extension)
    if asked != 'auto':
        return asked
    # ``choose_encoder`` refuses alpha that the container does not support.
    container = container_of(extension)
    return _selected(container, info, asked, has_alpha and bool(container.alpha))[0]


def _selected(container: Container, info: MediaInfo, asked: str, has_alpha: bool) -> tuple[str, list[str]]:
    """Return the encoder and its formats; for 'auto' the first one that keeps the clip's depth, or else the last."""
    if asked != 'auto':
        return asked, pixel_formats(asked, info.plane_format, has_alpha)
    automatic = container.alpha[:1] if has_alpha else container.automatic
    for codec in automatic[:-1]:
        formats = pixel_formats(codec, info.plane_format)
        if info.bits > 8:
            formats = [name for name in formats if depth_of(name) >= PLANE_FORMATS[info.plane_format].bits]
        if formats:
            return codec, formats
    return automatic[-1], pixel_formats(automatic[-1], info.plane_format, has_alpha)


def steady_rate(info: MediaInfo, timeline: Timeline, extension: str) -> Fraction:
    """Return the frame rate of a clip in a container with one rate for the whole file.

    Raises UsageError variable-rate, rate-unheld.
    """
    rates, name = container_of(extension).rates, extension[1:]
    rate = timeline.steady_rate(container_of(extension).has_gaps)
    nearest = min(rates, key=lambda rate: abs(rate - timeline.rate)) if rates else exact_rate(float(timeline.rate))
    other = f'{float(nearest):.3f}'.rstrip('0').rstrip('.')
    hint = f'add --output-video-fps {other}, or name the output .mp4, .mov, .mkv or .webm'
    if rate is None:
        raise UsageError(
            'variable-rate',
            f'the frames of {info.path.name} are not evenly spaced, as {name} requires',
            cause=f'{name} has one frame rate for the whole file and no frame times',
            hint=hint,
        )
    if rates and rate not in rates:
        supported = ', '.join(f'{float(rate):.5g}' for rate in rates)
        raise UsageError(
            'rate-unheld',
            f'{name} does not support {float(rate):.5g} frames a second',
            cause=f'it supports {supported}',
            hint=hint,
        )
    return rate


def why_unusable(settings: EncoderSettings) -> str:
    """Return why an encoder cannot encode a frame with these settings; '' when it can.

    Raises ResourceError memory-out, threads-out where memory or threads are the only obstacle.
    """
    try:
        check_survivable(settings)
        context: Any = av.CodecContext.create(settings.codec, 'w')
        apply_settings(context, settings)
        frame = av.VideoFrame(settings.width, settings.height, settings.pix_fmt)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts, frame.time_base = 0, settings.time_base
        packets = [*context.encode(frame), *context.encode(None)]
    except (av.error.FFmpegError, ValueError) as error:
        raise_encoder_shortage(settings, error)
        return getattr(error, 'strerror', None) or str(error)
    return '' if any(packet.size for packet in packets) else 'it produces no packets'


def usable_encoders() -> tuple[str, ...]:
    """Return the video encoders of this build that encode a small frame on this machine."""
    color = ColorSpec('bt709', False, 1, 1)
    found = []
    for codec in VIDEO_ENCODERS:
        for pix_fmt in pixel_formats(codec, 'yuv420p')[:1]:
            fixed = tuple(codec_options(codec, pix_fmt, 80, 'veryfast').items())
            tick, rate, aspect = Fraction(1, 25), Fraction(25), Fraction(1)
            probe = EncoderSettings(codec, pix_fmt, 256, 256, 256, 256, tick, rate, aspect, color, fixed, 0, '', '', ())
            if not why_unusable(probe):
                found.append(codec)
    return tuple(found)


def apply_settings(context: Any, settings: EncoderSettings) -> None:
    """Apply the settings to a video codec context (or stream) that is not open yet."""
    context.width, context.height = settings.width, settings.height
    context.pix_fmt = settings.pix_fmt
    context.time_base = settings.time_base
    context.framerate = settings.rate
    context.sample_aspect_ratio = settings.aspect
    context.options = dict(settings.options) | _machine_options(settings)
    if settings.codec == 'libx265':
        # x265 writes to stderr itself, regardless of FFmpeg's log level.
        own = context.options.get('x265-params', '')
        context.options |= {'x265-params': f'{own}:log-level=none'.lstrip(':')}
    if settings.bit_rate:
        context.bit_rate = settings.bit_rate
    tag_colors(context, settings)


def _machine_options(settings: EncoderSettings) -> dict[str, str]:
    """Return options that make the encoder's bytes reproducible.

    x264's macroblock tree for AVX-512 reads uninitialised memory where a line is not a multiple of eight macroblocks,
    so that every run writes different bytes (measured with the x264 of PyAV 17). Its AVX2 code does not.
    """
    if settings.codec.startswith('libx264') and settings.width % 128 and cv2.checkHardwareSupport(_AVX512):
        return {'x264-params': 'asm=MMX2,SSE2,SSSE3,SSE4.2,AVX,FMA3,BMI1,BMI2,AVX2'}
    return {}


def tag_colors(context: Any, settings: EncoderSettings) -> None:
    """Tag a video codec context with the colours."""
    context.color_range = settings.color.range_code
    context.colorspace = settings.color.matrix_code
    context.color_primaries = settings.color.primaries
    context.color_trc = settings.color.transfer


def _for_container(asked: str, extension: str) -> tuple[str, tuple[str, ...]]:
    """Return the encoder that FaceFusion 3.8 uses in this container when ``asked`` is requested, and remarks."""
    if extension in (*BOXED, '.mkv') and (asked == 'rawvideo' or (asked == 'libvpx-vp9' and extension == '.mov')):
        return 'libx264', (f'{asked} is not written to {extension[1:]}, as in FaceFusion 3.8: libx264 is used',)
    return asked, ()


class _Wanted(NamedTuple):
    """The values that the settings of every encoder depend on; ``counted`` is the rate in a container without times."""

    info: MediaInfo
    options: OutputOptions
    extension: str
    timeline: Timeline | None
    picture: Picture
    counted: Fraction | None
    remarks: tuple[str, ...]


def _settings(wanted: _Wanted, codec: str, pix_fmt: str) -> EncoderSettings:
    info, options, extension, timeline, written, counted, remarks = wanted
    messages = list(remarks)
    alpha = ' with transparency' if written.has_alpha else ''
    if depth_of(pix_fmt) < info.bits:
        depth = depth_of(pix_fmt)
        messages.append(f'{codec} does not support {info.bits}-bit video{alpha}: it is written with {depth} bits')
    if loses_chroma(info.plane_format, pix_fmt):
        messages.append(
            f'{codec} does not support the chroma of {info.plane_format}{alpha}: it is written as {pix_fmt}'
        )
    picture = (written.width, written.height)
    size = encoded_size(codec, pix_fmt, picture)
    if size != picture:
        messages.append(
            f'{codec} does not support odd sides in {pix_fmt}: {picture[0]}x{picture[1]} is written as '
            f'{size[0]}x{size[1]}, its last line or column repeated'
        )
    color = written_color(codec, info.color, size[1])
    if color != info.color and color.matrix != 'rgb':
        messages.append(
            f'{codec} does not store matrix and range of its colours: they are converted to {color.matrix}, limited'
        )
    quality = options.output_video_quality
    is_toolbox = codec.endswith('_videotoolbox')
    order = {} if container_of(extension).reorders else {'bf': '0'}
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
        options=tuple((codec_options(codec, pix_fmt, quality, options.output_video_preset) | order).items()),
        bit_rate=round(1024 + (50512 - 1024) * quality / 100) * 1000 if is_toolbox else 0,
        tag=codec_tag(codec, pix_fmt) if extension in BOXED else '',
        extension=extension,
        remarks=tuple(messages),
        is_counted=counted is not None,
    )
