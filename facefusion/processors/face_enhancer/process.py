"""Enhance each selected face: align, enhance, blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.masks.crop_masks import box_mask
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop, face_crops
from facefusion.processors.face_enhancer.models import blend_percent, frozen_model, is_embedded
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.face_enhancer.restorer import Restorer
from facefusion.processors.face_enhancer.upscaler import Upscaler
from facefusion.processors.processor import FrameTask, ProcessorTools


class EnhancerNetwork(Protocol):
    """A network with its adapter: ``side`` is the largest side of its input, ``template`` the alignment of the crops.

    ``crop_side`` is the side of a crop for five points of a face in the frame. ``enhance`` returns each crop enhanced:
    [R,R,3] BGR 0..255, of any side.
    """

    template: str
    side: int

    def crop_side(self, five: Floats) -> int: ...

    def enhance(self, crops: Sequence[FaceCrop]) -> Sequence[Pixels | Floats]: ...


class EnhancerMasks:
    """The masks of enhanced crops: always a box with soft edges, as in FaceFusion 3.8 (peer-models.md section 8)."""

    def __init__(self, options: FaceMaskOptions, side: int) -> None:
        """``side``: the side at which masks are computed, because the blur of a larger box takes long."""
        self._box = np.clip(box_mask(side, options.face_mask_blur, ()), 0, 1)

    def of(self, crop: FaceCrop, side: int) -> Floats:
        """Return the mask of a crop whose enhanced version has this side, float32 [side,side] 0..1."""
        mask = self._box
        if len(mask) == side:
            return mask
        return np.asarray(cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


class FaceEnhancer:
    """A processor that enhances every selected face; one call of the network may take the crops of several frames."""

    name = 'face_enhancer'

    def __init__(self, network: EnhancerNetwork, masks: EnhancerMasks, share: float) -> None:
        """``share``: the weight of the enhanced face in the result, 0..1."""
        self._network = network
        self._masks = masks
        self._share = share

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Enhance the faces of each frame, and return for each frame whether any of its pixels changed."""
        changed = [False] * len(batch)
        if self._share == 0:
            return changed
        for crops in face_crops(batch, self._network.template, self._network.crop_side):
            for crop, result in zip(crops, self._network.enhance(crops), strict=True):
                mask = self._masks.of(crop, result.shape[0])
                changed[crop.number] |= crop.blend(result, mask, self._share)
        return changed


def prepare(tools: ProcessorTools) -> FaceEnhancer:
    """Return the enhancer that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[FaceEnhancerOptions]
    name = frozen_model(options.face_enhancer_model)
    session = tools.sessions.session(name)
    network: EnhancerNetwork
    if is_embedded(name):
        network = Upscaler(session)
    else:
        network = Restorer(session, tools.sessions.contract(name), tools.batch, options.face_enhancer_weight)
    share = blend_percent(name, options.face_enhancer_blend) / 100
    return FaceEnhancer(network, EnhancerMasks(tools.settings[FaceMaskOptions], network.side), share)
