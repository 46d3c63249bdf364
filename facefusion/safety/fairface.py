"""Age estimation with the published classifier ``fairface`` (dchen236, 2021), if its weights are on this machine.

The network also outputs race and gender. Only its age output is computed: faces are not classified by race.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from facefusion.faces.attributes import CROP_SIZE, TEMPLATE, FairFace
from facefusion.faces.attributes import MODEL_ID as MODEL_ID
from facefusion.faces.face import Floats
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.similarity import fit_similarity
from facefusion.faces.templates import TEMPLATES
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.models.store import ModelStore
from facefusion.safety.age import AgeEstimate, AgeEstimator
from facefusion.safety.content_gate import Sessions

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
        self._network = FairFace(session)

    def under_18(self, frame: Frame, landmarks: Floats) -> AgeEstimate:
        """Return the estimate; stop at the first view of 20 years or more, usually the very first for an adult.

        Raises ModelError 'age-class' when the network returns an unknown class.
        """
        found = []
        for scale, is_mirrored in _VIEWS:
            crop = aligned_crop(frame, landmarks, scale)
            found.append(self._network.age_class(crop[:, ::-1] if is_mirrored else crop))
            if found[-1] > _LAST_YOUNG_CLASS:
                break
        words = ', '.join(AGE_CLASSES[each] for each in sorted(set(found))) + ' years'
        return AgeEstimate(found[-1] <= _LAST_YOUNG_CLASS, words)


def aligned_crop(frame: Frame, landmarks: Floats, scale: float = 1.0) -> Pixels:
    """Return uint8 [224,224,3] BGR: the face aligned to the template arcface_112_v2, ``scale`` times as wide."""
    goal = ((np.array(TEMPLATES[TEMPLATE]) - 0.5) / scale + 0.5) * CROP_SIZE
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
