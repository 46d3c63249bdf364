"""Open the networks that find faces, as selected by the options."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Protocol

from facefusion.faces.detect.canvas import CanvasDetector, CanvasNetwork
from facefusion.faces.detect.centerface import CenterFace
from facefusion.faces.detect.scrfd import Scrfd
from facefusion.faces.detect.yolo_face import YoloFace
from facefusion.faces.detect.yunet import YuNet
from facefusion.faces.face import Detection, Floats
from facefusion.faces.landmarks.face_mesh import FaceMesh, Region
from facefusion.faces.landmarks.sixty_eight import Best, CropLandmarker, PeppaWutz, PointEstimator, TwoDFan4
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, detector_models, landmarker_models
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import Frame


class Detector(Protocol):
    """Finds faces in a whole frame, best first; boxes and points in frame pixels."""

    def detect(self, frame: Frame) -> list[Detection]: ...


class Landmarker(Protocol):
    """Returns landmarks float32 [n,3] in frame pixels for a region of a frame, and their presence, 0 to 1."""

    def run(self, frame: Frame, region: Region) -> tuple[Floats, float]: ...


_CANVAS_NETWORKS: MappingProxyType[str, Callable[[Any, int], CanvasNetwork]] = MappingProxyType(
    {'retinaface_10g': Scrfd, 'scrfd_2.5g': Scrfd, 'yoloface_8n': YoloFace, 'yunet_2023_mar': YuNet}
)
_CROP_LANDMARKERS: MappingProxyType[str, Callable[[Any], CropLandmarker]] = MappingProxyType(
    {'2dfan4': TwoDFan4, 'peppa_wutz': PeppaWutz}
)
_ESTIMATOR = 'fan_68_5'


def make_detector(options: FaceDetectorOptions, sessions: SessionPool) -> Detector:
    """Return the detector that the options select. Raises ModelError, ProviderError."""
    models = detector_models(options)
    if models == ('centerface',):
        return CenterFace(sessions.session('centerface'), options)
    size = int(options.face_detector_size.split('x')[0])
    return CanvasDetector([_CANVAS_NETWORKS[each](sessions.session(each), size) for each in models], options)


def make_mesh(sessions: SessionPool) -> Landmarker:
    """Return the mesh. Raises ModelError, ProviderError."""
    # A call takes 1.2 ms of CPU time with one thread, and 1.6 ms with two.
    return FaceMesh(sessions.at(1).session('face_mesh'))


def make_point_landmarker(
    options: FaceLandmarkerOptions, sessions: SessionPool
) -> tuple[PointEstimator, CropLandmarker] | None:
    """Return the estimator and the landmarker of 68 points, or None for the mesh. Raises ModelError, ProviderError."""
    models = landmarker_models(options)
    if _ESTIMATOR not in models:
        return None
    networks = [_CROP_LANDMARKERS[each](sessions.session(each)) for each in models if each != _ESTIMATOR]
    landmarker = networks[0] if len(networks) == 1 else Best(*networks)
    return PointEstimator(sessions.session(_ESTIMATOR)), landmarker
