"""The identity of a track: the embedding of its face, from its best views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from facefusion.faces.best_views import Ranking
from facefusion.faces.chunk import FaceChunk
from facefusion.faces.face import Face, Floats, Values
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.measurement_types import FaceView, Measurements, TrackMeasurement
from facefusion.faces.options import RECOGNISERS
from facefusion.faces.recognise import unit
from facefusion.faces.recognisers import KINDS, Recogniser, RecogniserKind, make_recogniser

# Larger faces are shrunk to the input of a recogniser, so their size adds nothing: the height of the landmarks in
# dlib's chip of 150 pixels.
LARGEST_USEFUL = 120.0
# The offset of the nose from the middle of the eyes, in eye distances, at which the quality falls to 1/e.
TURNED = 0.3

# Two parts of a track at one position are of two people if their distance is above this value, or larger than the
# distance from another face of the frame by the second value.
DIFFERENT = 0.4
CLOSER = 0.1


def frontal_share(face: Face) -> float:
    """Return 1 for a frontal face, and less for a turned one: its nose is then beside the middle of the eyes."""
    left, right, nose = five_points(face.landmarks)[:3]
    across = right - left
    aside = float((nose - (left + right) / 2) @ across) / max(float(across @ across), 1e-3)
    return float(np.exp(-((aside / TURNED) ** 2)))


def identity_quality(face: Face) -> float:
    """Rank a view for recognition: large up to a limit, frontal, and with a high score."""
    return min(face.size / LARGEST_USEFUL, 1.0) * frontal_share(face) * face.score + 1e-6


# At most 512 tracks with three views of 192 pixels: 170 MB, which only a chunk with 512 large faces reaches; 200 people
# take 66 MB.
IDENTITY_VIEWS = Ranking(identity_quality, margin=0.35, side=192, tracks=512)


@dataclass(frozen=True, slots=True)
class IdentityMeter:
    """Measures the mean embedding of the views: float32 of length 1."""

    recogniser: Recogniser

    def measure(self, views: Sequence[FaceView]) -> Values:
        return unit(np.mean([self.recogniser.embed(view.frame, view.landmarks) for view in views], axis=0))


def identity_name(model_id: str) -> str:
    """Return the name of the measurement of a recogniser, such as 'identity_dlib_face_resnet'."""
    return f'identity_{model_id}'


def mean_identity(values: Values, weights: Floats) -> Values:
    """Return the mean float32 [length], of length 1, of embeddings [n,length] by weights float32 [n]."""
    return unit(np.average(values, axis=0, weights=weights).astype(np.float32))


class Identity(NamedTuple):
    """An embedding of length 1, and the total quality of its views."""

    embedding: Floats
    weight: float


class Identities:
    """The identities of the tracks that may continue, to decide whether a track that starts is one of them.

    ``kind`` None: no identity is measured, so all tracks may be of one person.
    """

    def __init__(self, kind: RecogniserKind | None) -> None:
        self._kind = kind
        self._sums: dict[int, Floats] = {}

    def of_local(self, chunk: FaceChunk, number: int) -> Identity | None:
        """Return the identity of a chunk's track, None if it is not measured."""
        if self._kind is None:
            return None
        name = identity_name(self._kind.model_id)
        weight = float(chunk.track_weights[name][number])
        return Identity(chunk.of_tracks[name][number], weight) if weight > 0 else None

    def add(self, track: int, identity: Identity | None) -> None:
        """Add the identity of a part of a clip's track."""
        if identity is not None:
            part = identity.embedding * np.float32(identity.weight)
            self._sums[track] = self._sums[track] + part if track in self._sums else part

    def forget(self, track: int) -> None:
        """Drop a track that cannot continue."""
        self._sums.pop(track, None)

    def other_people(self, identity: Identity | None, tracks: Iterable[int]) -> set[int]:
        """Return the tracks that show another person than ``identity``.

        These are the tracks whose distance is above DIFFERENT, and those whose distance is larger than that of the
        most similar track by at least CLOSER. Tracks that are not measured are not among them.
        """
        if self._kind is None or identity is None:
            return set()
        known = {track: unit(self._sums[track]) for track in tracks if track in self._sums}
        distances = {
            track: float(self._kind.distance(float(embedding @ identity.embedding)))
            for track, embedding in known.items()
        }
        nearest = min(distances.values(), default=0.0)
        return {track for track, each in distances.items() if each > min(DIFFERENT, nearest + CLOSER)}


def recogniser_kind(measurements: Measurements) -> RecogniserKind | None:
    """Return the kind of the first recogniser among measurements, or None if they have no identity."""
    return next((KINDS[name] for name in RECOGNISERS if identity_name(name) in measurements.names), None)


def _measurement(model_id: str) -> TrackMeasurement:
    return TrackMeasurement(
        identity_name(model_id),
        (KINDS[model_id].length,),
        'float32',
        prepare=lambda tools: IdentityMeter(make_recogniser(model_id, tools.sessions)),
        merge=mean_identity,
        models=(model_id,),
        ranking=IDENTITY_VIEWS,
    )


# One measurement for each recogniser, in the order of RECOGNISERS.
IDENTITIES = tuple(_measurement(model_id) for model_id in RECOGNISERS)
