"""Whether several source pictures show one person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facefusion.faces.embed import SAME_PERSON
from facefusion.faces.face import Floats


def same_person(embeddings: Sequence[Floats]) -> list[bool]:
    """For each face whether it belongs to the person who is shown most often, of two equals to the first one.

    embeddings: float32 [128] of length 1, the best face first. Faces belong together when they are close, or joined
    by others that are: pictures of one person from several sides are alike in steps.
    """
    table = np.stack(embeddings)
    alike = table @ table.T >= SAME_PERSON
    groups: list[npt.NDArray[np.bool_]] = []
    for face in range(len(table)):
        if any(group[face] for group in groups):
            continue
        group = np.arange(len(table)) == face
        for _ in range(len(table)):
            group = group | alike[group].any(0)
        groups.append(group)
    # The first of the largest: max keeps the earlier one of equals.
    return [bool(one) for one in max(groups, key=lambda group: int(group.sum()))]
