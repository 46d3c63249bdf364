"""Draw box, landmarks and mask of each selected face, and write facts about it beside the box.

Items, colours and sizes are those of FaceFusion 3.8 (peer-models.md section 12.10). All point sets come from one mesh:
the items 5 and 5/68 show its five points, the items 68 and 68/5 show its 68-point subset. The mask item shows the
contour of the selected masks; with the landmarks of the mesh, its outline limits the mask. The texts are in
``captions``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import MESH_POINTS, Floats, Ints, LinkedFace
from facefusion.faces.landmarks.sixty_eight import face_angle
from facefusion.faces.landmarks.subsets import detector_points, five_points, sixty_eight_points
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.topology import OVAL
from facefusion.media.frame import Frame, Window
from facefusion.processors.face_crops import FaceCrop, face_crop
from facefusion.processors.face_debugger.captions import Colour, caption, draw_caption, place_caption
from facefusion.processors.face_debugger.options import SHAPES, FaceDebuggerOptions
from facefusion.processors.face_debugger.registration import drawn_masks
from facefusion.processors.face_masker import FaceMasker, prepare_masker
from facefusion.processors.mask_requirements import masks_of_types
from facefusion.processors.processor import FrameTask, ProcessorTools

Pixels = npt.NDArray[np.uint8]

RED: Colour = (0, 0, 255)
LIGHT_RED: Colour = (100, 100, 255)
GREEN: Colour = (0, 255, 0)
CYAN: Colour = (255, 255, 0)
ORANGE: Colour = (0, 165, 255)
WHITE: Colour = (255, 255, 255)
MASK_TEMPLATE = 'arcface_128'
MASK_SIZE = 512
# Pixels of the mask above this value, of 255, are inside the contour.
MASK_THRESHOLD = 100


class FaceDebugger:
    """Draws the chosen items; all but the box are orange on faces interpolated between two detections."""

    name = 'face_debugger'

    def __init__(self, options: FaceDebuggerOptions, masker: FaceMasker | None) -> None:
        """``masker`` creates the masks, without soft edges; None without the mask item."""
        self._items = options.face_debugger_items
        self._masker = masker

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Draw on every face of every frame of the batch."""
        changed = [False] * len(batch)
        for number, task in enumerate(batch):
            # All masks are created before the first drawing changes the frame.
            contours = self._mask_contours(task)
            for face, found in zip(task.faces, contours, strict=True):
                changed[number] |= self._draw(task.frame, face, found)
            # Texts are above the shapes of all faces.
            for face in task.faces:
                changed[number] |= self._write(task.frame, face)
        return changed

    def _mask_contours(self, task: FrameTask) -> list[list[Ints]]:
        """Return the contours of the mask of each face."""
        if self._masker is None or not task.faces:
            return [[] for _ in task.faces]
        crops = [face_crop(0, task, face, MASK_TEMPLATE, lambda five: MASK_SIZE) for face in task.faces]
        masks = self._masker.masks(crops, [crop.pixels for crop in crops])
        return [_contours(crop, mask) for crop, mask in zip(crops, masks, strict=True)]

    def _draw(self, frame: Frame, face: LinkedFace, contours: Sequence[Ints]) -> bool:
        """Draw the shapes of a face; return whether there are any in the frame."""
        if not set(self._items) & set(SHAPES):
            return False
        size = min(max(round(frame.height / 270), 1), 10)
        corners = np.concatenate([np.reshape(face.box, (2, 2)), *contours])
        low, high = corners.min(0) - 2 * size - 2, corners.max(0) + 2 * size + 3
        window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
        if window.is_empty:
            return False
        before = frame.read(window)
        pixels = np.ascontiguousarray(before.copy())
        shift = np.array([window.x0, window.y0], np.float32)
        if 'bounding-box' in self._items:
            _draw_box(pixels, face.box - np.tile(shift, 2), face_angle(sixty_eight_points(face.landmarks)), size)
        for contour in contours:
            moved = contour - shift.astype(np.int32)
            cv2.drawContours(pixels, [moved], -1, ORANGE if face.is_filled else GREEN, size)
        five, many = five_points(face.landmarks) - shift, sixty_eight_points(face.landmarks) - shift
        sets = {
            'face-landmark-5': (detector_points(face.landmarks) - shift, RED),
            'face-landmark-5/68': (five, GREEN),
            'face-landmark-68': (many, GREEN),
            'face-landmark-68/5': (many, CYAN),
        }
        for item, (points, colour) in sets.items():
            if item in self._items:
                _draw_dots(pixels, points, ORANGE if face.is_filled else colour, size)
        frame.write(window, pixels, before)
        return True

    def _write(self, frame: Frame, face: LinkedFace) -> bool:
        """Write the caption of a face; return whether it has one and the face is in the frame."""
        lines = caption(face, self._items)
        x0, y0, x1, y1 = face.box.tolist()
        if not lines or x1 <= 0 or y1 <= 0 or x0 >= frame.width or y0 >= frame.height:
            return False
        place = place_caption(lines, face.box, frame.width, frame.height)
        before = frame.read(place.window)
        pixels = np.ascontiguousarray(before.copy())
        draw_caption(pixels, lines, place, ORANGE if face.is_filled else WHITE)
        frame.write(place.window, pixels, before)
        return True


def prepare(tools: ProcessorTools) -> FaceDebugger:
    """Return the debugger of a run. Raises ModelError, ProviderError."""
    options = tools.settings[FaceDebuggerOptions]
    if 'face-mask' not in options.face_debugger_items:
        return FaceDebugger(options, None)
    masks = masks_of_types(tools.settings[FaceMaskOptions], drawn_masks(tools.settings))
    masks = replace(masks, face_mask_blur=0.0)
    return FaceDebugger(options, prepare_masker(masks, tools, MASK_TEMPLATE, 'face_debugger'))


def _contours(crop: FaceCrop, mask: Floats) -> list[Ints]:
    """Return the contours int32 [n,2] of the visible mask of a crop, in pixels of the frame."""
    landmarks = crop.landmarks()
    if len(landmarks) == MESH_POINTS:
        outline = np.zeros_like(mask)
        cv2.fillPoly(outline, [np.round(landmarks[list(OVAL), :2]).astype(np.int32)], (1.0,))
        mask = np.minimum(mask, outline)
    frame, back = crop.task.frame, cv2.invertAffineTransform(crop.matrix)
    placed = cv2.warpAffine((mask * 255).astype(np.uint8), back, (frame.width, frame.height))
    shown = (placed > MASK_THRESHOLD).astype(np.uint8)
    found, _ = cv2.findContours(shown, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(contour[:, 0], np.int32) for contour in found]


def _draw_box(pixels: Pixels, box: Floats, angle: int, size: int) -> None:
    """Draw the box, with a thicker line on the side of the forehead."""
    x0, y0, x1, y1 = np.asarray(box).astype(int).tolist()
    cv2.rectangle(pixels, (x0, y0), (x1, y1), RED, size)
    begin, end = {
        0: ((x0, y0), (x1, y0)),
        90: ((x1, y0), (x1, y1)),
        180: ((x0, y1), (x1, y1)),
        270: ((x0, y0), (x0, y1)),
    }[angle]
    cv2.line(pixels, begin, end, LIGHT_RED, size + 1)


def _draw_dots(pixels: Pixels, points: Floats, colour: Colour, size: int) -> None:
    for x, y in np.asarray(points).astype(int).tolist():
        cv2.circle(pixels, (x, y), size, colour, -1)
