"""Defects of source images: objects painted over a face at its landmarks, and light from one side."""

from __future__ import annotations

import cv2
import numpy as np

from facefusion.faces.topology import eye_distance
from facefusion.media.frame import PixelFrame

# Rings of vertices on the bones around the eyes.
AROUND_EYES = (
    (226, 31, 228, 229, 230, 231, 232, 233, 244, 189, 221, 222, 223, 224, 225, 113),
    (446, 261, 448, 449, 450, 451, 452, 453, 464, 413, 441, 442, 443, 444, 445, 342),
)
FOREHEAD_TOP, FOREHEAD_MIDDLE = 10, 9
TEMPLES = (127, 356)
DARK, METAL = (25, 22, 20), (150, 150, 145)
# The factor of supersampling, which keeps thin lines smooth.
FINE = 4


class Canvas:
    """An image for drawing, with coordinates in frame pixels."""

    def __init__(self, frame: PixelFrame) -> None:
        self._before = frame.read(frame.window)
        size = (FINE * frame.width, FINE * frame.height)
        self._fine = cv2.resize(self._before, size, interpolation=cv2.INTER_CUBIC)
        self._plain = self._fine.copy()

    def line(self, points: np.ndarray, colour: tuple[int, int, int], width: float, closed: bool = False) -> None:
        """Draw a line through points [n,2], ``width`` pixels wide."""
        fixed = np.round((np.asarray(points) * FINE + (FINE - 1) / 2) * 16).astype(np.int32)
        cv2.polylines(self._fine, [fixed], closed, colour, max(round(width * FINE), 1), cv2.LINE_AA, 4)

    def frame(self) -> PixelFrame:
        """Return the image; pixels that were not drawn on are unchanged."""
        size = self._before.shape[1::-1]
        drawn = cv2.resize(self._fine, size, interpolation=cv2.INTER_AREA)
        touched = (self._fine != self._plain).any(2).astype(np.float32)
        changed = cv2.resize(touched, size, interpolation=cv2.INTER_AREA)[..., None] > 0
        return PixelFrame(np.ascontiguousarray(np.where(changed, drawn, self._before)))


def with_glasses(
    frame: PixelFrame, landmarks: np.ndarray, colour: tuple[int, int, int] = DARK, thick: float = 0.07
) -> PixelFrame:
    """Draw glasses around both eyes, over the nose and to the temples; ``thick`` is in eye distances."""
    canvas, unit = Canvas(frame), eye_distance(landmarks)
    rings = []
    for ids, temple, outer in zip(AROUND_EYES, TEMPLES, (np.argmin, np.argmax), strict=True):
        points = landmarks[list(ids), :2]
        ring = points.mean(0) + (points - points.mean(0)) * 1.15
        canvas.line(ring, colour, thick * unit, closed=True)
        canvas.line(np.stack([ring[outer(ring[:, 0])], landmarks[temple, :2]]), colour, thick * unit)
        rings.append(ring)
    left, right = rings[0][np.argmax(rings[0][:, 0])], rings[1][np.argmin(rings[1][:, 0])]
    canvas.line(np.stack([left, (left + right) / 2 - [0, 0.06 * unit], right]), colour, thick * unit)
    return canvas.frame()


def with_strands(frame: PixelFrame, landmarks: np.ndarray, colour: tuple[int, int, int] = (30, 40, 60)) -> PixelFrame:
    """Draw four thin strands of hair from above the forehead down to the brows."""
    canvas, unit = Canvas(frame), eye_distance(landmarks)
    for aside, drift in ((-0.35, 0.1), (-0.1, -0.1), (0.15, 0.12), (0.38, -0.05)):
        top = landmarks[FOREHEAD_TOP, :2] + [aside * unit, -0.1 * unit]
        end = landmarks[FOREHEAD_MIDDLE, :2] + [(aside + drift) * unit, -0.3 * unit]
        canvas.line(np.stack([top, end]), colour, 0.025 * unit)
    return canvas.frame()


def lit_from_the_right(frame: PixelFrame, landmarks: np.ndarray, dark: float = 0.25) -> PixelFrame:
    """Light the face from the right: its left edge gets the share ``dark`` of the light, its right edge all of it."""
    low, high = float(landmarks[:, 0].min()), float(landmarks[:, 0].max())
    share = np.clip((np.arange(frame.width) - low) / (high - low), 0, 1)
    light = dark + (1 - dark) * share * share * (3 - 2 * share)
    return scaled(frame, light[None, :, None])


def scaled(frame: PixelFrame, factor: float | np.ndarray) -> PixelFrame:
    """Return the image with its code values multiplied by ``factor``."""
    return PixelFrame(np.clip(frame.read(frame.window) * factor, 0, 255).astype(np.uint8))
