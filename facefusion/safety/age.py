"""The age rule: whom an estimate takes for under 18, with margin, is swapped neither from nor onto."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import ContentRefused
from facefusion.faces.face import Floats
from facefusion.media.frame import Frame

_FRAMES_IN_WORDS = 3
_FRAMES_IN_FACTS = 100


@dataclass(frozen=True, slots=True)
class AgeEstimate:
    """Whether a face is taken for under 18 with the estimator's margin, and what it saw, in words."""

    under_18: bool
    words: str


class AgeEstimator(Protocol):
    """Judges the age of one face in one picture, and nothing else of it."""

    @property
    def model_id(self) -> str:
        """The model's id in the catalogue."""

    def under_18(self, frame: Frame, landmarks: Floats) -> AgeEstimate:
        """The estimate for the face with these landmarks, float32 [468,3] in frame pixels."""


@dataclass(frozen=True, slots=True)
class AgeLook:
    """One look at a face: its track in a clip (any number of its own in a picture), where it was seen, the estimate."""

    track: int
    frame: int
    seconds: float
    estimate: AgeEstimate


class AgeRule:
    """Decides about sources and targets by the looks of one estimator."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    def decide(self, path: Path, looks: Sequence[AgeLook]) -> None:
        """Raises ContentRefused 'age-refused' when a face that would be used is under 18.

        ``looks`` are those at the faces that are swapped or taken as the source. A track is under 18 when more than
        half of its looks say so; a face in a picture is a track with one look.
        """
        tracks: dict[int, list[AgeLook]] = {}
        for look in sorted(looks, key=lambda each: (each.track, each.frame)):
            tracks.setdefault(look.track, []).append(look)
        refused = {}
        for track, seen in tracks.items():
            young = [look for look in seen if look.estimate.under_18]
            if 2 * len(young) > len(seen):
                refused[track] = (seen, young)
        if refused:
            raise self._refusal(path, refused)

    def _refusal(self, path: Path, refused: dict[int, tuple[list[AgeLook], list[AgeLook]]]) -> ContentRefused:
        faces: list[dict[str, Any]] = []
        told: list[str] = []
        for track, (seen, young) in refused.items():
            frames = [
                {'frame': look.frame, 'seconds': look.seconds, 'estimate': look.estimate.words}
                for look in young[:_FRAMES_IN_FACTS]
            ]
            faces.append({'track': track, 'looks': len(seen), 'under_18': len(young), 'frames': frames})
            if len(told) < _FRAMES_IN_WORDS:
                first = young[0]
                told.append(
                    f'face {track}: {len(young)} of {len(seen)} looks, such as {first.estimate.words} '
                    f'in frame {first.frame} at {first.seconds:.2f} s'
                )
        more = len(refused) - len(told)
        who = 'a face' if len(refused) == 1 else f'{len(refused)} faces'
        return ContentRefused(
            'age-refused',
            f'{path.name} is refused: {self.model_id} takes {who} that would be swapped for under 18',
            cause='; '.join(told) + (f'; and {more} more' if more else ''),
            hint='faces of minors are not swapped, whoever consents. Select other faces, or use other material; '
            'docs/content-gate.md tells where the estimate errs',
            facts={'file': str(path), 'models': [{'model_id': self.model_id}], 'faces': faces[:_FRAMES_IN_FACTS]},
        )
