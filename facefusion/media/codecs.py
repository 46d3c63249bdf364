"""Pixel formats, sizes, tags and options of each video encoder.

The quality and preset tables are those of FaceFusion 3.8.1, so that options have the same meaning.
"""

from __future__ import annotations

from dataclasses import replace

import av
import av.error

from facefusion.media.color import ColorSpec
from facefusion.media.planes import INTERLEAVED, PLANE_FORMATS, format_of_planes, has_alpha, planar_format

# A fixed number instead of the number of cores, because the output of x264 and x265 depends on the number of threads.
_THREADS = 2
# FFmpeg's scale of a quantiser (FF_QP2LAMBDA).
_LAMBDA = 118
_QUANTISED = ('mpeg2video', 'mpeg4', 'wmv2')
_FAST = ('ultrafast', 'superfast', 'veryfast')
_SLOW = ('slow', 'slower', 'veryslow')
# The hardware encoders' names for plane formats.
_HARDWARE_NAMES = {planar: name for name, planar in INTERLEAVED.items()}
_RGB = {'libx264rgb': 'bgr24', 'qtrle': 'rgb24'}
_WITH_ALPHA = {'libvpx-vp9': 'yuva420p', 'prores_ks': 'yuva444p10le', 'qtrle': 'argb'}


def pixel_formats(codec: str, wanted: str, with_alpha: bool = False) -> list[str]:
    """Return the pixel formats that ``codec`` supports, closest to ``wanted`` first."""
    try:
        offered = {entry.name for entry in av.Codec(codec, 'w').video_formats or ()}
    except (ValueError, av.error.FFmpegError):
        return []
    if with_alpha or codec in _RGB:
        return [(_WITH_ALPHA if with_alpha else _RGB)[codec]]
    bits, sub_x, sub_y = PLANE_FORMATS[wanted]
    # The wanted format comes first, then the same format without the range in its name (yuvj). The others are ordered
    # by depth (the wanted one, more, less), and for each depth by chroma (the wanted one, more, less).
    chroma = {(2, 2): ('420', '422', '444'), (2, 1): ('422', '444', '420'), (1, 1): ('444', '420')}[sub_x, sub_y]
    depths = {8: ('', '10le'), 10: ('10le', '12le', ''), 12: ('12le', '10le', '')}[bits]
    names = [wanted, *(f'yuv{layout}p{depth}' for depth in depths for layout in chroma)]
    names = [option for name in names for option in (name, _HARDWARE_NAMES.get(name, ''))]
    return list(dict.fromkeys(name for name in names if name in offered))


def depth_of(pix_fmt: str) -> int:
    """Return the bits of the deepest component of a pixel format."""
    return max(component.bits for component in av.VideoFormat(pix_fmt, 16, 16).components)


def loses_chroma(wanted: str, pix_fmt: str) -> bool:
    """Whether ``pix_fmt`` has fewer chroma samples than the plane format ``wanted``."""
    found, before = format_of_planes(planar_format(pix_fmt)), PLANE_FORMATS[wanted]
    return found.sub_x > before.sub_x or found.sub_y > before.sub_y


def written_color(codec: str, color: ColorSpec, height: int) -> ColorSpec:
    """Return the colours to write: ``color``, with readers' defaults for the parts that the codec cannot store.

    MPEG-2 (ISO/IEC 13818-2, 6.3.6) and ProRes (SMPTE RDD 36, 5.3) store a matrix, but no range.
    """
    if codec in _RGB:
        return replace(color, matrix='rgb', full_range=True)
    if codec in ('mpeg2video', 'prores_ks'):
        return replace(color, full_range=False)
    if codec not in ('mpeg4', 'wmv2'):
        return color
    return ColorSpec.from_codes(matrix=2, color_range=1, primaries=2, transfer=2, height=height, pix_fmt='yuv420p')


def encoded_size(codec: str, pix_fmt: str, picture: tuple[int, int]) -> tuple[int, int]:
    """Return a size that is even where chroma is subsampled, except for VP9, which handles odd sides.

    The cropping metadata of H.264 and H.265 counts whole chroma samples, each two luma samples long, so it cannot
    express an odd side.
    """
    width, height = picture
    if codec == 'libvpx-vp9':
        return picture
    _, sub_x, sub_y = format_of_planes(planar_format(pix_fmt))
    return -(-width // sub_x) * sub_x, -(-height // sub_y) * sub_y


def codec_tag(codec: str, pix_fmt: str) -> str:
    """Return a stream's tag in mp4 and mov where the muxer's choice is wrong or unsupported by players; else ''."""
    if codec == 'prores_ks':
        return 'ap4h' if '444' in pix_fmt else 'apch'
    return 'hvc1' if codec == 'libx265' or codec.startswith('hevc_') else ''


def codec_options(codec: str, pix_fmt: str, quality: int, preset: str) -> dict[str, str]:
    """Return the encoder's own options for a quality of 0 to 100 and a preset of ``VIDEO_PRESETS``."""
    level = str(round(51 * (100 - quality) / 100))
    if codec in ('libx264', 'libx264rgb'):
        return {'crf': level, 'preset': preset, 'threads': str(_THREADS)}
    if codec == 'libx265':
        fixed = f'pools={_THREADS}:frame-threads=1'
        return {'crf': level, 'preset': preset, 'x265-params': fixed}
    if codec == 'libvpx-vp9':
        best = str(round(63 * (100 - quality) / 100))
        # Hidden frames (alternate references) would have no alpha.
        shown = {'auto-alt-ref': '0'} if has_alpha(pix_fmt) else {}
        return {'crf': best, 'b': '0', 'deadline': 'good', 'cpu-used': '4', 'threads': str(_THREADS)} | shown
    if codec == 'prores_ks':
        return {'profile': '4444' if '444' in pix_fmt else 'hq', **_quantiser(quality)}
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
        return _quantiser(quality) | {'qmin': '1', 'threads': str(_THREADS), 'g': '12', 'bf': '0'}
    return {}


def _quantiser(quality: int) -> dict[str, str]:
    """Return options with a quantiser of 1 to 31, on a squared scale because the first steps are the most visible."""
    step = 1 + round(30 * ((100 - quality) / 100) ** 2)
    return {'flags': '+qscale', 'global_quality': str(step * _LAMBDA)}
