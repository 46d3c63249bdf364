"""The interface of a content gate classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Images = Sequence[NDArray[np.uint8]]
Scores = NDArray[np.float32]


class Classifier(Protocol):
    """Scores whole images; a score of at least ``threshold`` is positive."""

    @property
    def model_id(self) -> str:
        """The model's id in the catalogue."""

    @property
    def threshold(self) -> float:
        """0 to 1."""

    def scores(self, images: Images) -> Scores:
        """Return float32 [n], 0 to 1, for ``n`` images uint8 HxWx3 BGR of any sizes.

        The score of an image does not depend on the others.
        """
