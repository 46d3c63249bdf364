"""Clusters of tracks: average linkage by the cosine similarity of their embeddings."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facefusion.faces.clip_tracks import TrackFacts
from facefusion.faces.face import Floats

# A cluster is compared with at most this many others, the most similar ones.
MOST_NEIGHBOURS = 40
# Rows of the table of similarities that are computed at once: 512 rows of 10,000 tracks take 20 MB.
ROWS_AT_ONCE = 512
# Frames beyond this number add no weight to the embedding of a track.
MOST_WEIGHT = 250


class Limits(NamedTuple):
    """Cosine similarities: of one person, and of nearly identical faces, which may be visible together."""

    same: float
    identical: float


class Merge(NamedTuple):
    """Two clusters that were joined: their longest tracks, their similarity, and whether both were visible at once."""

    tracks: tuple[int, int]
    cosine: float
    is_together: bool


@dataclass(slots=True, eq=False)
class Cluster:
    """Tracks of one person. ``total``: the sum of their weighted embeddings; ``weight``: that of the weights.

    ``tracks``: the longest one first. ``spans``: int64 [n,2], the disjoint ranges of frames with the person, ascending.
    """

    tracks: list[int]
    total: Floats
    weight: float
    spans: npt.NDArray[np.int64]


class Clustering:
    """Joins clusters in the order of their similarity, until the most similar ones are of two people."""

    def __init__(self, tracks: npt.NDArray[np.int64], embeddings: Floats, facts: TrackFacts, limits: Limits) -> None:
        """``embeddings``: float32 [n,length] of length 1 of the tracks, which have all different numbers."""
        self._limits = limits
        self._clusters: dict[int, Cluster] = {}
        self._near: dict[int, set[int]] = {}
        self._queue: list[tuple[float, int, int]] = []
        self._next = len(tracks)
        self.merges: list[Merge] = []
        for k, track in enumerate(tracks.tolist()):
            weight = float(min(facts.frames[track], MOST_WEIGHT))
            span = np.array([[facts.first[track], facts.stop[track]]], np.int64)
            self._clusters[k] = Cluster([track], embeddings[k] * np.float32(weight), weight, span)
        for one, other, cosine in _similar_pairs(embeddings, limits.same):
            self._near.setdefault(one, set()).add(other)
            self._near.setdefault(other, set()).add(one)
            heapq.heappush(self._queue, (-cosine, one, other))

    def run(self) -> list[Cluster]:
        """Return the clusters, each the tracks of one person."""
        while self._queue:
            cosine, one, other = heapq.heappop(self._queue)
            if one in self._clusters and other in self._clusters:
                self._join(one, other, -cosine)
        return list(self._clusters.values())

    def _join(self, one: int, other: int, cosine: float) -> None:
        a, b = self._clusters[one], self._clusters[other]
        is_together = overlap(a.spans, b.spans)
        if is_together and cosine < self._limits.identical:
            return
        self.merges.append(Merge((a.tracks[0], b.tracks[0]), cosine, is_together))
        near = (self._near.pop(one, set()) | self._near.pop(other, set())) - {one, other}
        del self._clusters[one], self._clusters[other]
        joined, self._next = self._next, self._next + 1
        if a.weight < b.weight:
            a, b = b, a
        cluster = Cluster([*a.tracks, *b.tracks], a.total + b.total, a.weight + b.weight, united(a.spans, b.spans))
        self._clusters[joined] = cluster
        for each in sorted(near & self._clusters.keys()):
            similarity = _similarity(cluster, self._clusters[each])
            self._near.setdefault(each, set()).add(joined)
            self._near.setdefault(joined, set()).add(each)
            if similarity >= self._limits.same:
                heapq.heappush(self._queue, (-similarity, each, joined))


def overlap(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> bool:
    """Whether two lists of disjoint ascending ranges share a frame."""
    # The first range of b that ends after each range of a starts must start before that one ends.
    place = np.searchsorted(b[:, 1], a[:, 0], side='right')
    inside = place < len(b)
    return bool((b[place[inside], 0] < a[inside, 1]).any())


def united(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the union of two lists of disjoint ascending ranges, in the same form."""
    spans = np.concatenate([a, b])
    spans = spans[np.argsort(spans[:, 0], kind='stable')]
    ends = np.maximum.accumulate(spans[:, 1])
    starts = np.concatenate([[True], spans[1:, 0] > ends[:-1]])
    last = np.concatenate([np.flatnonzero(starts)[1:] - 1, [len(spans) - 1]])
    return np.stack([spans[starts, 0], ends[last]], 1)


def _similarity(a: Cluster, b: Cluster) -> float:
    """The mean cosine similarity of the pairs of tracks of two clusters, by the weights of the tracks."""
    return float(a.total @ b.total) / (a.weight * b.weight)


def _similar_pairs(embeddings: Floats, least: float) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs with at least this cosine similarity, each once, of the most similar ones of each row."""
    for start in range(0, len(embeddings), ROWS_AT_ONCE):
        table = embeddings[start : start + ROWS_AT_ONCE] @ embeddings.T
        for row in range(len(table)):
            own = start + row
            similar = np.flatnonzero(table[row] >= least)
            if len(similar) > MOST_NEIGHBOURS + 1:
                similar = similar[np.argsort(-table[row, similar], kind='stable')[: MOST_NEIGHBOURS + 1]]
            yield from ((own, other, float(table[row, other])) for other in similar.tolist() if other > own)
