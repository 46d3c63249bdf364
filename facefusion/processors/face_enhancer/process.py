"""Enhance each selected face: align, enhance, mask, paste back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from facefusion.events import Message
from facefusion.faces.face import Floats
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop, face_crops
from facefusion.processors.face_enhancer.models import EMBEDDED, MASK_TYPES, frozen_model
from facefusion.processors.face_enhancer.options import FaceEnhancerOptions
from facefusion.processors.face_enhancer.restorer import Restorer
from facefusion.processors.face_enhancer.upscaler import Upscaler
from facefusion.processors.face_masker import FaceMasker, prepare_masker
from facefusion.processors.mask_requirements import masks_of_types
from facefusion.processors.processor import FrameTask, ProcessorTools


class EnhancerNetwork(Protocol):
    """A network with its adapter; ``template`` is the alignment of the crops.

    ``crop_side`` is the side of a crop for five points of a face in the frame. ``enhance`` returns a result [R,R,3]
    for each crop. ``paste`` blends a result into the frame of its crop with a mask [S,S] and a share, both 0..1; it
    returns whether the frame changed.
    """

    template: str

    def crop_side(self, five: Floats) -> int: ...

    def enhance(self, crops: Sequence[FaceCrop]) -> Sequence[Pixels | Floats]: ...

    def paste(self, crop: FaceCrop, result: Pixels | Floats, mask: Floats, share: float) -> bool: ...


class FaceEnhancer:
    """A processor that enhances every selected face; one call of the network may take the crops of several frames."""

    name = 'face_enhancer'

    def __init__(self, network: EnhancerNetwork, masker: FaceMasker, share: float) -> None:
        """``share``: the weight of the enhanced face in the result, 0..1."""
        self._network = network
        self._masker = masker
        self._share = share

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Enhance the faces of each frame, and return for each frame whether any of its pixels changed."""
        changed = [False] * len(batch)
        if self._share == 0:
            return changed
        for crops in face_crops(batch, self._network.template, self._network.crop_side):
            masks = self._masker.masks(crops, [crop.pixels for crop in crops])
            shown = [(crop, mask) for crop, mask in zip(crops, masks, strict=True) if mask.any()]
            results = self._network.enhance([crop for crop, _ in shown]) if shown else []
            for (crop, mask), result in zip(shown, results, strict=True):
                changed[crop.number] |= self._network.paste(crop, result, mask, self._share)
        return changed


def prepare(tools: ProcessorTools) -> FaceEnhancer:
    """Return the enhancer that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[FaceEnhancerOptions]
    name = frozen_model(options.face_enhancer_model)
    network: EnhancerNetwork
    if name in EMBEDDED:
        network = Upscaler(tools.sessions.session(name), EMBEDDED[name])
    else:
        session, contract = tools.sessions.batched(name), tools.sessions.contract(name)
        network = Restorer(session, contract, tools.batch_of(name), options.face_enhancer_weight)
    return FaceEnhancer(network, _masker(tools, network.template), options.face_enhancer_blend / 100)


def _masker(tools: ProcessorTools, template: str) -> FaceMasker:
    """Return the masks of enhanced crops: always a box without padding, and the selected ones of ``MASK_TYPES``."""
    chosen = tools.settings[FaceMaskOptions]
    ignored = [kind for kind in chosen.face_mask_types if kind not in MASK_TYPES]
    if ignored:
        text = f'the face enhancer ignores the mask types {", ".join(ignored)}: it applies box and occlusion only'
        tools.emit(Message('info', FaceEnhancer.name, text))
    types = ('box', *(kind for kind in masks_of_types(chosen, MASK_TYPES).face_mask_types if kind != 'box'))
    options = replace(chosen, face_mask_types=types, face_mask_padding=(0, 0, 0, 0))
    return prepare_masker(options, tools, template, FaceEnhancer.name)
