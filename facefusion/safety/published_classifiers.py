"""The published classifiers of the content gate: nsfw_1 (EraX), nsfw_2 (Marqo) and nsfw_3 (Freepik).

The catalogue states the size of their input, its mean and its deviation; this module has the score and the threshold of
each. Both are the rules of FaceFusion 3.8 (peer-models.md section 10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.planes import Pixels
from facefusion.models.catalog import Contract
from facefusion.safety.classifier import Images, Scores, unusable_scores

Values = NDArray[np.float32]
# The first rows of a detector's output: the centre, width and height of each box.
_BOX_ROWS = 4


class _Reading(NamedTuple):
    """How to read the output of a network; ``score`` raises ValueError for an output of another shape."""

    score: Callable[[Values], float]
    threshold: float


class PublishedClassifier:
    """A classifier whose session maps ``[1,3,height,width]`` float32 to the output that its contract names.

    Its score is a number without limits; a higher one is less safe.
    """

    def __init__(self, model_id: str, session: Any, contract: Contract) -> None:
        self.model_id = model_id
        self._session = session
        self._input = session.get_inputs()[0].name
        self._contract = contract
        self._reading = _READINGS[contract.kind]

    @property
    def threshold(self) -> float:
        """The lowest positive score; FaceFusion 3.8 counts only higher scores as positive."""
        return self._reading.threshold

    def scores(self, images: Images) -> Scores:
        """Return float32 [n] for images uint8 HxWx3 BGR of any sizes. Raises ModelError gate-scores."""
        return np.array([self._score(image) for image in images], np.float32)

    def _score(self, image: Pixels) -> float:
        # The networks accept one image per call.
        output = np.asarray(self._session.run(None, {self._input: network_input(image, self._contract)})[0])
        try:
            return self._reading.score(output)
        except ValueError as error:
            raise unusable_scores(self.model_id, f'{error}, got {list(output.shape)}') from None


def network_input(image: Pixels, contract: Contract) -> Values:
    """Return float32 [1,3,height,width] RGB from an image uint8 HxWx3 BGR.

    The image is resized to fit and centred on black (peer-models.md section 2, contain); then RGB from 0 to 1 is
    normalised by the mean and the deviation of the contract.
    """
    width, height = contract.size
    ratio = min(height / image.shape[0], width / image.shape[1])
    # An extremely long image would have a side of zero pixels.
    inner_width, inner_height = max(int(image.shape[1] * ratio), 1), max(int(image.shape[0] * ratio), 1)
    left, top = (width - inner_width) // 2, (height - inner_height) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = cv2.resize(image, (inner_width, inner_height))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (contract.mean, contract.std))
    rgb = canvas[:, :, ::-1].transpose(2, 0, 1).astype(np.float32, order='C')
    rgb /= 255
    rgb -= mean
    rgb /= std
    return rgb[None]


def _highest_class(output: Values) -> float:
    """Return the highest score of any class in any box, from ``[1,4+classes,boxes]``."""
    if output.ndim != 3 or len(output) != 1 or output.shape[1] <= _BOX_ROWS or not output.shape[2]:
        raise ValueError(f'expected an output of the shape [1, {_BOX_ROWS} + classes, boxes]')
    return float(output[0, _BOX_ROWS:].max())


def _unsafe_over_safe(output: Values) -> float:
    """Return the first value minus the second, from ``[1,2]``."""
    if output.shape != (1, 2):
        raise ValueError('expected an output of the shape [1, 2]')
    unsafe, safe = map(float, output[0])
    return unsafe - safe


def _upper_over_lower(output: Values) -> float:
    """Return the sum of the two upper levels minus the sum of the two lower ones, from ``[1,4]``."""
    if output.shape != (1, 4):
        raise ValueError('expected an output of the shape [1, 4]')
    lowest, low, high, highest = map(float, output[0])
    return (high + highest) - (lowest + low)


# By the kind of the contract.
_READINGS = {
    'nsfw_1': _Reading(_highest_class, 0.2),
    'nsfw_2': _Reading(_unsafe_over_safe, 0.25),
    'nsfw_3': _Reading(_upper_over_lower, 10.5),
}
