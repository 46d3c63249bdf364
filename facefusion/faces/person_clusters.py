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
    """Tracks of one person, the longest one first.

    ``spans``: int64 [n,2], the disjoint ranges of frames with the person, ascending.
    """

    tracks: list[int]
    spans: npt.NDArray[np.int64]


class Clustering:
    """Joins clusters in the order of their similarity, until the most similar ones are of two people.

    The similarity of two clusters is the mean cosine similarity of their pairs of tracks, by the weights of the tracks.
    """

    def __init__(self, tracks: npt.NDArray[np.int64], embeddings: Floats, facts: TrackFacts, limits: Limits) -> None:
        """``embeddings``: float32 [n,length] of length 1 of the tracks, which have all different numbers."""
        count = len(tracks)
        self._limits = limits
        self._clusters: dict[int, Cluster] = {}
        # The clusters that may be of the same person; ``_holders`` has the cluster that each joined one is now part of.
        self._near: dict[int, set[int]] = {k: set() for k in range(count)}
        self._holders: dict[int, int] = {}
        # The most similar other cluster of each cluster; it may have been joined since then.
        self._queue: list[tuple[float, int, int]] = []
        self._next = count
        self.merges: list[Merge] = []
        # A join creates a cluster with a new number, so there are at most twice as many.
        self._weights = np.zeros(2 * count, np.float32)
        self._weights[:count] = np.minimum(facts.frames[tracks], MOST_WEIGHT)
        # The sums of the weighted embeddings.
        self._totals = np.zeros((2 * count, embeddings.shape[1]), np.float32)
        self._totals[:count] = embeddings * self._weights[:count, None]
        for k, track in enumerate(tracks.tolist()):
            self._clusters[k] = Cluster([track], np.array([[facts.first[track], facts.stop[track]]], np.int64))
        for one, other in _similar_pairs(embeddings, limits.same):
            self._near[one].add(other)
            self._near[other].add(one)
        for k in range(count):
            self._queue_nearest(k)

    def run(self) -> list[Cluster]:
        """Return the clusters, each the tracks of one person."""
        while self._queue:
            cosine, one, other = heapq.heappop(self._queue)
            if one not in self._clusters:
                continue
            if other not in self._clusters:
                self._queue_nearest(one)
            else:
                self._join(one, other, -cosine)
        return list(self._clusters.values())

    def _join(self, one: int, other: int, cosine: float) -> None:
        a, b = self._clusters[one], self._clusters[other]
        is_together = overlap(a.spans, b.spans)
        if is_together and cosine < self._limits.identical:
            # Two people: they are never compared again, but larger clusters with them are.
            self._near[one].discard(other)
            self._near[other].discard(one)
            self._queue_nearest(one)
            return
        self.merges.append(Merge((a.tracks[0], b.tracks[0]), cosine, is_together))
        if self._weights[one] < self._weights[other]:
            a, b = b, a
        joined, self._next = self._next, self._next + 1
        self._clusters[joined] = Cluster([*a.tracks, *b.tracks], united(a.spans, b.spans))
        self._near[joined] = self._near.pop(one) | self._near.pop(other)
        self._weights[joined] = self._weights[one] + self._weights[other]
        self._totals[joined] = self._totals[one] + self._totals[other]
        for each in (one, other):
            self._holders[each] = joined
            del self._clusters[each]
        self._queue_nearest(joined)

    def _queue_nearest(self, one: int) -> None:
        """Queue a cluster with the most similar other one, if they may be of one person."""
        near = {self._holder(each) for each in self._near[one]} - {one}
        self._near[one] = near
        if not near:
            return
        others = sorted(near)
        similar = self._totals[others] @ self._totals[one] / (self._weights[others] * self._weights[one])
        best = int(np.argmax(similar))
        if similar[best] >= self._limits.same:
            heapq.heappush(self._queue, (-float(similar[best]), one, others[best]))

    def _holder(self, each: int) -> int:
        """Return the cluster that a cluster is part of now."""
        found = each
        while found in self._holders:
            found = self._holders[found]
        while each in self._holders and each != found:
            self._holders[each], each = found, self._holders[each]
        return found


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


def _similar_pairs(embeddings: Floats, least: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs with at least this cosine similarity, for each row the most similar ones; some pairs twice."""
    for start in range(0, len(embeddings), ROWS_AT_ONCE):
        table = embeddings[start : start + ROWS_AT_ONCE] @ embeddings.T
        for row in range(len(table)):
            own = start + row
            similar = np.flatnonzero(table[row] >= least)
            if len(similar) > MOST_NEIGHBOURS + 1:
                similar = similar[np.argpartition(-table[row, similar], MOST_NEIGHBOURS)[: MOST_NEIGHBOURS + 1]]
            yield from ((own, other) for other in similar.tolist() if other != own)
