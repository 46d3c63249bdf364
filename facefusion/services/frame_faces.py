"""The faces of one frame, as the page shows them over the picture."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from facefusion.events import silent
from facefusion.faces.options import FaceDetectorOptions, FaceLandmarkerOptions, FaceSelectorOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.processors.registration import SMALLEST_FACE
from facefusion.services.workplace import Workplace
from facefusion.settings import Settings

if TYPE_CHECKING:
    from facefusion.faces.analyser import FaceFinder
    from facefusion.media.frame import Frame

_MOST_FINDERS = 2


class FrameFaces:
    """Finds the faces of frames; the networks of the latest options stay open. One thread may use it."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._finders: OrderedDict[Any, FaceFinder] = OrderedDict()

    def faces(self, frame: Frame, settings: Settings) -> list[dict[str, Any]]:
        """Return the faces in the order of the selector, as plain JSON: box (x, y, width, height), score, position.

        ``is_selected`` states whether a run would process the face, as far as one frame tells; ``reason`` explains why
        not. Raises ModelError, ProviderError.
        """
        import numpy as np

        from facefusion.faces.select import order_faces

        found = self._finder(settings).find(frame)
        if not found:
            return []
        boxes = np.array([face.box for face in found], np.float32)
        scores = np.array([face.score for face in found], np.float32)
        selector = settings[FaceSelectorOptions]
        faces = []
        for position, index in enumerate(order_faces(boxes, scores, selector.face_selector_order)):
            x0, y0, x1, y1 = (float(value) for value in boxes[index])
            reason = _reason(selector, position, max(x1 - x0, y1 - y0))
            faces.append(
                {
                    'index': index,
                    'position': position,
                    'box': [round(value, 1) for value in (x0, y0, x1 - x0, y1 - y0)],
                    'score': round(float(scores[index]), 3),
                    'is_selected': not reason,
                    'reason': reason or None,
                    'gender': None,
                    'age': None,
                }
            )
        return faces

    def _finder(self, settings: Settings) -> FaceFinder:
        from facefusion.faces.point_analyser import make_analyser
        from facefusion.inference.pool import open_sessions
        from facefusion.steps.arguments import freeze_models

        frozen = freeze_models(settings, self._workplace.local_models(), silent)
        groups = (FaceDetectorOptions, FaceLandmarkerOptions)
        key = tuple(frozen[group] for group in groups)
        finder = self._finders.pop(key, None)
        if finder is None:
            sessions = open_sessions(self._workplace.model_store(silent), settings[ExecutionOptions])
            detector, landmarker = frozen[FaceDetectorOptions], frozen[FaceLandmarkerOptions]
            finder = make_analyser(sessions, detector, landmarker, FaceSelectorOptions())
        self._finders[key] = finder
        while len(self._finders) > _MOST_FINDERS:
            self._finders.popitem(last=False)
        return finder


def _reason(selector: FaceSelectorOptions, position: int, size: float) -> str:
    """Return why a face is not processed, or ''."""
    if size < SMALLEST_FACE:
        return 'the face is too small'
    if selector.face_selector_mode == 'one' and position > 0:
        return 'the mode one selects another face'
    if position >= selector.max_faces:
        return 'more faces than --max-faces'
    if selector.face_selector_mode == 'reference':
        return 'only the person of the reference is selected, which a run decides'
    return ''
