"""Published lip syncers: networks that paint the mouth of an aligned crop for a window of a voice.

The contracts come from peer-models.md section 12.4, and agree with inference.py of Wav2Lip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.faces.face import Floats
from facefusion.faces.templates import Matrix
from facefusion.inference.batches import run_batched
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop

TEMPLATE = 'ffhq_512'
CROP_SIDE = 512
# The inputs of the networks.
_SOURCE, _TARGET, _WEIGHT = 'source', 'target', 'weight'


class LipNetwork(Protocol):
    """A network with its adapter."""

    def speak(self, crops: Sequence[FaceCrop], mels: Sequence[Floats]) -> list[Pixels]:
        """Return the crops uint8 [512,512,3] BGR with the mouth of their windows float32 [80,16] of a voice.

        The crops are aligned to TEMPLATE and have CROP_SIDE pixels.
        """
        ...


@dataclass(frozen=True, slots=True)
class Edtalk:
    """EDTalk: repaints the whole crop, RGB 0..1; ``weight`` is an input of the network."""

    session: Any
    side: int
    batch: int
    weight: float

    def speak(self, crops: Sequence[FaceCrop], mels: Sequence[Floats]) -> list[Pixels]:
        """See ``LipNetwork``."""
        size = (self.side, self.side)
        small = [cv2.resize(crop.pixels, size, interpolation=cv2.INTER_AREA)[..., ::-1] for crop in crops]
        inputs = {_SOURCE: _sources(mels), _TARGET: _tensor(small)}
        shared = {_WEIGHT: np.array([self.weight], np.float32)}
        outputs = run_batched(self.session, inputs, self.batch, shared)[0]
        return [_enlarged(pixels[..., ::-1]) for pixels in _pixels(outputs)]


@dataclass(frozen=True, slots=True)
class Wav2Lip:
    """Wav2Lip: repaints the box around the landmarks, BGR 0..1, whose lower half it does not see in its first image.

    ``weight`` scales the voice; 0.5 leaves it unchanged.
    """

    session: Any
    side: int
    batch: int
    weight: float

    def speak(self, crops: Sequence[FaceCrop], mels: Sequence[Floats]) -> list[Pixels]:
        """See ``LipNetwork``."""
        matrices = [_box_matrix(crop.points(), self.side) for crop in crops]
        size = (self.side, self.side)
        boxes = [cv2.warpAffine(crop.pixels, matrix, size) for crop, matrix in zip(crops, matrices, strict=True)]
        whole = _tensor(boxes)
        upper = whole.copy()
        upper[:, :, self.side // 2 :] = 0
        inputs = {_SOURCE: _sources(mels) * np.float32(2 * self.weight), _TARGET: np.concatenate([upper, whole], 1)}
        outputs = run_batched(self.session, inputs, self.batch)[0]
        return [_placed(pixels, matrix) for pixels, matrix in zip(_pixels(outputs), matrices, strict=True)]


def _box_matrix(points: Floats, side: int) -> Matrix:
    """Return the matrix from the crop to the box around points [n,2]."""
    x0, y0 = points.min(0)
    x1, y1 = np.maximum(points.max(0), (x0 + 1, y0 + 1))
    corners = np.array([[x0, y0], [x1, y0], [x0, y1]], np.float32)
    goal = np.array([[0, 0], [side, 0], [0, side]], np.float32)
    return np.asarray(cv2.getAffineTransform(corners, goal), np.float64)


def _placed(pixels: Pixels, matrix: Matrix) -> Pixels:
    """Return the image of the box in the crop; around the box its border is repeated."""
    back = cv2.invertAffineTransform(matrix)
    crop = cv2.warpAffine(pixels, back, (CROP_SIDE, CROP_SIDE), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _enlarged(pixels: Pixels) -> Pixels:
    enlarged = cv2.resize(np.ascontiguousarray(pixels), (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, np.uint8)


def _sources(mels: Sequence[Floats]) -> Floats:
    return np.stack(mels)[:, None].astype(np.float32)


def _tensor(images: Sequence[NDArray[Any]]) -> Floats:
    """Return images [H,W,3] in 0..255 as float32 [n,3,H,W] in 0..1."""
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255)


def _pixels(output: NDArray[Any]) -> Pixels:
    """Return an output [n,3,H,W] in 0..1 as uint8 [n,H,W,3]; it is truncated, as in Wav2Lip."""
    return (np.clip(output.astype(np.float32), 0, 1).transpose(0, 2, 3, 1) * 255).astype(np.uint8)
