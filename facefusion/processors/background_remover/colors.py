"""Colours of a frame without its background: remove the light of a screen, and fill the background."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.media.frame import Frame, Window
from facefusion.media.planes import Pixels
from facefusion.processors.background_remover.options import Color

# Frames are changed in bands of this many lines, to bound the memory; the number is even because of the chroma.
_BAND = 256


def despill(frame: Frame, color: Color) -> bool:
    """Remove the light of a screen from a frame; return whether it changed.

    A channel above half the sum of the other two is lowered to it, by the share of the channel in the colour.
    """
    strongest = max(color.red, color.green, color.blue, 1)
    shares = [channel / strongest * color.alpha / 255 for channel in (color.blue, color.green, color.red)]
    return _change(frame, lambda pixels, window: _despilled(pixels, shares)) if any(shares) else False


def fill(frame: Frame, matte: Pixels, color: Color) -> bool:
    """Blend a colour into the background of a frame; return whether it changed. matte: uint8 [H,W], of the frame."""
    bgr = np.array([color.blue, color.green, color.red], np.float32)

    def filled(pixels: Pixels, window: Window) -> Floats:
        colors = pixels.astype(np.float32)
        opacity = (255 - matte[window.y0 : window.y1, window.x0 : window.x1, None]).astype(np.float32)
        return np.asarray(colors + (bgr - colors) * (opacity * np.float32(color.alpha / 255**2)), np.float32)

    return _change(frame, filled) if color.alpha else False


def _despilled(pixels: Pixels, shares: list[float]) -> Floats:
    values = pixels.astype(np.float32)
    total = values.sum(axis=2)
    for channel, share in enumerate(shares):
        if share:
            value = pixels[..., channel].astype(np.float32)
            values[..., channel] = value + (np.minimum(value, (total - value) / 2) - value) * np.float32(share)
    return values


def _change(frame: Frame, changed: Callable[[Pixels, Window], Floats]) -> bool:
    is_changed = False
    for window in _bands(frame):
        before = frame.read(window)
        after = rounded(changed(before, window))
        if cv2.norm(after, before, cv2.NORM_INF) > 0:
            frame.write(window, after, before)
            is_changed = True
    return is_changed


def rounded(levels: Floats) -> Pixels:
    """Return levels 0..255 as the nearest codes."""
    return np.asarray(np.round(levels), np.uint8)


def _bands(frame: Frame) -> Iterator[Window]:
    for top in range(0, frame.height, _BAND):
        yield Window(0, top, frame.width, min(top + _BAND, frame.height))
