"""Faces that cross: two boxes overlap and separate again.

While two faces overlap, the mesh of one may slide onto the other. So a face has a new track number after a crossing;
link joins the numbers of one face by position and identity.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats

# The shared area of two boxes, as a fraction of the smaller one, at which a crossing begins, and below which it ends.
# Boxes of faces side by side, cheek to cheek, share less than the first value.
CROSSED = 0.2
APART = 0.05


class Crossings:
    """The pairs of faces that overlap; keys are compared by identity or number."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Hashable, Hashable]] = []

    def update(self, keys: Sequence[Hashable], boxes: Sequence[Floats]) -> list[Hashable]:
        """Take the boxes of a frame; return the faces whose crossing ends, in the order of ``keys``.

        A crossing ends when the boxes have separated, or when one of the two faces is not followed any more.
        """
        shared = shared_parts(boxes)
        place = {key: k for k, key in enumerate(keys)}
        ended = set[Hashable]()
        lasting = list[tuple[Hashable, Hashable]]()
        for one, other in self._pairs:
            if one in place and other in place and shared[place[one], place[other]] > APART:
                lasting.append((one, other))
            else:
                ended |= {one, other}
        known = set(lasting)
        begun = [(keys[a], keys[b]) for a, b in np.argwhere(np.triu(shared > CROSSED, 1)).tolist()]
        self._pairs = lasting + [pair for pair in begun if pair not in known and pair[::-1] not in known]
        return [key for key in keys if key in ended]

    def add(self, one: Hashable, other: Hashable) -> None:
        """Note that two faces crossed in an earlier frame."""
        if (one, other) not in self._pairs and (other, one) not in self._pairs:
            self._pairs.append((one, other))

    def __contains__(self, key: Hashable) -> bool:
        return any(key in pair for pair in self._pairs)

    def clear(self) -> None:
        """Forget all pairs, at a cut."""
        self._pairs = []


def shared_parts(boxes: Sequence[Floats]) -> npt.NDArray[np.float32]:
    """Return the shared area of each two boxes x0, y0, x1, y1 as a fraction of the smaller one, float32 [n,n]."""
    if not boxes:
        return np.zeros((0, 0), np.float32)
    table = np.stack(boxes)
    low = np.maximum(table[:, None, :2], table[None, :, :2])
    high = np.minimum(table[:, None, 2:], table[None, :, 2:])
    area = np.prod(table[:, 2:] - table[:, :2], axis=1)
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    return np.asarray(shared / np.maximum(np.minimum(area[:, None], area[None]), 1e-6), np.float32)
