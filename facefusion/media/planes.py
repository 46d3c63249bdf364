"""Access the planes of video frames as arrays, and resize, warp and sample a plane."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError

Pixels = NDArray[np.uint8]
Plane = NDArray[np.uint8] | NDArray[np.uint16]
# Either of the two types, for code in which a type checker cannot infer the type.
Samples = NDArray[Any]


class PlaneFormat(NamedTuple):
    """Bit depth and chroma subsampling (luma samples for each chroma sample) of a planar YCbCr format."""

    bits: int
    sub_x: int
    sub_y: int


PLANE_FORMATS: dict[str, PlaneFormat] = {
    f'{stem}{chroma}p{tail}': PlaneFormat(bits, sub_x, sub_y)
    for chroma, sub_x, sub_y in (('420', 2, 2), ('422', 2, 1), ('444', 1, 1))
    for stem, tail, bits in (('yuv', '', 8), ('yuvj', '', 8), ('yuv', '10le', 10), ('yuv', '12le', 12))
}

# Green, blue and red planes, for encoders of RGB.
RGB_PLANES = 'gbrp'
# Hardware encoders' formats with interleaved chroma, and the planar formats with the same samples.
INTERLEAVED = {
    'nv12': 'yuv420p',
    'nv16': 'yuv422p',
    'p010le': 'yuv420p10le',
    'p012le': 'yuv420p12le',
    'p210le': 'yuv422p10le',
}


def format_of_planes(name: str) -> PlaneFormat:
    """Return depth and subsampling of a format of ``PLANE_FORMATS``, or of ``RGB_PLANES``."""
    return PlaneFormat(8, 1, 1) if name == RGB_PLANES else PLANE_FORMATS[name]


def planar_format(pix_fmt: str) -> str:
    """Return the three-plane format (see ``format_of_planes``) for an encoder's pixel format, without alpha."""
    if av.VideoFormat(pix_fmt, 16, 16).is_rgb:
        return RGB_PLANES
    return INTERLEAVED.get(pix_fmt, pix_fmt.replace('yuva', 'yuv'))


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format has transparency."""
    return any(component.is_alpha for component in av.VideoFormat(pix_fmt, 16, 16).components)


def plane_views(video: av.VideoFrame) -> list[Plane]:
    """Return the planes of a frame as arrays over its own memory, without the padding of their lines."""
    bits = video.format.components[0].bits
    dtype = np.dtype(np.uint8 if bits == 8 else '<u2')
    views: list[Plane] = []
    for plane in video.planes:
        # The lines of a frame that is stored upside down have a negative size.
        offset = (plane.height - 1) * -plane.line_size if plane.line_size < 0 else 0
        strides, shape = (plane.line_size, dtype.itemsize), (plane.height, plane.width)
        views.append(np.ndarray(shape, dtype, cast(bytes, plane), offset, strides))
    return views


def copy_video(video: av.VideoFrame) -> av.VideoFrame:
    """Return a copy with planes of its own and the same format, time and colour tags."""
    copy = av.VideoFrame(video.width, video.height, video.format.name)
    for target, source in zip(plane_views(copy), plane_views(video), strict=True):
        target[...] = source
    copy_tags(video, copy)
    return copy


def copy_tags(source: av.VideoFrame, target: av.VideoFrame) -> None:
    """Copy time and colour tags to a frame that replaces another."""
    target.pts = source.pts
    if source.time_base is not None:
        target.time_base = source.time_base
    target.colorspace = source.colorspace
    target.color_range = source.color_range
    target.color_primaries = source.color_primaries
    target.color_trc = source.color_trc


def resize_plane(plane: Plane, width: int, height: int) -> Plane:
    """Return one plane at another size, enlarged by linear interpolation or reduced by an area filter.

    The error is at most one 8-bit step if one size is a multiple of the other, else at most two steps.
    """
    high, wide = plane.shape[:2]
    if (wide, high) == (width, height):
        return plane.copy()
    if width > wide or height > high:
        return cast(Plane, cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR))
    # Halving is many times faster than averaging across sample borders.
    while _may_halve(wide, width) and _may_halve(high, height):
        wide, high = wide // 2, high // 2
        plane = cast(Plane, cv2.resize(plane, (wide, high), interpolation=cv2.INTER_AREA))
    return cast(Plane, cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA))


def _may_halve(size: int, goal: int) -> bool:
    """Whether halving is accurate.

    Each pair must be within one sample of the result, or each sample of the result must cover many pairs.
    """
    return size % (2 * goal) == 0 or (size % 2 == 0 and size >= 8 * goal)


def warp_plane(plane: Plane, sub: tuple[int, int], matrix: NDArray[np.float64], width: int, height: int) -> Plane:
    """Warp one plane that has a sample for every ``sub`` frame pixels."""
    scale = math.sqrt(abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))
    if not (math.isfinite(scale) and scale > 0):
        raise InternalError('frame-warp', f'the matrix {matrix.tolist()} cannot be inverted')
    factor = _shrink_factor(1 / scale, 2.0)
    inverse = cv2.invertAffineTransform(matrix)
    corners = np.array([[-1, -1, 1], [width, -1, 1], [-1, height, 1], [width, height, 1]], np.float64) @ inverse.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    part, to_frame = _region(plane, sub, (low[0], low[1], high[0], high[1]), factor)
    (ax, bx), (ay, by) = to_frame
    whole = np.asarray(matrix, np.float64) @ np.array([[ax, 0, bx], [0, ay, by], [0, 0, 1]], np.float64)
    size, border = (width, height), cv2.BORDER_REPLICATE
    return cast(Plane, cv2.warpAffine(part, whole, size, flags=cv2.INTER_LINEAR, borderMode=border))


def sample_plane(
    plane: Plane, sub: tuple[int, int], map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float
) -> Plane:
    """Sample one plane that has a sample for every ``sub`` frame pixels."""
    factor = _shrink_factor(step, 1.6)
    touched = (float(map_x.min()), float(map_y.min()), float(map_x.max()), float(map_y.max()))
    part, ((ax, bx), (ay, by)) = _region(plane, sub, touched, factor)
    if (ax, bx, ay, by) != (1, 0, 1, 0):
        map_x = (map_x - np.float32(bx)) * np.float32(1 / ax)
        map_y = (map_y - np.float32(by)) * np.float32(1 / ay)
    return cast(Plane, cv2.remap(part, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _shrink_factor(step: float, limit: float) -> int:
    """Return the power of two, at most 64, that reduces ``step`` to ``limit`` or less."""
    factor = 1
    while step / factor > limit and factor < 64:
        factor *= 2
    return factor


def _region(
    plane: Plane, sub: tuple[int, int], touched: tuple[float, float, float, float], factor: int
) -> tuple[Plane, tuple[tuple[float, float], tuple[float, float]]]:
    """Return the part of a plane under the frame coordinates ``touched``, shrunk by ``factor``.

    Also returns (a, b) for x and y: sample position p of the part is at frame position a * p + b. The part begins on
    the grid of ``factor``, so its samples do not depend on the position of the region.
    """
    high, wide = plane.shape[:2]
    x0, x1 = _span(touched[0], touched[2], sub[0], factor, wide)
    y0, y1 = _span(touched[1], touched[3], sub[1], factor, high)
    part = plane[y0:y1, x0:x1]
    if factor > 1:
        part = _shrink(part, factor)
    ax, ay = float(sub[0] * factor), float(sub[1] * factor)
    return part, ((ax, x0 * sub[0] + ax / 2 - 0.5), (ay, y0 * sub[1] + ay / 2 - 0.5))


def _span(low: float, high: float, sub: int, factor: int, size: int) -> tuple[int, int]:
    unit = sub * factor
    first = min(max(math.floor(low / unit) - 2, 0) * factor, (size - 1) // factor * factor)
    last = min(max((math.ceil(high / unit) + 2) * factor, first + factor), size)
    return first, max(last, first + 1)


def _shrink(part: Plane, factor: int) -> Plane:
    high, wide = part.shape[:2]
    below, right = -high % factor, -wide % factor
    if below or right:
        part = cast(Plane, cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE))
    size = ((wide + right) // factor, (high + below) // factor)
    return cast(Plane, cv2.resize(part, size, interpolation=cv2.INTER_AREA))


def nearest_plane_format(name: str) -> str:
    """Return the format of ``PLANE_FORMATS`` closest to pixel format ``name``: depth up to 12 bits, same chroma.

    RGB becomes 4:4:4, grey becomes 4:2:0, and 4:1:1 becomes 4:2:2. Alpha is dropped.
    """
    if name in PLANE_FORMATS:
        return name
    layout = av.VideoFormat(name, 16, 16)
    bits = max(component.bits for component in layout.components)
    depth = '' if bits <= 8 else '10le' if bits <= 10 else '12le'
    if layout.is_rgb or layout.has_palette:
        return f'yuv444p{depth}'
    if len(layout.components) < 3:
        return f'yuv420p{depth}'
    chroma = layout.components[1]
    halves = {(8, 8): '420', (8, 16): '422', (16, 16): '444', (4, 16): '422', (4, 4): '420', (16, 8): '444'}
    return f'yuv{halves.get((chroma.width, chroma.height), "444")}p{depth}'


def scaled_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return the output size: the frame's own, or ``even_size`` when ``scale`` is not 1."""
    return (width, height) if scale == 1 else even_size(width, height, scale)


def even_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """Return the scaled size: truncated, then each side rounded to even, half to even (FaceFusion 3.8); at least 2."""
    return max(round(int(width * scale) / 2) * 2, 2), max(round(int(height * scale) / 2) * 2, 2)
