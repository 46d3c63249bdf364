"""YuNet of the OpenCV Zoo (Wu et al. 2023): faces and five points, at strides of 8, 16 and 32 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from facefusion.faces.detect.canvas import Candidates, anchor_grid, fixed_side
from facefusion.faces.detect.scrfd import STRIDES, join_candidates
from facefusion.media.planes import Pixels


class YuNet:
    """A network with twelve outputs, identified by position: classes, objectness, boxes and points of each stride.

    The session takes ``[1,3,640,640]`` float32 BGR 0..255. A score is the class score times the objectness.
    OpenCV takes the square root of this product, so a score of 0.5 here is 0.71 in OpenCV.
    """

    def __init__(self, session: Any, size: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.size = fixed_side(session, size)
        self._anchors = {stride: anchor_grid(self.size, stride, 1) for stride in STRIDES}

    def run(self, canvas: Pixels, threshold: float) -> Candidates:
        """Return the faces with scores of at least ``threshold`` on the canvas."""
        tensor = np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32)
        outputs = [output.reshape(-1, output.shape[-1]) for output in self._session.run(None, {self._input: tensor})]
        found = []
        for level, stride in enumerate(STRIDES):
            scores = (outputs[level] * outputs[level + 3])[:, 0]
            kept = np.flatnonzero(scores >= threshold)
            anchors, box = self._anchors[stride][kept], outputs[level + 6][kept]
            centres = box[:, :2] * stride + anchors
            halves = np.exp(box[:, 2:]) * stride / 2
            points = outputs[level + 9][kept].reshape(-1, 5, 2) * stride + anchors[:, None]
            found.append(Candidates(np.concatenate([centres - halves, centres + halves], 1), points, scores[kept]))
        return join_candidates(found)
