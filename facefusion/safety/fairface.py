"""Age estimation with the published classifier ``fairface`` (dchen236, 2021), if its weights are on this machine.

The network also outputs race and gender. Only its age output is computed: faces are not classified by race.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelError
from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.similarity import fit_similarity
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.models.store import ModelStore
from facefusion.safety.age import AgeEstimate, AgeEstimator
from facefusion.safety.content_gate import Sessions

MODEL_ID = 'fairface'
CROP_SIZE = 224
# The points of the template arcface_112_v2 as fractions of the crop (peer-models.md section 3).
_TEMPLATE = np.array(
    [
        (0.34191607, 0.46157411),
        (0.65653393, 0.45983393),
        (0.50022500, 0.64050536),
        (0.37097589, 0.82469196),
        (0.63151696, 0.82325089),
    ],
    np.float32,
)
# For RGB from 0 to 1 (peer-models.md section 6).
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)
_AGE_OUTPUT = 2
AGE_CLASSES = ('0 to 2', '3 to 9', '10 to 19', '20 to 29', '30 to 39', '40 to 49', '50 to 59', '60 to 69', 'over 69')
# The last class that is entirely or mostly under 18.
_LAST_YOUNG_CLASS = 2
# The three views: the side as a multiple of the template's, and whether the view is mirrored.
_VIEWS = ((1.0, False), (1.0, True), (1.15, False))


class FairFaceAge:
    """An age estimator: a face counts as under 18 when three views of it all fall into the classes up to 19 years.

    The views are the aligned crop, its mirror image and a wider crop. The network outputs a class without a
    probability, so the agreement of the views serves as the margin: a face near the border of the class 20 to 29 gets
    different classes for different views. The session input is ``[1,3,224,224]`` float32 RGB; its third output is the
    age class.
    """

    model_id = MODEL_ID

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[_AGE_OUTPUT].name

    def under_18(self, frame: Frame, landmarks: Floats) -> AgeEstimate:
        """Return the estimate; stop at the first view of 20 years or more, usually the very first for an adult.

        Raises ModelError 'age-class' when the network returns an unknown class.
        """
        found = []
        for scale, is_mirrored in _VIEWS:
            crop = aligned_crop(frame, landmarks, scale)
            found.append(self._class_of(crop[:, ::-1] if is_mirrored else crop))
            if found[-1] > _LAST_YOUNG_CLASS:
                break
        words = ', '.join(AGE_CLASSES[each] for each in sorted(set(found))) + ' years'
        return AgeEstimate(found[-1] <= _LAST_YOUNG_CLASS, words)

    def _class_of(self, crop: Pixels) -> int:
        rgb = (crop[:, :, ::-1].astype(np.float32) / 255 - _MEAN) / _DEVIATION
        batch = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)
        (outputs,) = self._session.run([self._output], {self._input: batch})
        values: NDArray[Any] = np.asarray(outputs).ravel()
        if values.size != 1 or values[0] not in range(len(AGE_CLASSES)):
            raise ModelError(
                'age-class',
                f'the classifier {MODEL_ID} returned no usable age',
                cause=f'expected a class from 0 to {len(AGE_CLASSES) - 1}, got {values[:4].tolist()}',
                hint=f'run: facefusion models verify {MODEL_ID}',
            )
        return int(values[0])


def aligned_crop(frame: Frame, landmarks: Floats, scale: float = 1.0) -> Pixels:
    """Return uint8 [224,224,3] BGR: the face aligned to the template arcface_112_v2, ``scale`` times as wide."""
    goal = ((_TEMPLATE - 0.5) / scale + 0.5) * CROP_SIZE
    return frame.warp(fit_similarity(five_points(landmarks), goal.astype(np.float32)), CROP_SIZE, CROP_SIZE)


def find_age_estimator(sessions: Sessions, store: ModelStore) -> AgeEstimator | None:
    """Return the estimator if its weights are on this machine, else None; weights are never fetched without a request.

    Raises ModelError 'model-damaged' when the weights differ from the catalogue, and the errors of
    ``SessionPool.session``.
    """
    if MODEL_ID not in store.catalog:
        return None
    state = store.state(MODEL_ID)
    if state == 'damaged':
        store.verify((MODEL_ID,))
    # If another process repairs the weights in the meantime, the session uses them; if it removes them, the session
    # fetches them again.
    return None if state == 'missing' else FairFaceAge(sessions.session(MODEL_ID))
