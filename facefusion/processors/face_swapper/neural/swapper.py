"""The face swapper with a published network: align, swap, mask, paste back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.masks.crop_masks import CropMasks
from facefusion.faces.templates import Matrix, blend_crop, crop_frame, template_matrix
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.processors.face_swapper.color_match import match_color
from facefusion.processors.face_swapper.neural.identity import SourceIdentity
from facefusion.processors.face_swapper.neural.network import SwapNetwork
from facefusion.processors.processor import FrameTask


class _Swap(NamedTuple):
    """A face to swap: its frame, its points in the frame, its crop, and the matrix from the frame to the crop."""

    task: int
    frame: Frame
    points: Floats
    matrix: Matrix
    crop: Pixels
    source: Floats


class NeuralSwapper:
    """A processor that swaps every selected face; one call of the network takes the crops of several frames."""

    name = 'face_swapper'

    def __init__(
        self, network: SwapNetwork, template: str, size: int, identity: SourceIdentity, masks: CropMasks, matches: bool
    ) -> None:
        """``size``: side of the crop in pixels, a multiple of the network's. ``matches``: whether to match colours."""
        self._network = network
        self._template = template
        self._size = size
        self._identity = identity
        self._masks = masks
        self._matches = matches

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Swap the faces of each frame, and return for each frame whether any of its pixels changed.

        The faces of one frame are swapped one after another, because they may overlap: the crop of each face contains
        the results of the faces before it.
        """
        changed = [False] * len(batch)
        for turn in range(max((len(task.faces) for task in batch), default=0)):
            swaps = [self._align(number, task, turn) for number, task in enumerate(batch) if turn < len(task.faces)]
            results = self._network.swap([swap.crop for swap in swaps], [swap.source for swap in swaps])
            for swap, result in zip(swaps, results, strict=True):
                changed[swap.task] |= self._paste(swap, result)
        return changed

    def _paste(self, swap: _Swap, result: Floats) -> bool:
        colours = match_color(result, swap.crop) if self._matches else result
        points = cv2.transform(swap.points[None], swap.matrix)[0]
        return blend_crop(swap.frame, colours, self._masks.of(np.asarray(points, np.float32)), swap.matrix)

    def _align(self, number: int, task: FrameTask, turn: int) -> _Swap:
        face = task.faces[turn]
        # The coordinates of faces are in pixels of the target, but an earlier processor may have enlarged the frame.
        five = task.frame.scale.place(five_points(face.landmarks))
        points = task.frame.scale.place(sixty_eight_points(face.landmarks))
        matrix = template_matrix(five, self._template, self._size)
        crop = crop_frame(task.frame, matrix, (self._size, self._size))
        return _Swap(number, task.frame, points, matrix, crop, self._identity.source_for(task.frame, five))
