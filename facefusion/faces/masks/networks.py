"""Published networks for masks: occluders find the visible part of a face, parsers its regions.

The contracts come from peer-models.md section 8.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.masks.crop_masks import smoothed
from facefusion.inference.batches import run_batched
from facefusion.media.planes import Pixels
from facefusion.models.catalog import Contract

# The class of each region in the output of the parsers.
REGION_CLASSES = MappingProxyType(
    {
        'skin': 1,
        'left-eyebrow': 2,
        'right-eyebrow': 3,
        'left-eye': 4,
        'right-eye': 5,
        'glasses': 6,
        'nose': 10,
        'mouth': 11,
        'upper-lip': 12,
        'lower-lip': 13,
    }
)


class Occluder:
    """A network that finds the visible part of a face (XSeg of DeepFaceLab)."""

    def __init__(self, session: Any, contract: Contract, batch: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._size = (contract.size[0], contract.size[1])
        self._batch = batch

    def visible(self, crops: Sequence[Pixels]) -> Floats:
        """Return float32 [n,256,256], 1 where the face is visible, for aligned crops uint8 [S,S,3] BGR of any size."""
        images = np.stack([cv2.resize(crop, self._size) for crop in crops]).astype(np.float32) / np.float32(255)
        (found,) = run_batched(self._session, {self._input: images}, self._batch)[:1]
        return np.clip(np.asarray(found[..., 0], np.float32), 0, 1)


class FaceParser:
    """A network that assigns each pixel of a face to a region (BiSeNet)."""

    def __init__(self, session: Any, contract: Contract, batch: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._size = (contract.size[0], contract.size[1])
        self._mean = np.array(contract.mean, np.float32)
        self._std = np.array(contract.std, np.float32)
        self._batch = batch

    def masks(self, crops: Sequence[npt.NDArray[Any]], regions: Sequence[str]) -> list[Floats]:
        """Return masks float32 [S,S] of the selected regions, with a soft inner edge.

        crops: aligned crops [S,S,3] BGR in 0..255, of any dtype and any sizes.
        """
        images = np.stack([self._image(crop) for crop in crops])
        (found,) = run_batched(self._session, {self._input: images}, self._batch)[:1]
        chosen = np.isin(found.argmax(axis=1), [REGION_CLASSES[region] for region in regions]).astype(np.float32)
        return [
            smoothed(np.asarray(cv2.resize(mask, crop.shape[1::-1]), np.float32))
            for mask, crop in zip(chosen, crops, strict=True)
        ]

    def _image(self, crop: npt.NDArray[Any]) -> Floats:
        rgb = np.asarray(cv2.resize(crop, self._size), np.float32)[..., ::-1] / np.float32(255)
        return np.ascontiguousarray(((rgb - self._mean) / self._std).transpose(2, 0, 1), np.float32)
