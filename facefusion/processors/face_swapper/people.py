"""Whether several source pictures show one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facefusion.faces.embed import SAME_PERSON
from facefusion.faces.face import Floats


def same_person(embeddings: Sequence[Floats]) -> list[bool]:
    """For each face whether it is the first one's person; embeddings float32 [128] of length 1, the best face first.

    A face counts when it is close to the first one, or to a face that counts: pictures of one person from several
    sides are alike in steps.
    """
    table = np.stack(embeddings)
    alike = table @ table.T >= SAME_PERSON
    counted = np.zeros(len(table), np.bool_)
    counted[0] = True
    for _ in range(len(table)):
        counted |= alike[counted].any(0)
    return [bool(one) for one in counted]
