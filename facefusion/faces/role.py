"""The role of a face in a run: its person, and the sources that replace it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NO_SOURCE = -1
UNKNOWN = -1
# The number of values of a role, in arrays of roles.
ROLE_LENGTH = 6


class FaceRole(NamedTuple):
    """Facts about a selected face that are the same in its whole track.

    person: its number in the target. images, voice: indexes into the groups of images and the voices of
    ``processors.cast.Cast``, or NO_SOURCE. distance: from the reference face, 0..1; nan without one. gender, age:
    indexes into ``attributes.GENDERS`` and ``attributes.AGES``, or UNKNOWN.
    """

    person: int = 0
    images: int = 0
    voice: int = 0
    distance: float = float('nan')
    gender: int = UNKNOWN
    age: int = UNKNOWN

    @classmethod
    def from_values(cls, values: Sequence[float]) -> FaceRole:
        """Return the role that was stored as six numbers, in the order of the fields."""
        person, images, voice, distance, gender, age = values
        return cls(int(person), int(images), int(voice), distance, int(gender), int(age))


NO_ROLE = FaceRole()
