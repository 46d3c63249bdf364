"""Find the source images that show the same person."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from facefusion.faces.embed import SAME_PERSON
from facefusion.faces.face import Floats


def same_person(embeddings: Sequence[Floats]) -> list[bool]:
    """Return for each face whether it shows the most frequent person; in a tie, the person of the earliest face counts.

    embeddings: float32 [128] of length 1, the best face first. Two faces count as one person when they are similar or
    connected by a chain of similar faces, because a front view and a side view may be similar only to views in between.
    """
    table = np.stack(embeddings)
    similar = table @ table.T >= SAME_PERSON
    groups: list[npt.NDArray[np.bool_]] = []
    for face in range(len(table)):
        if any(group[face] for group in groups):
            continue
        group = np.arange(len(table)) == face
        for _ in range(len(table)):
            group = group | similar[group].any(0)
        groups.append(group)
    # max returns the first of the largest groups.
    return [bool(belongs) for belongs in max(groups, key=lambda group: int(group.sum()))]
