"""The networks that find faces, by the models that the options name."""

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
    """Finds faces in a whole frame, the best one first; boxes and points in frame pixels."""

    def detect(self, frame: Frame) -> list[Detection]: ...


class Landmarker(Protocol):
    """Lays landmarks float32 [n,3], in frame pixels, on a region of a frame, and tells their presence, 0 to 1."""

    def run(self, frame: Frame, region: Region) -> tuple[Floats, float]: ...


_DETECTORS: MappingProxyType[str, Callable[[Any, FaceDetectorOptions], Detector]] = MappingProxyType(
    {'centerface': CenterFace}
)
_LANDMARKERS: MappingProxyType[str, Callable[[Any], Landmarker]] = MappingProxyType({'face_mesh': FaceMesh})


def make_detector(options: FaceDetectorOptions, sessions: SessionPool) -> Detector:
    """The detector that the options name. Raises ModelError, ProviderError."""
    model_id = options.face_detector_model
    if model_id == 'auto':
        model_id = PREFERENCES['face_detector_model'][-1]
    return _DETECTORS[model_id](sessions.session(model_id), options)


def make_landmarker(options: FaceLandmarkerOptions, sessions: SessionPool) -> Landmarker:
    """The landmarker that the options name. Raises ModelError, ProviderError."""
    model_id = options.face_landmarker_model
    if model_id == 'auto':
        model_id = PREFERENCES['face_landmarker_model'][-1]
    return _LANDMARKERS[model_id](sessions.session(model_id))
