"""Draw box, landmarks and outline of each selected face.

Items, colours and sizes are those of FaceFusion 3.8 (peer-models.md section 12.10). All point sets come from one mesh:
the items 5 and 5/68 show its five points, the items 68 and 68/5 show its 68-point subset, and the mask item shows its
outline.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import MESH_POINTS, Floats, LinkedFace
from facefusion.faces.landmarks.sixty_eight import face_angle
from facefusion.faces.landmarks.subsets import detector_points, five_points, sixty_eight_points
from facefusion.faces.topology import OVAL
from facefusion.media.frame import Frame, Window
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.processor import FrameTask, ProcessorTools

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]

RED: Colour = (0, 0, 255)
LIGHT_RED: Colour = (100, 100, 255)
GREEN: Colour = (0, 255, 0)
CYAN: Colour = (255, 255, 0)
ORANGE: Colour = (0, 165, 255)


class FaceDebugger:
    """Draws the chosen items; points and outlines are orange on faces interpolated between two detections."""

    name = 'face_debugger'

    def __init__(self, options: FaceDebuggerOptions) -> None:
        self._items = options.face_debugger_items

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Draw on every face of every frame of the batch."""
        return [sum(self._draw(task.frame, face) for face in task.faces) > 0 for task in batch]

    def _draw(self, frame: Frame, face: LinkedFace) -> bool:
        size = min(max(round(frame.height / 270), 1), 10)
        low, high = face.box[:2] - 2 * size - 2, face.box[2:] + 2 * size + 3
        window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
        if window.is_empty:
            return False
        before = frame.read(window)
        pixels = np.ascontiguousarray(before.copy())
        shift = np.array([window.x0, window.y0], np.float32)
        if 'bounding-box' in self._items:
            _draw_box(pixels, face.box - np.tile(shift, 2), face_angle(sixty_eight_points(face.landmarks)), size)
        if 'face-mask' in self._items:
            outline = np.round(_outline(face) - shift).astype(np.int32)
            cv2.polylines(pixels, [outline], True, ORANGE if face.is_filled else GREEN, size)
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


def prepare(tools: ProcessorTools) -> FaceDebugger:
    """Return the debugger of a run."""
    return FaceDebugger(tools.settings[FaceDebuggerOptions])


def _outline(face: LinkedFace) -> Floats:
    """Return the oval of the mesh, or the jaw and the brows of a published landmarker, float32 [n,2]."""
    if len(face.landmarks) == MESH_POINTS:
        return face.landmarks[list(OVAL), :2]
    return face.landmarks[[*range(17), *range(26, 16, -1)], :2]


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
