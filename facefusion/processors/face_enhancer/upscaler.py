"""An embedded upscaler as a face enhancer: it adds the fine detail that the network adds to the enlarged face.

An upscaler that enlarges faces also moves tones and redraws edges. On degraded faces only the fine and weak part of its
change brings the picture closer to the original; benchmarks/face_enhancer_quality.py measures it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.templates import Matrix, crop_frame, resized_matrix, template_matrix
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop
from facefusion.processors.face_enhancer.models import UpscalerLimits

TEMPLATE = 'ffhq_512'
# The network gets crops of few sides, multiples of this; below 128 pixels the result is smeared.
_STEP, _SMALLEST = 64, 128
# A larger face is read at up to this many times the side of its crop and shrunk with an area filter, because a warp
# does not filter.
_MOST_SHRINKING = 16
# Changes that are coarser than this do more harm than good; in pixels.
_FINE_SIGMA = 1.0


class Upscaler:
    """An upscaling network for RGB 0..1 of any size.

    The detail of a crop that covers more pixels of the frame than the largest crop is weakened: it is too coarse for
    the face.
    """

    template = TEMPLATE

    def __init__(self, session: Any, limits: UpscalerLimits) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._largest, self._strongest = limits

    def crop_side(self, five: Floats) -> int:
        """Return the side of the crop for the five points of a face in the frame: the frame's pixels, within limits."""
        shown = _shown_side(template_matrix(five, TEMPLATE, _SMALLEST), _SMALLEST)
        steps = math.ceil(min(shown, self._largest) / _STEP)
        return min(max(_STEP * steps, _SMALLEST), self._largest)

    def enhance(self, crops: Sequence[FaceCrop]) -> list[Floats]:
        """Return the detail to add to each crop, float32 [R,R,3] BGR in levels of 255; R may exceed the crop's side.

        The crops have different sizes, so each is a call of its own.
        """
        return [self._detail(crop) for crop in crops]

    def paste(self, crop: FaceCrop, result: Pixels | Floats, mask: Floats, share: float) -> bool:
        """Add the detail of a crop to the frame; return whether any pixel changed."""
        side = result.shape[0]
        opacity = mask if len(mask) == side else cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR)
        return crop.add(np.asarray(result * (share * opacity)[..., None], np.float32))

    def enlarge(self, crop: Pixels) -> Floats:
        """Return a crop uint8 [S,S,3] BGR at four times its side, float32 [4S,4S,3] BGR 0..255."""
        rgb = crop[..., ::-1].astype(np.float32) / 255
        tensor = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])
        output = self._session.run(None, {self._input: tensor})[0][0]
        enlarged = np.clip(output.astype(np.float32), 0, 1).transpose(1, 2, 0)[..., ::-1] * np.float32(255)
        return np.ascontiguousarray(enlarged)

    def _detail(self, crop: FaceCrop) -> Floats:
        side = crop.pixels.shape[0]
        shown = _shown_side(crop.matrix, side)
        pixels = _sharpest_crop(crop, shown)
        # The smallest of 1, 2 and 4 times the side that has the pixels of the frame.
        size = side * (1 if shown <= side else 2 if shown <= 2 * side else 4)
        detail = fine_change(pixels, self.enlarge(pixels), size, self._strongest)
        return detail * np.float32(min(1.0, self._largest / shown))


def fine_change(pixels: Pixels, enlarged: Floats, size: int, strongest: float) -> Floats:
    """Return the fine and weak part of the change from ``pixels`` to ``enlarged``, float32 [size,size,3].

    pixels: uint8 [S,S,3]. enlarged: float32 [4S,4S,3] in 0..255. Both are resized to ``size`` first. ``strongest``
    limits the change, in levels of 255.
    """
    after = cv2.resize(enlarged, (size, size), interpolation=cv2.INTER_AREA)
    change = after - cv2.resize(pixels.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    fine = change - cv2.GaussianBlur(change, (0, 0), _FINE_SIGMA)
    return np.asarray(strongest * np.tanh(fine / strongest), np.float32)


def _sharpest_crop(crop: FaceCrop, shown: float) -> Pixels:
    """Return the crop with cubic interpolation if it has at least the pixels of the frame, else with an area filter."""
    side = crop.pixels.shape[0]
    if shown <= side:
        return crop_frame(crop.task.frame, crop.matrix, (side, side), interpolation=cv2.INTER_CUBIC)
    factor = min(math.ceil(shown / side), _MOST_SHRINKING)
    large = crop_frame(crop.task.frame, resized_matrix(crop.matrix, factor), (side * factor, side * factor))
    return np.asarray(cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _shown_side(matrix: Matrix, side: int) -> float:
    """Return the side of a crop in pixels of the frame; matrix: from the frame to the crop of ``side`` pixels."""
    return side / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)
