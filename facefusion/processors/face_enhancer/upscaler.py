"""An embedded upscaler as a face enhancer: it enlarges the crop of a face to four times its side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.templates import Matrix, template_matrix
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop

TEMPLATE = 'ffhq_512'
# The network gets crops of these sides, in multiples of 8. Below 128 pixels the result is smeared, and above 256 it
# takes more than a second.
_SMALLEST, _LARGEST, _STEP = 128, 256, 8
# A larger face is read at up to this many times the largest side and shrunk with an area filter, because a warp does
# not filter.
_MOST_SHRINKING = 8


class Upscaler:
    """An upscaling network for RGB 0..1 of any size."""

    template = TEMPLATE
    side = _LARGEST

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def crop_side(self, five: Floats) -> int:
        """Return the side of the crop in pixels for the five points of a face in the frame."""
        return crop_side(shown_side(template_matrix(five, TEMPLATE, _LARGEST), _LARGEST))

    def enhance(self, crops: Sequence[FaceCrop]) -> list[Floats]:
        """Return the enlarged crops float32 [R,R,3] BGR 0..255, not larger than the crops are in the frame.

        The crops have different sizes, so each is a call of its own.
        """
        enlarged = []
        for crop in crops:
            side = crop.pixels.shape[0]
            result = self.enlarge(_shrunk(crop.pixels, side // -(-side // _LARGEST)))
            shown = shown_side(crop.matrix, side)
            enlarged.append(_shrunk(result, min(max(round(shown), 1), result.shape[0])))
        return enlarged

    def enlarge(self, crop: Pixels) -> Floats:
        """Return a crop uint8 [S,S,3] BGR at four times its side, float32 [4S,4S,3] BGR 0..255."""
        rgb = crop[..., ::-1].astype(np.float32) / 255
        tensor = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])
        output = self._session.run(None, {self._input: tensor})[0][0]
        enlarged = np.clip(output.astype(np.float32), 0, 1).transpose(1, 2, 0)[..., ::-1] * np.float32(255)
        return np.ascontiguousarray(enlarged)


def crop_side(shown: float) -> int:
    """Return the side of the crop for a crop that covers ``shown`` pixels of the frame.

    The crop has the pixels that the frame has, within limits. A side above ``_LARGEST`` is a multiple of it.
    """
    if shown <= _LARGEST:
        return min(max(_STEP * round(shown / _STEP), _SMALLEST), _LARGEST)
    return _LARGEST * min(-int(-shown // _LARGEST), _MOST_SHRINKING)


def shown_side(matrix: Matrix, side: int) -> float:
    """Return the side of a crop in pixels of the frame; matrix: from the frame to the crop of ``side`` pixels."""
    return side / max(float(np.hypot(matrix[0, 0], matrix[1, 0])), 1e-6)


def _shrunk(crop: Any, side: int) -> Any:
    """Return a crop [S,S,3] at a smaller side, with an area filter, or the crop itself."""
    if side >= crop.shape[0]:
        return crop
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
