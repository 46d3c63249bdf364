"""The lightness L of CIE L*a*b* of sRGB pixels (IEC 61966-2-1, white D65), and the grey pixel of the same lightness.

OpenCV converts float pixels to Lab by a coarse table: its L is wrong by up to 0.25, which would show in 10-bit clips.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from facefusion.media.convert import Values
from facefusion.media.planes import Pixels, Plane

# Luminance of blue, green and red: row Y of the matrix from linear sRGB to XYZ that OpenCV's inverse uses.
_LUMINANCE = np.array([0.072169, 0.715160, 0.212671], np.float32)


def lightness(pixels: Plane) -> Values:
    """Return L, float32 HxW in 0..100, of HxWx3 BGR, uint8 or uint16 (0..65535)."""
    light = _luminance(pixels)
    return np.where(light > 0.008856, 116 * np.cbrt(light) - 16, 903.3 * light).astype(np.float32)


def grey_of_same_lightness(pixels: Pixels) -> Values:
    """Return the grey level, float32 HxW in 0..1, that has the lightness of each pixel of uint8 HxWx3 BGR.

    A grey pixel has a = b = 0, so it is the colour that remains of a pixel when only its L is kept.
    """
    light = _luminance(pixels)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** np.float32(1 / 2.4) - 0.055).astype(np.float32)


def _luminance(pixels: Plane) -> Values:
    levels = _OF_8_BITS if pixels.dtype == np.uint8 else _OF_16_BITS
    return cast(Values, levels[pixels] @ _LUMINANCE)


def _linear_levels(count: int) -> Values:
    """Return the linear light of each of ``count`` levels."""
    levels = np.linspace(0, 1, count)
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


_OF_8_BITS, _OF_16_BITS = _linear_levels(1 << 8), _linear_levels(1 << 16)
