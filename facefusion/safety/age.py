"""The age rule: refuse swaps from or onto faces whose estimated age is under 18, with a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ContentRefused
from facefusion.faces.face import Floats
from facefusion.media.frame import Frame

_FACES_IN_WORDS = 3
_LISTED_FACTS = 100


@dataclass(frozen=True, slots=True)
class AgeEstimate:
    """Whether a face counts as under 18 with the estimator's margin, and the estimate in words."""

    under_18: bool
    words: str


class AgeEstimator(Protocol):
    """An estimator of the age of one face in one frame; it computes nothing else about the face."""

    @property
    def model_id(self) -> str:
        """The model's id in the catalogue."""

    def under_18(self, frame: Frame, landmarks: Floats) -> AgeEstimate:
        """Return the estimate for the face with these landmarks, float32 [468,3] in frame pixels."""


@dataclass(frozen=True, slots=True)
class AgeObservation:
    """One estimate of a face: its track in a clip (an arbitrary number in an image), its frame and time."""

    track: int
    frame: int
    seconds: float
    estimate: AgeEstimate


def refuse_if_minor(path: Path, observations: Sequence[AgeObservation], model_id: str) -> None:
    """Raise ContentRefused 'age-refused' when a face to be swapped, or the source face, is under 18.

    A track counts as under 18 when more than half of its observations do; a face in an image is a track with one
    observation.
    """
    tracks: dict[int, list[AgeObservation]] = {}
    for observation in sorted(observations, key=lambda each: (each.track, each.frame)):
        tracks.setdefault(observation.track, []).append(observation)
    refused = {}
    for track, seen in tracks.items():
        young = [observation for observation in seen if observation.estimate.under_18]
        if 2 * len(young) > len(seen):
            refused[track] = (seen, young)
    if refused:
        raise _refusal(path, refused, model_id)


def _refusal(
    path: Path, refused: dict[int, tuple[list[AgeObservation], list[AgeObservation]]], model_id: str
) -> ContentRefused:
    faces: list[dict[str, Any]] = []
    causes: list[str] = []
    for track, (seen, young) in refused.items():
        frames = [
            {'frame': each.frame, 'seconds': each.seconds, 'estimate': each.estimate.words}
            for each in young[:_LISTED_FACTS]
        ]
        faces.append({'track': track, 'looks': len(seen), 'under_18': len(young), 'frames': frames})
        first = young[0]
        causes.append(
            f'face {track}: {len(young)} of {len(seen)} estimates, such as {first.estimate.words} '
            f'in frame {first.frame} at {first.seconds:.2f} s'
        )
    more = len(refused) - _FACES_IN_WORDS
    subject = 'a face that would be swapped' if len(refused) == 1 else f'{len(refused)} faces that would be swapped'
    return ContentRefused(
        'age-refused',
        f'{path.name} is refused: {model_id} estimates {subject} as under 18',
        cause='; '.join(causes[:_FACES_IN_WORDS]) + (f'; and {more} more' if more > 0 else ''),
        hint='select other faces, or use other material: faces of minors are never swapped, with or without '
        'consent. docs/content-gate.md describes the errors of the estimate',
        facts={'file': str(path), 'models': [{'model_id': model_id}], 'faces': faces[:_LISTED_FACTS]},
    )
