"""SCRFD and RetinaFace of InsightFace (Guo et al. 2021): faces and five points, at strides of 8, 16 and 32 pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from facefusion.faces.detect.canvas import Candidates, anchor_grid, fixed_side
from facefusion.media.planes import Pixels

STRIDES = (8, 16, 32)
_PER_CELL = 2


class Scrfd:
    """A network with nine outputs, identified by position: scores, then boxes, then points of each stride.

    The session takes ``[1,3,h,w]`` float32 RGB, (x - 127.5) / 128, as the networks were trained with (FaceFusion 3.8
    feeds BGR). Outputs are (n,k) or (1,n,k): scores after the sigmoid, distances in strides from the anchor.
    """

    def __init__(self, session: Any, size: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.size = fixed_side(session, size)
        self._anchors = {stride: anchor_grid(self.size, stride, _PER_CELL) for stride in STRIDES}

    def run(self, canvas: Pixels, threshold: float) -> Candidates:
        """Return the faces with scores of at least ``threshold`` on the canvas."""
        tensor = (canvas[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) - 127.5) / 128
        outputs = [output.reshape(-1, output.shape[-1]) for output in self._session.run(None, {self._input: tensor})]
        found = []
        for level, stride in enumerate(STRIDES):
            scores = outputs[level][:, 0]
            kept = np.flatnonzero(scores >= threshold)
            anchors = self._anchors[stride][kept]
            distances = outputs[level + 3][kept] * stride
            boxes = np.concatenate([anchors - distances[:, :2], anchors + distances[:, 2:]], 1)
            points = outputs[level + 6][kept].reshape(-1, 5, 2) * stride + anchors[:, None]
            found.append(Candidates(boxes, points, scores[kept]))
        return join_candidates(found)


def join_candidates(found: list[Candidates]) -> Candidates:
    """Join the candidates of several levels."""
    return Candidates(
        np.concatenate([each.boxes for each in found]).astype(np.float32),
        np.concatenate([each.points for each in found]).astype(np.float32),
        np.concatenate([each.scores for each in found]).astype(np.float32),
    )
