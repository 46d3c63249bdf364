"""The identity of a face: a 128-dimensional embedding (dlib's face ResNet, King 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np

from facefusion.faces.align import dlib_chip_matrix
from facefusion.faces.face import Floats
from facefusion.media.frame import Frame

MODEL_ID = 'dlib_face_resnet'
CHIP_SIZE = 150
# Two embeddings with at least this cosine similarity belong to the same person (embedded-models.md section 5: equal
# error rate 0.69 % at .939).
SAME_PERSON = 0.94


class FaceEmbedder:
    """Embeds faces; the session maps ``[n,3,150,150]`` float32 RGB 0..255 to ``[n,128]``."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def embed(self, frame: Frame, landmarks: Floats) -> Floats:
        """Return float32 [128] of length 1, the mean over the face and its mirror image."""
        chip = frame.warp(dlib_chip_matrix(landmarks, CHIP_SIZE), CHIP_SIZE, CHIP_SIZE)
        both = np.stack([chip, chip[:, ::-1]])[..., ::-1].transpose(0, 3, 1, 2)
        (embeddings,) = self._session.run(None, {self._input: np.ascontiguousarray(both, dtype=np.float32)})
        mean = embeddings.mean(0)
        return np.asarray(mean / np.linalg.norm(mean), np.float32)
