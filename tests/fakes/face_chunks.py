"""Generated moving faces, and the chunks that the analysis would return for them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from fakes.scenes import scene

from facefusion.faces.chunk import FaceChunk
from facefusion.faces.face import MESH_POINTS
from facefusion.faces.landmarks.subsets import sixty_eight_points
from facefusion.faces.skin import TRAIT_COUNT
from facefusion.faces.topology import load_topology

MEAN_SHAPE = load_topology().mean_shape


def face_at(x: float, y: float, size: float) -> np.ndarray:
    """Return the mean shape with its centre at x, y and ``size`` pixels between the eyes, float32 [468,3]."""
    centred = MEAN_SHAPE - MEAN_SHAPE.mean(0)
    return (centred * size + [x, y, 0]).astype(np.float32)


def reduced(mesh: np.ndarray, points: int) -> np.ndarray:
    """Return the landmarks [468,3] of a face, or 68 of them with z = 0, as a landmarker finds them."""
    return mesh if points == MESH_POINTS else np.pad(sixty_eight_points(mesh), ((0, 0), (0, 1)))


@dataclass(frozen=True)
class Person:
    """A face that jitters around a position; the arrays of a frame depend only on its number."""

    x: float
    y: float
    size: float
    score: float = 0.9
    points: int = MESH_POINTS

    def landmarks(self, frame: int) -> np.ndarray:
        random = np.random.default_rng([int(self.x), frame])
        drift = 3 * np.sin(frame / 9)
        face = reduced(face_at(self.x + drift, self.y, self.size), self.points)
        return face + random.normal(0, 0.4, face.shape).astype(np.float32)

    def light(self, frame: int) -> np.ndarray:
        return np.random.default_rng([1, int(self.x), frame]).integers(0, 256, (32, 32, 4), np.uint8)

    def free(self, frame: int) -> np.ndarray:
        return np.random.default_rng([2, int(self.x), frame]).integers(0, 256, (64, 64), np.uint8)

    def traits(self, frame: int) -> np.ndarray:
        return np.random.default_rng([3, int(self.x), frame]).random(TRAIT_COUNT, np.float32)


def make_chunk(
    first: int,
    count: int,
    seen: Iterable[tuple[int, int, Person]],
    *,
    cuts: Iterable[int] = (),
    skin: bool = True,
    thumbnails: tuple[int, int] = (100, 100),
) -> FaceChunk:
    """Return a chunk of the rows ``(frame, local track, person)``.

    ``thumbnails`` are the numbers of the scenes in its first and last thumbnail.
    """
    rows = sorted(seen, key=lambda row: row[:2])
    points = rows[0][2].points if rows else MESH_POINTS
    cut = np.zeros(count, np.bool_)
    cut[[frame - first for frame in cuts]] = True
    return FaceChunk(
        first=first,
        count=count,
        frame=np.array([frame for frame, _, _ in rows], np.int32),
        track=np.array([track for _, track, _ in rows], np.int32),
        landmarks=np.array([person.landmarks(frame) for frame, _, person in rows], np.float32).reshape(-1, points, 3),
        score=np.array([person.score for _, _, person in rows], np.float32),
        values=_skin_of(rows) if skin else {},
        cut=cut,
        thumbnails=np.stack([scene(value, 96, 54) for value in thumbnails]),
    )


def _skin_of(rows: list[tuple[int, int, Person]]) -> dict[str, np.ndarray]:
    return {
        'light': np.array([person.light(frame) for frame, _, person in rows], np.uint8).reshape(-1, 32, 32, 4),
        'free': np.array([person.free(frame) for frame, _, person in rows], np.uint8).reshape(-1, 64, 64),
        'traits': np.array([person.traits(frame) for frame, _, person in rows], np.float32).reshape(-1, TRAIT_COUNT),
    }


def runs_of(frames: Iterable[int], breaks: Iterable[int] = ()) -> Iterator[list[int]]:
    """Yield runs of consecutive frames; a frame in ``breaks`` starts a new run."""
    run: list[int] = []
    for frame in sorted(frames):
        if run and (frame != run[-1] + 1 or frame in breaks):
            yield run
            run = []
        run.append(frame)
    if run:
        yield run


def cut_up(
    borders: list[int], present: list[tuple[Person, set[int]]], cuts: Iterable[int] = (), skin: bool = True
) -> Iterator[FaceChunk]:
    """Yield the chunks of people who are present in some frames; every gap and every cut starts a new local track."""
    cuts = set(cuts)
    for first, stop in itertools.pairwise(borders):
        seen, number = [], 0
        for person, frames in present:
            for run in runs_of((frame for frame in frames if first <= frame < stop), cuts):
                seen += [(frame, number, person) for frame in run]
                number += 1
        inside = [cut for cut in cuts if first < cut < stop]
        at_start = 255 if first in cuts else 100
        yield make_chunk(first, stop - first, seen, cuts=inside, skin=skin, thumbnails=(at_start, 100))
