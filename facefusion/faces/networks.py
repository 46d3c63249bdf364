"""Open the networks that find faces, by the models that the options name."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Protocol

from facefusion.faces.detect.centerface import CenterFace
from facefusion.faces.face import Detection, Floats
from facefusion.faces.landmarks.face_mesh import FaceMesh, Region
from facefusion.faces.options import PREFERENCES, FaceDetectorOptions, FaceLandmarkerOptions
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame


class Detector(Protocol):
    """Finds faces in a whole frame, best first; boxes and points in frame pixels."""

    def detect(self, frame: Frame) -> list[Detection]: ...


class Landmarker(Protocol):
    """Returns landmarks float32 [n,3] in frame pixels for a region of a frame, and their presence, 0 to 1."""

    def run(self, frame: Frame, region: Region) -> tuple[Floats, float]: ...


_DETECTORS: MappingProxyType[str, Callable[[Any, FaceDetectorOptions], Detector]] = MappingProxyType(
    {'centerface': CenterFace}
)
_LANDMARKERS: MappingProxyType[str, Callable[[Any], Landmarker]] = MappingProxyType({'face_mesh': FaceMesh})


def make_detector(options: FaceDetectorOptions, sessions: SessionPool) -> Detector:
    """Return the detector that the options name. Raises ModelError, ProviderError."""
    model_id = _model_id('face_detector_model', options.face_detector_model)
    return _DETECTORS[model_id](sessions.session(model_id), options)


def make_landmarker(options: FaceLandmarkerOptions, sessions: SessionPool) -> Landmarker:
    """Return the landmarker that the options name. Raises ModelError, ProviderError."""
    model_id = _model_id('face_landmarker_model', options.face_landmarker_model)
    return _LANDMARKERS[model_id](sessions.session(model_id))


def _model_id(option: str, chosen: str) -> str:
    return PREFERENCES[option][-1] if chosen == 'auto' else chosen
