"""Detection on a square canvas: the frame with its margins, shrunk to fit, at the top left of a black square.

This is the contract of the published detectors (peer-models.md section 4). Each network runs at every angle of the
options; overlapping boxes of all angles and networks are suppressed together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Detection, Floats
from facefusion.faces.options import FaceDetectorOptions, expand_sides
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels

# Maximum overlaps (intersection over union) of two faces: for a single network, by the number of angles, and for
# several networks together.
_OVERLAPS = {1: 0.4, 2: 0.3, 3: 0.2, 4: 0.1}
_OVERLAP_OF_SEVERAL = 0.1


class Candidates(NamedTuple):
    """Faces in pixels of the canvas, float32: boxes [n,4] x0, y0, x1, y1, points [n,5,2], scores [n]."""

    boxes: Floats
    points: Floats
    scores: Floats


class CanvasNetwork(Protocol):
    """A detection network."""

    @property
    def size(self) -> int:
        """Side of the canvas in pixels."""
        ...

    def run(self, canvas: Pixels, threshold: float) -> Candidates:
        """Return the candidates with scores of at least ``threshold`` on a canvas uint8 [size,size,3] BGR."""
        ...


class CanvasDetector:
    """Runs one or several networks on a frame and suppresses overlapping faces."""

    def __init__(self, networks: Sequence[CanvasNetwork], options: FaceDetectorOptions) -> None:
        self._networks = tuple(networks)
        self._score = options.face_detector_score
        self._size = int(options.face_detector_size.split('x')[0])
        self._margin = expand_sides(options.face_detector_margin)
        self._angles = tuple(dict.fromkeys(options.face_detector_angles))
        several = len(self._networks) > 1
        self._overlap = _OVERLAP_OF_SEVERAL if several else _OVERLAPS[len(self._angles)]

    def detect(self, frame: Frame) -> list[Detection]:
        """Return the faces, best first, in frame pixels."""
        pixels, left, top = self._with_margin(frame)
        found = [
            _turn_back(network_candidates, matrix)
            for angle in self._angles
            for turned, matrix in [_turn(pixels, angle)]
            for network in self._networks
            for network_candidates in [self._run(network, turned)]
        ]
        boxes = np.concatenate([each.boxes for each in found]) - np.array([left, top, left, top], np.float32)
        points = np.concatenate([each.points for each in found]) - np.array([left, top], np.float32)
        scores = np.concatenate([each.scores for each in found])
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        kept = cv2.dnn.NMSBoxes(sizes.tolist(), scores.tolist(), self._score, self._overlap) if len(scores) else []
        return [Detection(boxes[k], points[k], float(scores[k])) for k in np.asarray(kept, int).ravel()]

    def _with_margin(self, frame: Frame) -> tuple[Pixels, int, int]:
        """The whole frame with its margins, the width of the left margin and the height of the upper margin."""
        top, right, bottom, left = self._margin
        above, below = int(frame.height * top * 0.005), int(frame.height * bottom * 0.005)
        before, beyond = int(frame.width * left * 0.005), int(frame.width * right * 0.005)
        pixels = frame.read(frame.window)
        if any((above, below, before, beyond)):
            bordered = cv2.copyMakeBorder(pixels, above, below, before, beyond, cv2.BORDER_CONSTANT)
            pixels = np.asarray(bordered, np.uint8)
        return pixels, before, above

    def _run(self, network: CanvasNetwork, pixels: Pixels) -> Candidates:
        """Candidates in pixels of ``pixels``."""
        height, width = pixels.shape[:2]
        shrink = min(self._size / height, self._size / width, 1.0)
        inner_width, inner_height = (int(width * shrink), int(height * shrink)) if shrink < 1 else (width, height)
        inner_width, inner_height = max(inner_width, 1), max(inner_height, 1)
        shrunk = pixels if shrink == 1 else cv2.resize(pixels, (inner_width, inner_height))
        canvas = np.zeros((network.size, network.size, 3), np.uint8)
        canvas[:inner_height, :inner_width] = shrunk
        found = network.run(canvas, self._score)
        ratio = np.array([width / inner_width, height / inner_height], np.float32)
        return Candidates(found.boxes * np.tile(ratio, 2), found.points * ratio, found.scores)


def _turn(pixels: Pixels, angle: int) -> tuple[Pixels, npt.NDArray[np.float64] | None]:
    """Pixels turned counter-clockwise by ``angle`` degrees, and the matrix [2,3] of the turn."""
    if angle == 0:
        return pixels, None
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    across, down = np.abs(matrix[:, :2]) @ (width, height)
    size = (int(across + 1e-6), int(down + 1e-6))
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return np.asarray(cv2.warpAffine(pixels, matrix, size), np.uint8), np.asarray(matrix, np.float64)


def _turn_back(found: Candidates, matrix: npt.NDArray[np.float64] | None) -> Candidates:
    if matrix is None:
        return found
    back = cv2.invertAffineTransform(matrix)

    def moved(points: npt.NDArray[np.float32]) -> Floats:
        return (points @ back[:, :2].T + back[:, 2]).astype(np.float32)

    x0, y0, x1, y1 = (found.boxes[:, k] for k in range(4))
    corners = moved(np.stack([x0, y0, x1, y0, x1, y1, x0, y1], 1).reshape(-1, 4, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
    return Candidates(boxes, moved(found.points), found.scores)


def anchor_grid(side: int, stride: int, per_cell: int) -> Floats:
    """Return float32 [n,2] x, y in pixels: the upper left corners of the cells, row by row, each ``per_cell`` times."""
    cells = side // stride
    rows, columns = np.mgrid[:cells, :cells]
    corners = np.stack([columns, rows], -1).reshape(-1, 1, 2) * stride
    return np.asarray(np.repeat(corners, per_cell, 1).reshape(-1, 2), np.float32)


def fixed_side(session: Any, size: int) -> int:
    """Return the side of the canvas: that of the network's input if it is fixed, otherwise ``size``."""
    side = session.get_inputs()[0].shape[-1]
    return side if isinstance(side, int) else math.ceil(size / 32) * 32
