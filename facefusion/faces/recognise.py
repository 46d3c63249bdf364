"""Recognition with ArcFace (Deng et al. 2019): an embedding of 512 numbers from an aligned crop."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
from facefusion.faces.templates import crop_frame, template_matrix
from facefusion.media.frame import Frame

MODEL_ID = 'arcface_w600k_r50'
_SIZE = 112
_TEMPLATE = 'arcface_112_v2'
# Two embeddings with at least this cosine similarity belong to the same person. It corresponds to the distance 0.3 of
# FaceFusion 3.8, which defines the distance as (1 - cosine) / 2.
SAME_PERSON = 0.4


class ArcFace:
    """Embeds faces; the session takes ``[1,3,112,112]`` float32 RGB -1..1 and returns ``[1,512]``."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name

    def embed(self, frame: Frame, five: npt.NDArray[np.floating]) -> Floats:
        """Return float32 [512], not normalised, of the face with these five points in frame pixels."""
        crop = crop_frame(frame, template_matrix(five, _TEMPLATE, _SIZE), (_SIZE, _SIZE))
        tensor = crop[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / np.float32(127.5) - 1
        return np.asarray(self._session.run(None, {self._input: tensor})[0][0], np.float32)


def unit(embedding: Floats) -> Floats:
    """Return the embedding, normalised to length 1."""
    return np.asarray(embedding / max(float(np.linalg.norm(embedding)), 1e-12), np.float32)
