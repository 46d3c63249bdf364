"""YOLOv8-face (derronqi 2022): faces and five points from one tensor of candidates."""

from __future__ import annotations

from typing import Any

import numpy as np

from facefusion.faces.detect.canvas import Candidates, fixed_side
from facefusion.media.planes import Pixels


class YoloFace:
    """A network with one output [1,20,n]: centre x, y, width, height (pixels), score, five points (x, y, visibility).

    The session takes ``[1,3,640,640]`` float32 RGB 0..1, as the network was trained with (FaceFusion 3.8 feeds BGR).
    """

    def __init__(self, session: Any, size: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self.size = fixed_side(session, size)

    def run(self, canvas: Pixels, threshold: float) -> Candidates:
        """Return the faces with scores above ``threshold`` on the canvas."""
        tensor = np.ascontiguousarray(canvas[:, :, ::-1].transpose(2, 0, 1)[None], np.float32) / 255
        rows = np.squeeze(self._session.run(None, {self._input: tensor})[0], 0).T
        rows = np.asarray(rows[rows[:, 4] > threshold], np.float32)
        centres, halves = rows[:, :2], rows[:, 2:4] / 2
        points = rows[:, 5:20].reshape(-1, 5, 3)[:, :, :2]
        return Candidates(np.concatenate([centres - halves, centres + halves], 1), points, rows[:, 4])
