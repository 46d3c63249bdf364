"""The recognisers: networks that tell people apart, each with its own scale of similarity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np

from facefusion.faces.embed import FaceEmbedder
from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.options import ARCFACE, DLIB
from facefusion.faces.recognise import ArcFace, unit
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame


@dataclass(frozen=True, slots=True)
class RecogniserKind:
    """The scale of a recogniser.

    ``length`` is that of its embeddings. ``cosines`` are ascending, and ``distances`` are theirs, descending: between
    them the distance is linear. The distance of two faces of one person is below 0.3 for every recogniser.
    """

    model_id: str
    length: int
    cosines: tuple[float, ...]
    distances: tuple[float, ...]

    def distance(self, cosine: float | Floats) -> Floats:
        """Return the distance 0..1 of embeddings with this cosine similarity, as float32 of the same shape."""
        return np.asarray(np.interp(cosine, self.cosines, self.distances), np.float32)

    def cosine(self, distance: float) -> float:
        """Return the cosine similarity of embeddings with this distance."""
        return float(np.interp(distance, self.distances[::-1], self.cosines[::-1]))


# ArcFace: the distance of FaceFusion 3.8, (1 - cosine) / 2. dlib: the cosines of photographs of different people have
# a mean of 0.86, and 0.9325 separates these from photographs of one person (docs/people.md).
KINDS: Mapping[str, RecogniserKind] = MappingProxyType(
    {
        ARCFACE: RecogniserKind(ARCFACE, 512, (-1.0, 1.0), (1.0, 0.0)),
        DLIB: RecogniserKind(DLIB, 128, (-1.0, 0.86, 0.9325, 1.0), (1.0, 0.5, 0.3, 0.0)),
    }
)


class Recogniser(Protocol):
    """Embeds faces. It has no state, because threads share it."""

    @property
    def kind(self) -> RecogniserKind: ...

    def embed(self, frame: Frame, landmarks: Floats) -> Floats:
        """Return float32 [length] of length 1 for the face with these landmarks in frame pixels."""


@dataclass(frozen=True, slots=True)
class ArcFaceRecogniser:
    """ArcFace as a recogniser."""

    network: ArcFace
    kind: RecogniserKind = KINDS[ARCFACE]

    def embed(self, frame: Frame, landmarks: Floats) -> Floats:
        """Return float32 [512] of length 1."""
        return unit(self.network.embed(frame, five_points(landmarks)))


@dataclass(frozen=True, slots=True)
class DlibRecogniser:
    """dlib's face ResNet as a recogniser."""

    network: FaceEmbedder
    kind: RecogniserKind = KINDS[DLIB]

    def embed(self, frame: Frame, landmarks: Floats) -> Floats:
        """Return float32 [128] of length 1."""
        return self.network.embed(frame, landmarks)


def make_recogniser(model_id: str, sessions: SessionPool) -> Recogniser:
    """Return the recogniser ``model_id``. Raises ModelError, ProviderError."""
    session = sessions.session(model_id)
    if model_id == ARCFACE:
        return ArcFaceRecogniser(ArcFace(session))
    return DlibRecogniser(FaceEmbedder(session))
