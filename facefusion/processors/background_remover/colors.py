"""Colours of a frame without its background: remove the light of a screen, and fill the background."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.media.frame import Frame, Window
from facefusion.media.planes import Pixels
from facefusion.processors.background_remover.options import Color

# Frames are changed in bands of this many lines, to bound the memory; the number is even, due to chroma.
_BAND = 64
# Colours near a pixel are means over this many pixels of the network in both directions; the pixel itself has a small
# weight in addition, which counts where all its neighbours have none.
_NEAR, _LEAST = 9, np.float32(1e-3)


def clean_edges(frame: Frame, small: Pixels, matte: Pixels) -> bool:
    """Remove the colour of the old background from the half transparent pixels; return whether the frame changed.

    ``small`` is the matte uint8 [h,w] at the size of the network, ``matte`` that of the frame, uint8 [H,W]. The
    colours F and B of the foreground and the background near a pixel are means that are weighted by the matte a; the
    pixel c becomes F + a (c - a F - (1 - a) B), as in M. Forte, "Approximate fast foreground colour estimation"
    (ICIP 2021).
    """
    height, width = small.shape
    opacity = np.asarray(small[..., None] / np.float32(255), np.float32)
    pixels = frame.resized(width, height).astype(np.float32)
    near = [_weighted_mean(pixels, opacity), _weighted_mean(pixels, np.asarray(1 - opacity, np.float32))]
    scale = width / frame.width, height / frame.height

    def cleaned(levels: Pixels, window: Window) -> Floats:
        share = part_of(matte, window)[..., None].astype(np.float32) / 255
        front, behind = (_enlarged(each, window, scale) for each in near)
        colors = front + share * (levels - share * front - (1 - share) * behind)
        return np.asarray(np.where((share > 0) & (share < 1), np.clip(colors, 0, 255), levels), np.float32)

    return _change(frame, cleaned, (window for band in _bands(frame) for window in _soft_part(matte, band)))


def despill(frame: Frame, color: Color) -> bool:
    """Remove the light of a screen from a frame; return whether it changed.

    A channel above half the sum of the other two is lowered to it, by the share of the channel in the colour.
    """
    strongest = max(color.red, color.green, color.blue, 1)
    shares = [channel / strongest * color.alpha / 255 for channel in (color.blue, color.green, color.red)]
    return any(shares) and _change(frame, lambda pixels, window: _despilled(pixels, shares), _bands(frame))


def fill(frame: Frame, matte: Pixels, color: Color) -> bool:
    """Blend a colour into the background of a frame; return whether it changed. matte: uint8 [H,W], of the frame."""
    bgr = np.array([color.blue, color.green, color.red], np.float32)

    def filled(pixels: Pixels, window: Window) -> Floats:
        colors = pixels.astype(np.float32)
        opacity = (255 - part_of(matte, window)[..., None]).astype(np.float32)
        return np.asarray(colors + (bgr - colors) * (opacity * np.float32(color.alpha / 255**2)), np.float32)

    return color.alpha > 0 and _change(frame, filled, _bands(frame))


def _weighted_mean(pixels: Floats, weight: Floats) -> Floats:
    """Return the mean of the pixels around each pixel, float32 [h,w,3]; weight: float32 [h,w,1]."""
    total, weights = (cv2.blur(values, (_NEAR, _NEAR)) for values in (pixels * weight, weight))
    return np.asarray((total + _LEAST * pixels) / (weights + _LEAST)[..., None], np.float32)


def _soft_part(matte: Pixels, band: Window) -> Iterator[Window]:
    """Yield the columns of a band that contain all its half transparent pixels, if it has any; even, due to chroma."""
    part = part_of(matte, band)
    columns = np.flatnonzero(((part > 0) & (part < 255)).any(axis=0))
    if len(columns):
        right = min(int(columns[-1]) // 2 * 2 + 2, band.x1)
        yield Window(int(columns[0]) // 2 * 2, band.y0, right, band.y1)


def _enlarged(small: Floats, window: Window, scale: tuple[float, float]) -> Floats:
    """Return a band of an enlarged image; ``scale`` converts the coordinates of the frame to those of ``small``."""
    (across, down), size = scale, (window.x1 - window.x0, window.y1 - window.y0)
    left, top = (window.x0 + 0.5) * across - 0.5, (window.y0 + 0.5) * down - 0.5
    matrix = np.array([[across, 0, left], [0, down, top]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _despilled(pixels: Pixels, shares: list[float]) -> Floats:
    values = pixels.astype(np.float32)
    total = values.sum(axis=2)
    for channel, share in enumerate(shares):
        if share:
            value = pixels[..., channel].astype(np.float32)
            values[..., channel] = value + (np.minimum(value, (total - value) / 2) - value) * np.float32(share)
    return values


def _change(frame: Frame, changed: Callable[[Pixels, Window], Floats], windows: Iterable[Window]) -> bool:
    """Replace the windows of a frame by levels 0..255 computed from their pixels; return whether any changed."""
    is_changed = False
    for window in windows:
        before = frame.read(window)
        after = rounded(changed(before, window))
        if cv2.norm(after, before, cv2.NORM_INF) > 0:
            frame.write(window, after, before)
            is_changed = True
    return is_changed


def part_of(matte: Pixels, window: Window) -> Pixels:
    """Return a window of a matte."""
    return matte[window.y0 : window.y1, window.x0 : window.x1]


def rounded(levels: Floats) -> Pixels:
    """Return levels 0..255 as the nearest codes."""
    return np.asarray(np.round(levels), np.uint8)


def _bands(frame: Frame) -> Iterator[Window]:
    for top in range(0, frame.height, _BAND):
        yield Window(0, top, frame.width, min(top + _BAND, frame.height))
