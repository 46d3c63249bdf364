"""The type of a classifier of the content gate, and the error for unusable scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelError

Images = Sequence[NDArray[np.uint8]]
Scores = NDArray[np.float32]


class Classifier(Protocol):
    """A classifier of complete images; a score of at least ``threshold`` is positive."""

    @property
    def model_id(self) -> str:
        """The model's id in the catalogue."""

    @property
    def threshold(self) -> float:
        """The lowest positive score, on the scale of this classifier."""

    def scores(self, images: Images) -> Scores:
        """Return float32 [n], finite, for ``n`` images uint8 HxWx3 BGR of any sizes.

        The score of an image does not depend on the others. Raises ModelError gate-scores.
        """


def unusable_scores(model_id: str, cause: str) -> ModelError:
    """Return the error for a classifier that returned no usable scores."""
    return ModelError(
        'gate-scores',
        f'the classifier {model_id} returned no usable scores',
        cause=cause,
        hint=f'run: facefusion models verify {model_id}',
    )
