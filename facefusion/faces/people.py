"""The people of a target: tracks of one person, joined over the whole clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from facefusion.faces.face import Floats


@dataclass(frozen=True, slots=True)
class DoubtfulMerge:
    """Two tracks that count as one person, although the recogniser may confuse two people here.

    ``reason``: 'similar' if their similarity is near the threshold, 'together' if both are visible in one frame.
    """

    person: int
    tracks: tuple[int, int]
    distance: float
    reason: Literal['similar', 'together']


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """A person of the target.

    ``number``: 0 for the person who is visible in most frames. ``frames``: the number of frames with a face of the
    person. ``first``: the first of them. ``embedding``: float32 [length] of length 1; None if not measured.
    ``attributes``: votes for gender and age (``attributes.ATTRIBUTES``), None if not measured.
    """

    number: int
    tracks: tuple[int, ...]
    frames: int
    first: int
    embedding: Floats | None = None
    attributes: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """The people of a target in the order of their numbers; ``of_track`` has the number of each track's person."""

    persons: tuple[Person, ...] = ()
    of_track: Mapping[int, int] = field(default_factory=dict)
    doubtful: tuple[DoubtfulMerge, ...] = ()
