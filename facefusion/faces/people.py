"""The people of a target: tracks of one person, joined over the whole clip.

docs/people.md has the rule, the measured thresholds and their errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from facefusion.faces.attributes import ATTRIBUTES
from facefusion.faces.clip_tracks import ClipTracks, TrackFacts
from facefusion.faces.face import Floats
from facefusion.faces.identity import identity_name
from facefusion.faces.options import ARCFACE, DLIB
from facefusion.faces.person_clusters import Clustering, Limits, Merge, united
from facefusion.faces.recognise import unit
from facefusion.faces.recognisers import RecogniserKind


class PeopleDistances(NamedTuple):
    """Distances of a recogniser: up to ``same`` two tracks are of one person, above ``sure`` with doubt.

    Two tracks that are visible together are of one person only up to ``identical``.
    """

    same: float
    sure: float
    identical: float


DISTANCES: Mapping[str, PeopleDistances] = MappingProxyType(
    {
        ARCFACE: PeopleDistances(0.3, 0.25, 0.12),
        DLIB: PeopleDistances(0.3, 0.14, 0.12),
    }
)


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


def find_people(tracks: ClipTracks, kind: RecogniserKind | None) -> People:
    """Return the people of a clip: clusters of tracks whose identities are of one person.

    Without a recogniser, and for tracks without a measured identity, every track is a person of its own. The numbers
    follow the number of frames, then the size, the first frame and the position from left to right.
    """
    if kind is None:
        return _people(tracks, [[track] for track in range(tracks.count)], None, ())
    name = identity_name(kind.model_id)
    measured = [track for track in range(tracks.count) if name in tracks.values.get(track, {})]
    if not measured:
        return _people(tracks, [[track] for track in range(tracks.count)], kind, ())
    # Longer tracks come first, so the result does not depend on their numbers.
    order = sorted(measured, key=lambda track: (-int(tracks.facts.frames[track]), track))
    embeddings = np.stack([tracks.values[track][name] for track in order])
    distances = DISTANCES[kind.model_id]
    limits = Limits(kind.cosine(distances.same), kind.cosine(distances.identical))
    clustering = Clustering(np.array(order), embeddings, tracks.facts, limits)
    groups = [cluster.tracks for cluster in clustering.run()]
    known = set(measured)
    groups += [[track] for track in range(tracks.count) if track not in known]
    return _people(tracks, groups, kind, clustering.merges)


def people_of_image(tracks: ClipTracks, kind: RecogniserKind | None) -> People:
    """Return the people of an image: every face is a person of its own, the largest one first."""
    return _people(tracks, [[track] for track in range(tracks.count)], kind, ())


class _Looks(NamedTuple):
    """The facts of a person that decide its number, in this order."""

    frames: int
    size: float
    first: int
    left: float

    def order(self) -> tuple[float, ...]:
        return -self.frames, -self.size, self.first, self.left


def _people(
    tracks: ClipTracks, groups: Sequence[list[int]], kind: RecogniserKind | None, merges: Sequence[Merge]
) -> People:
    looks = [_looks(tracks.facts, group) for group in groups]
    order = sorted(range(len(groups)), key=lambda k: (looks[k].order(), groups[k]))
    persons = []
    for number, k in enumerate(order):
        group = sorted(groups[k])
        embedding, attributes = _embedding(tracks, group, kind), _attributes(tracks, group)
        persons.append(Person(number, tuple(group), looks[k].frames, looks[k].first, embedding, attributes))
    of_track = {track: person.number for person in persons for track in person.tracks}
    return People(tuple(persons), of_track, _doubtful(merges, of_track, kind))


def _looks(facts: TrackFacts, group: Sequence[int]) -> _Looks:
    spans = np.zeros((0, 2), np.int64)
    own = np.stack([facts.first[group], facts.stop[group]], 1).astype(np.int64)
    spans = united(spans, own)
    start = min(group, key=lambda track: (int(facts.first[track]), float(facts.left[track])))
    weights = facts.frames[group].astype(np.float64)
    size = float(np.average(facts.size[group], weights=weights)) if weights.any() else 0.0
    return _Looks(int((spans[:, 1] - spans[:, 0]).sum()), size, int(facts.first[start]), float(facts.left[start]))


def _embedding(tracks: ClipTracks, group: Sequence[int], kind: RecogniserKind | None) -> Floats | None:
    """Return the mean embedding of the tracks that were measured, by their frames."""
    if kind is None:
        return None
    name = identity_name(kind.model_id)
    parts: list[npt.NDArray[np.float32]] = [
        tracks.values[track][name] * np.float32(tracks.facts.frames[track])
        for track in group
        if name in tracks.values.get(track, {})
    ]
    return unit(np.sum(parts, axis=0)) if parts else None


def _attributes(tracks: ClipTracks, group: Sequence[int]) -> Floats | None:
    votes = [
        tracks.values[track][ATTRIBUTES.name] for track in group if ATTRIBUTES.name in tracks.values.get(track, {})
    ]
    return np.asarray(np.sum(votes, axis=0), np.float32) if votes else None


def _doubtful(
    merges: Sequence[Merge], of_track: Mapping[int, int], kind: RecogniserKind | None
) -> tuple[DoubtfulMerge, ...]:
    """Return the merges that may be wrong, by person, the largest distance first."""
    if kind is None:
        return ()
    found = []
    for tracks, cosine, is_together in merges:
        distance = float(kind.distance(cosine))
        one, other = min(tracks), max(tracks)
        if is_together or distance > DISTANCES[kind.model_id].sure:
            reason: Literal['similar', 'together'] = 'together' if is_together else 'similar'
            found.append(DoubtfulMerge(of_track[one], (one, other), distance, reason))
    return tuple(sorted(found, key=lambda each: (each.person, -each.distance, each.tracks)))
