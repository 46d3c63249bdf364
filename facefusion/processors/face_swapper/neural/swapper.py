"""The face swapper with a published network: align, swap, mask, paste back."""

from __future__ import annotations

from collections.abc import Sequence

from facefusion.faces.face import LinkedFace
from facefusion.faces.role import NO_SOURCE
from facefusion.processors.face_crops import face_crops
from facefusion.processors.face_masker import FaceMasker
from facefusion.processors.face_swapper.color_match import match_color
from facefusion.processors.face_swapper.neural.identity import SourceIdentity
from facefusion.processors.face_swapper.neural.network import SwapNetwork
from facefusion.processors.processor import FrameTask


class NeuralSwapper:
    """A processor that swaps every selected face that has a source.

    One call of the network takes the crops of several frames, for any sources.
    """

    name = 'face_swapper'

    def __init__(
        self,
        network: SwapNetwork,
        template: str,
        size: int,
        identities: Sequence[SourceIdentity],
        masker: FaceMasker,
        matches: bool,
    ) -> None:
        """``size``: side of the crop in pixels, a multiple of the network's. ``identities``: one for each group of
        ``Cast.images``. ``matches``: whether to match colours.
        """
        self._network = network
        self._template = template
        self._size = size
        self._identities = identities
        self._masker = masker
        self._matches = matches

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Swap the faces of each frame, and return for each frame whether any of its pixels changed."""
        changed = [False] * len(batch)
        for crops in face_crops(batch, self._template, lambda five: self._size, _has_images):
            sources = [self._identities[crop.face.role.images].source_for(crop.task.frame, crop.five) for crop in crops]
            results = self._network.swap([crop.pixels for crop in crops], sources)
            masks = self._masker.masks(crops, results)
            for crop, result, mask in zip(crops, results, masks, strict=True):
                colours = match_color(result, crop.pixels) if self._matches else result
                changed[crop.number] |= crop.blend(colours, mask)
        return changed


def _has_images(face: LinkedFace) -> bool:
    return face.role.images != NO_SOURCE
