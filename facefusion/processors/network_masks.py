"""Masks of published networks for a face that a processor of the mesh has painted in a window of the frame."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions, mask_networks, mesh_types
from facefusion.faces.templates import crop_frame, crop_window
from facefusion.media.frame import PixelFrame, Window
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop, face_crop
from facefusion.processors.face_masker import FaceMasker, prepare_masker
from facefusion.processors.mask_requirements import masks_of_types
from facefusion.processors.processor import FrameTask, ProcessorTools

# The alignment of the images with which the published parsers were trained, and the side of their input.
_TEMPLATE = 'ffhq_512'
_SIZE = 512

# Returns the opacity float32 [h,w] of a painted face for its window of the frame and the painted pixels [h,w,3].
Limit = Callable[[Window, Pixels], Floats]


class NetworkMasks:
    """The masks of published networks; several threads may share it."""

    def __init__(self, masker: FaceMasker) -> None:
        self._masker = masker

    def limit(self, task: FrameTask, face: LinkedFace) -> Limit:
        """Return the function that masks ``face`` after it was painted."""
        crop = face_crop(0, task, face, _TEMPLATE, lambda five: _SIZE)
        return lambda window, painted: self._opacity(crop, window, painted)

    def _opacity(self, crop: FaceCrop, window: Window, painted: Pixels) -> Floats:
        (mask,) = self._masker.masks([crop], [_made(crop, window, painted)])
        back = cv2.invertAffineTransform(crop.matrix)
        back[:, 2] -= (window.x0, window.y0)
        size = (window.width, window.height)
        return np.asarray(cv2.warpAffine(mask, back, size, borderMode=cv2.BORDER_REPLICATE), np.float32)


def prepare_network_masks(
    options: FaceMaskOptions, tools: ProcessorTools, name: str, types: tuple[str, ...] = ('occlusion', 'region')
) -> NetworkMasks | None:
    """Return the masks of the selected networks for the processor ``name``, or None if the mesh provides all masks.

    ``types`` are the mask types that the processor applies.
    """
    options = masks_of_types(options, tuple(kind for kind in types if kind not in mesh_types(options)))
    return NetworkMasks(prepare_masker(options, tools, _TEMPLATE, name)) if mask_networks(options) else None


def _made(crop: FaceCrop, window: Window, painted: Pixels) -> Pixels:
    """Return the crop with the painted window, uint8 [512,512,3] BGR."""
    frame = crop.task.frame
    around = crop_window(frame, crop.matrix, (_SIZE, _SIZE))
    x0, y0 = min(around.x0, window.x0), min(around.y0, window.y0)
    area = Window(x0, y0, max(around.x1, window.x1), max(around.y1, window.y1))
    pixels = frame.read(area)
    pixels[window.y0 - y0 : window.y1 - y0, window.x0 - x0 : window.x1 - x0] = painted
    matrix = crop.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ np.array([x0, y0])
    return crop_frame(PixelFrame(pixels), matrix, (_SIZE, _SIZE))
