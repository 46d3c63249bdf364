"""Convert the planes of a video frame to BGR pixels and back. Chroma is sited in the centre of its block.

BGR is uint8 0..255 or uint16 0..65535, for every depth of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import av
import av.video.reformatter
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.color import ColorSpec
from facefusion.media.planes import Pixels, Plane, PlaneFormat, resize_plane

Values = NDArray[np.float32]
# swscale's numbers of the matrices. Code 6 means the same matrix as 5, but swscale treats it as no matrix.
_SCALER_CODES = {'bt601': 5, 'bt709': 1, 'bt2020': 9}
# 16-bit codes per 8-bit code.
DEEP = 257
# Lines converted at a time, so that no whole frame of floats is allocated; a multiple of every block height.
_BAND = 64


def planes_to_bgr(planes: Sequence[Plane], color: ColorSpec, bits: int) -> Pixels:
    """Return planes of one size as uint8 HxWx3 BGR."""
    codes, matrix = cv2.merge(list(planes)), color.to_bgr(bits)
    if bits == 8:
        return cast(Pixels, cv2.transform(codes, matrix))
    # OpenCV's 16-bit path rounds differently at the end of a line, so pixels would depend on the window's position.
    return cast(Pixels, rounded(cv2.transform(codes.astype(np.float32), matrix), 8))


def whole_bgr(planes: Sequence[Plane], shape: PlaneFormat, color: ColorSpec) -> Plane:
    """Return three planes of ``shape`` as HxWx3 BGR, rounded to nearest: uint8, or uint16 above 8 bits."""
    luma, chroma = planes[0], [cast(Any, plane.astype(np.float32)) for plane in planes[1:]]
    high, wide = luma.shape
    is_deep = shape.bits > 8
    matrix = color.to_deep_bgr(shape.bits) if is_deep else color.to_bgr(8)
    pixels = np.empty((high, wide, 3), np.uint16 if is_deep else np.uint8)
    for y0 in range(0, high, _BAND):
        window = (0, y0, wide, min(y0 + _BAND, high))
        values = [chroma_at_luma_size(plane, shape, window) for plane in chroma]
        codes = cv2.merge([luma[y0 : window[3]].astype(np.float32), *values])
        pixels[y0 : window[3]] = rounded(cv2.transform(codes, matrix), 16 if is_deep else 8)
    return cast(Plane, pixels)


def bgr_to_planes(pixels: Plane, shape: PlaneFormat, color: ColorSpec, planes: Sequence[Plane]) -> None:
    """Fill three planes of ``shape`` with HxWx3 BGR, uint8 or uint16, rounded to nearest."""
    high, wide = pixels.shape[:2]
    matrix = color.from_bgr(shape.bits)
    if pixels.dtype == np.uint16:
        matrix = matrix.copy()
        matrix[:, :3] /= DEEP
    for y0 in range(0, high, _BAND):
        y1 = min(y0 + _BAND, high)
        values = cv2.split(cv2.transform(pixels[y0:y1].astype(np.float32), matrix))
        planes[0][y0:y1] = rounded(values[0], shape.bits)
        for plane, value in zip(planes[1:], values[1:], strict=True):
            means = block_means(cast(Values, value), shape, (0, y0, wide, y1), (wide, high))
            plane[y0 // shape.sub_y : -(-y1 // shape.sub_y)] = rounded(means, shape.bits)


def reformatted(
    video: av.VideoFrame, pix_fmt: str, size: tuple[int, int], meant: ColorSpec, color: ColorSpec
) -> av.VideoFrame:
    """Return a frame of YCbCr planes in another format, size or colour meaning, without a detour through RGB."""
    return av.video.reformatter.VideoReformatter().reformat(
        video,
        width=size[0],
        height=size[1],
        format=pix_fmt,
        src_colorspace=_SCALER_CODES[meant.matrix],
        dst_colorspace=_SCALER_CODES[color.matrix],
        src_color_range=meant.range_code,
        dst_color_range=color.range_code,
        interpolation='AREA' if size[0] < video.width else 'BICUBIC',
    )


def tag_video(video: av.VideoFrame, color: ColorSpec) -> av.VideoFrame:
    """Tag a frame with its colours; some encoders read them from the frame."""
    video.colorspace, video.color_range = color.matrix_code, color.range_code
    video.color_primaries, video.color_trc = color.primaries, color.transfer
    return video


def rounded(values: Any, bits: int) -> Plane:
    """Return float32 values as codes of ``bits`` bits, rounded to nearest and clipped to the range."""
    depth = cv2.CV_8U if bits == 8 else cv2.CV_16U
    codes = cv2.add(values, (0.0, 0.0, 0.0, 0.0), dtype=depth)  # type: ignore[call-overload]
    if 8 < bits < 16:
        np.minimum(codes, (1 << bits) - 1, out=codes)
    return cast(Plane, codes)


def to_8_bits(samples: Plane) -> Pixels:
    """Return uint16 0..65535 as uint8; uint8 unchanged."""
    if samples.dtype == np.uint8:
        return cast(Pixels, samples)
    return cast(Pixels, cv2.convertScaleAbs(samples, alpha=1 / DEEP))


def alpha_codes(alpha: Plane, bits: int) -> Plane:
    """Return alpha, uint8 or uint16 HxW, in codes of ``bits`` bits; alpha always has full range."""
    most = np.iinfo(alpha.dtype).max
    if most == (1 << bits) - 1:
        return alpha
    return rounded(alpha.astype(np.float32) * np.float32(((1 << bits) - 1) / most), bits)


def resize_samples(samples: Plane, width: int, height: int) -> Plane:
    """Return BGR or alpha at the output size, enlarged with a cubic filter or reduced with an area filter."""
    high, wide = samples.shape[:2]
    if width > wide or height > high:
        return cast(Plane, cv2.resize(samples, (width, height), interpolation=cv2.INTER_CUBIC))
    return samples if (width, height) == (wide, high) else resize_plane(samples, width, height)


def chroma_at_luma_size(plane: Plane, shape: PlaneFormat, window: tuple[int, int, int, int]) -> Plane:
    """Return the window of a chroma plane at luma size, by linear interpolation.

    One more sample on each side is included, so that the edges are exact.
    """
    fx, fy = shape.sub_x, shape.sub_y
    x0, y0, x1, y1 = window
    if fx == fy == 1:
        return plane[y0:y1, x0:x1]
    high, wide = plane.shape
    left, top = max(x0 // fx - (fx > 1), 0), max(y0 // fy - (fy > 1), 0)
    right, bottom = min(-(-x1 // fx) + (fx > 1), wide), min(-(-y1 // fy) + (fy > 1), high)
    size = ((right - left) * fx, (bottom - top) * fy)
    full = cv2.resize(plane[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
    x, y = x0 - left * fx, y0 - top * fy
    return cast(Plane, full[y : y + y1 - y0, x : x + x1 - x0])


def block_means(values: Values, shape: PlaneFormat, window: tuple[int, int, int, int], size: tuple[int, int]) -> Values:
    """Return the mean of each chroma block that ``window`` of a frame of ``size`` touches.

    Values outside the window are 0; blocks beyond the frame's edge repeat the last line or column.
    """

    fx, fy = shape.sub_x, shape.sub_y
    if fx == fy == 1:
        return values
    x0, y0, x1, y1 = window
    width, height = size
    if (x1 == width and x1 % fx) or (y1 == height and y1 % fy):
        over_x = -x1 % fx if x1 == width else 0
        over_y = -y1 % fy if y1 == height else 0
        values = cast(Values, cv2.copyMakeBorder(values, 0, over_y, 0, over_x, cv2.BORDER_REPLICATE))
        x1, y1 = x1 + over_x, y1 + over_y
    left, top, right, bottom = x0 % fx, y0 % fy, -x1 % fx, -y1 % fy
    if left or top or right or bottom:
        values = cast(Values, cv2.copyMakeBorder(values, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0.0))
    high, wide = values.shape
    return cast(Values, cv2.resize(values, (wide // fx, high // fy), interpolation=cv2.INTER_AREA))
