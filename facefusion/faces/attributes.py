"""Gender and age of a face, estimated by the published classifier ``fairface`` (dchen236, 2021).

The network also outputs race. That output is never requested: faces are not classified by race.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelError
from facefusion.faces.face import Floats, Values
from facefusion.faces.identity import IDENTITY_VIEWS
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.measurement_types import FaceView, TrackMeasurement
from facefusion.faces.role import UNKNOWN
from facefusion.faces.templates import crop_frame, template_matrix
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels

MODEL_ID = 'fairface'
CROP_SIZE = 224
TEMPLATE = 'arcface_112_v2'
GENDERS = ('female', 'male')
# The ages of the network's classes in years (peer-models.md section 6).
AGES = (
    range(0, 2),
    range(3, 9),
    range(10, 19),
    range(20, 29),
    range(30, 39),
    range(40, 49),
    range(50, 59),
    range(60, 69),
    range(70, 100),
)
VOTES = len(GENDERS) + len(AGES)
# For RGB from 0 to 1 (peer-models.md section 6).
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)
# The outputs in the order of the network: race, gender, age. Class 1 of its genders is female.
_GENDER_OUTPUT, _AGE_OUTPUT = 1, 2
_FEMALE = 1


class FairFace:
    """The classifier; the session takes ``[1,3,224,224]`` float32 RGB, and each output is the index of a class."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = session.get_outputs()
        self._gender, self._age = outputs[_GENDER_OUTPUT].name, outputs[_AGE_OUTPUT].name

    def age_class(self, crop: Pixels) -> int:
        """Return the index in ``AGES`` for a crop uint8 [224,224,3] BGR. Raises ModelError 'age-class'."""
        (age,) = self._run([self._age], crop)
        return _class_of(age)

    def votes(self, crop: Pixels) -> Floats:
        """Return the votes of one view, float32 [11]: one for its gender and one for its age.

        Raises ModelError 'age-class'.
        """
        gender, age = self._run([self._gender, self._age], crop)
        votes = np.zeros(VOTES, np.float32)
        votes[0 if int(np.ravel(gender)[0]) == _FEMALE else 1] = 1
        votes[len(GENDERS) + _class_of(age)] = 1
        return votes

    def _run(self, outputs: list[str], crop: Pixels) -> list[NDArray[Any]]:
        rgb = (crop[:, :, ::-1].astype(np.float32) / 255 - _MEAN) / _DEVIATION
        batch = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)
        found: list[NDArray[Any]] = self._session.run(outputs, {self._input: batch})
        return found


@dataclass(frozen=True, slots=True)
class AttributesMeter:
    """Measures the votes of the views for gender and age: float32 [11]."""

    session: Any

    def measure(self, views: Sequence[FaceView]) -> Values:
        votes = [classify(self.session, view.frame, view.landmarks) for view in views]
        return np.asarray(np.sum(votes, axis=0), np.float32)


def classify(session: Any, frame: Frame, landmarks: Floats) -> Floats:
    """Return the votes of one view for gender and age, float32 [11]: ``GENDERS``, then ``AGES``.

    The crop is that of FaceFusion 3.8. Raises ModelError 'age-class'.
    """
    matrix = template_matrix(five_points(landmarks), TEMPLATE, CROP_SIZE)
    return FairFace(session).votes(crop_frame(frame, matrix, (CROP_SIZE, CROP_SIZE)))


def gender_of(votes: Floats) -> int:
    """Return the index in ``GENDERS`` with most of the votes float32 [11], or UNKNOWN without votes."""
    genders = votes[: len(GENDERS)]
    return int(np.argmax(genders)) if genders.any() else UNKNOWN


def age_of(votes: Floats) -> int:
    """Return the index in ``AGES`` of the median of the votes float32 [11], or UNKNOWN without votes."""
    total = np.cumsum(votes[len(GENDERS) :])
    return int(np.searchsorted(total, total[-1] / 2)) if total[-1] > 0 else UNKNOWN


def _class_of(output: NDArray[Any]) -> int:
    """Return the index in ``AGES`` that the network returned."""
    values: NDArray[Any] = np.asarray(output).ravel()
    if values.size != 1 or values[0] not in range(len(AGES)):
        raise ModelError(
            'age-class',
            f'the classifier {MODEL_ID} returned no usable age',
            cause=f'expected a class from 0 to {len(AGES) - 1}, got {values[:4].tolist()}',
            hint=f'run: facefusion models verify {MODEL_ID}',
        )
    return int(values[0])


def _sum_of(values: Values, weights: Floats) -> Values:
    return np.asarray(values.sum(0), np.float32)


# The votes for gender and age, from the views by which the identity is measured.
ATTRIBUTES = TrackMeasurement(
    'attributes',
    (VOTES,),
    'float32',
    prepare=lambda tools: AttributesMeter(tools.sessions.session(MODEL_ID)),
    merge=_sum_of,
    models=(MODEL_ID,),
    ranking=IDENTITY_VIEWS,
)
