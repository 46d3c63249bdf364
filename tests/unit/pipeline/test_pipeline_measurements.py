"""Tests of a measurement of each kind in all stages (analyse, track, select, render) and the files between them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fakes.face_chunks import Person, face_at, make_chunk, reduced
from fakes.scripted_analyser import Actor, ScriptedAnalyser, frame_at

from facefusion.faces.chunk import FaceChunk, LinkedChunk, Selection
from facefusion.faces.measurement_types import (
    FaceMeasurement,
    FaceValue,
    Measurements,
    MeterTools,
    TrackMeasurement,
    weighted_mean,
)
from facefusion.faces.options import FaceSelectorOptions
from facefusion.faces.smooth import smooth_landmarks, smooth_mean
from facefusion.faces.topology import load_topology
from facefusion.faces.track import ChunkTracker
from facefusion.pipeline.render import faces_of
from facefusion.pipeline.selection import Selector
from facefusion.pipeline.tracking import Tracker

BORDERS, CUT = (0, 50, 100, 130), 115
# GLOW_REACH is wider than any window of the program.
GLOW_REACH, STATE_REACH = 20, 2
# The frames in which analyse finds the two people in each chunk, and the indices of the runs that form one stay.
LEFT_RUNS = [range(20), range(22, 47), range(50, 100), range(100, 115), range(115, 130)]
RIGHT_RUNS = [range(60, 75), range(95, 100), range(100, 115), range(115, 130)]
LEFT_STAYS, RIGHT_STAYS = ([0, 1, 2, 3], [4]), ([0], [1, 2], [3])


@dataclass(frozen=True)
class Breathing(Actor):
    """A face whose size differs in every frame."""

    def landmarks(self, frame: int) -> np.ndarray:
        return face_at(*self.place(frame), self.size * (1 + 0.05 * np.sin(frame * 1.7)))


def side_of(landmarks: np.ndarray) -> int:
    return int(landmarks[:, 0].mean() > 160)


def glow(frame: int, side: int) -> np.ndarray:
    return np.random.default_rng([1, frame, side]).random(2, np.float32)


def state(frame: int, side: int) -> np.ndarray:
    return np.random.default_rng([2, frame, side]).integers(-9, 9, dtype=np.int16)


class Glow:
    def measure(self, frame, landmarks):
        side = side_of(landmarks)
        return {'state': state(frame.number, side), 'glow': glow(frame.number, side)}


class Build:
    """A measurement of the number of views and their mean height."""

    def measure(self, views):
        heights = [np.ptp(view.landmarks[:, 1]) for view in views]
        assert heights == sorted(heights, reverse=True)
        return np.array([len(views), np.mean(heights)])


def largest_around(values: np.ndarray) -> np.ndarray:
    """Return the maximum over the frames at most STATE_REACH away."""
    return np.stack([values[max(k - STATE_REACH, 0) : k + STATE_REACH + 1].max(0) for k in range(len(values))])


MEASURED = Measurements(
    (
        FaceMeasurement(
            'glow',
            (
                FaceValue('glow', (2,), 'float32', 'float16', GLOW_REACH, lambda v: smooth_mean(v, GLOW_REACH)),
                FaceValue('state', (), 'int16', 'int32', STATE_REACH, largest_around, filled='nearest'),
            ),
            lambda tools: Glow(),
        ),
    ),
    (TrackMeasurement('build', (2,), 'float64', lambda tools: Build(), weighted_mean),),
)


def analysed(analyser) -> list[FaceChunk]:
    chunks = []
    for first, stop in itertools.pairwise(BORDERS):
        tracker = ChunkTracker(analyser, MEASURED.prepare(MeterTools(load_topology(), None)))
        for number in range(first, min(stop + 1, BORDERS[-1])):
            frame = frame_at(number, 60 if number < CUT else 120)
            if number < stop:
                tracker.add(frame)
        chunks.append(tracker.finish(frame if number == stop else None))
    return chunks


def through_files(records, kind, folder):
    """Yield each record as loaded from its file."""
    for number, record in enumerate(records):
        path = folder / f'{kind.__name__}-{number}.npz'
        record.save(path)
        yield kind.load(path)


def expected_stay(actor: Actor, side: int, runs: list[range]):
    """Return the expected (landmarks, glow, state, filled) of a stay by frame, and the expected build of its track.

    The values are computed frame by frame, without chunks, rows or tracks.
    """
    seen = {frame: (glow(frame, side), state(frame, side)) for run in runs for frame in run}
    first, last = min(seen), max(seen)
    meshes = {frame: reduced(actor.landmarks(frame), actor.points) for frame in seen}
    values = dict(seen)
    for frame in range(first, last + 1):
        if frame not in seen:
            before, after = (max(at for at in seen if at < frame), min(at for at in seen if at > frame))
            share = (frame - before) / (after - before)
            nearer = before if frame - before < after - frame else after
            values[frame] = (1 - share) * seen[before][0] + share * seen[after][0], seen[nearer][1]
            meshes[frame] = (1 - share) * meshes[before] + share * meshes[after]
    smooth = smooth_landmarks(np.stack([meshes[frame] for frame in range(first, last + 1)]).astype(np.float32))
    rows = {}
    for frame in range(first, last + 1):
        reach = min(GLOW_REACH, frame - first, last - frame)
        near = range(frame - reach, frame + reach + 1)
        shares = [GLOW_REACH + 1 - abs(at - frame) for at in near]
        mean = sum(share * values[at][0] for share, at in zip(shares, near, strict=True)) / sum(shares)
        around = range(max(frame - STATE_REACH, first), min(frame + STATE_REACH, last) + 1)
        rows[frame] = smooth[frame - first], mean, max(values[at][1] for at in around), frame not in seen
    weights, builds = [], []
    for run in runs:
        heights = sorted((float(np.ptp(meshes[frame][:, 1])) for frame in run), reverse=True)[:3]
        weights.append(sum(heights) * actor.score)
        builds.append([len(heights), sum(heights) / len(heights)])
    return rows, np.average(builds, axis=0, weights=weights)


@pytest.mark.parametrize('points', [468, 68])
def test_measurements_reach_rendering(tmp_path, points):
    left, right = (
        Breathing(frozenset().union(*runs), place=lambda frame, x=x: (x, 90.0), score=score, points=points)
        for runs, x, score in ((LEFT_RUNS, 80.0, 0.9), (RIGHT_RUNS, 240.0, 0.8))
    )
    chunks = analysed(ScriptedAnalyser(left, right))
    assert [chunk.count for chunk in chunks] == [50, 50, 30]
    tracker = Tracker(MEASURED)
    tracked = list(through_files(tracker.track(through_files(chunks, FaceChunk, tmp_path)), LinkedChunk, tmp_path))
    assert [np.flatnonzero(chunk.cut).tolist() for chunk in tracked] == [[], [], [CUT - 100]]
    clip = tracker.tracks()
    selector = Selector(FaceSelectorOptions(face_selector_order='right-left'), clip)
    selections = list(through_files(map(selector.select, tracked), Selection, tmp_path))
    linked = [chunk.select(selection) for chunk, selection in zip(tracked, selections, strict=True)]

    faces = {frame: faces_of(linked[frame // 50], frame) for frame in range(BORDERS[-1])}
    stays = [
        (side, expected_stay(actor, side, [runs[k] for k in stay]))
        for side, actor, runs, of_runs in ((0, left, LEFT_RUNS, LEFT_STAYS), (1, right, RIGHT_RUNS, RIGHT_STAYS))
        for stay in of_runs
    ]
    assert sum(map(len, faces.values())) == sum(len(rows) for _, (rows, _) in stays)
    tracks = []
    for side, (rows, build) in stays:
        of_stay = [next(face for face in faces[frame] if side_of(face.landmarks) == side) for frame in rows]
        for face, (landmarks, mean, most, filled) in zip(of_stay, rows.values(), strict=True):
            assert face.values.keys() == {'glow', 'state', 'build'} and face.landmarks.shape == (points, 3)
            np.testing.assert_allclose(face.landmarks, landmarks, atol=1e-3)
            np.testing.assert_allclose(face.values['glow'], mean, atol=1e-3)
            assert face.values['glow'].dtype == np.float16 and face.values['state'].dtype == np.int32
            assert (face.values['state'], face.is_filled) == (most, filled)
            np.testing.assert_allclose(face.values['build'], build, rtol=1e-5)
        (track,) = {face.track for face in of_stay}
        tracks.append(track)
        np.testing.assert_allclose(clip.values[track]['build'], build, rtol=1e-5)
        assert clip.values[track]['build'].dtype == np.float64
    assert sorted(tracks) == list(range(5)) == sorted(clip.values) and clip.count == 5
    # In frames with both faces, the right one is first.
    assert all(face[0].landmarks[:, 0].mean() > 160 for face in faces.values() if len(face) == 2)
    assert {frame for frame, found in faces.items() for face in found if face.is_filled} == {20, 21, 47, 48, 49}


ONE, OTHER = Person(100, 100, 30), Person(300, 120, 50)


def with_tracks(chunk: FaceChunk, builds: list[list[float]], weights: list[float]) -> FaceChunk:
    values = {'glow': np.zeros((len(chunk.frame), 2), np.float32), 'state': np.zeros(len(chunk.frame), np.int16)}
    of_tracks = {'build': np.array(builds, np.float64), 'unasked': np.zeros(len(builds))}
    return replace(
        chunk,
        values=values,
        of_tracks=of_tracks,
        track_weights={name: np.array(weights, np.float32) for name in of_tracks},
    )


def test_the_weight_of_a_track_in_a_chunk_is_that_of_its_views():
    """Track numbers are local to a chunk, and here they change between the chunks."""
    rows = [[(frame, k, who) for frame in frames for k, who in enumerate(people)] for frames, people in (
        (range(10), (ONE, OTHER)), (range(10, 20), (OTHER, ONE)), (range(20, 30), (OTHER,)))]  # fmt: skip
    tracker = Tracker(MEASURED)
    list(
        tracker.track(
            [
                with_tracks(make_chunk(0, 10, rows[0]), [[1, 10], [7, 7]], [1, 0]),
                with_tracks(make_chunk(10, 10, rows[1]), [[9, 9], [4, 20]], [0, 3]),
                # Track 1 has no rows in this chunk, because its first face is in a later chunk.
                with_tracks(make_chunk(20, 10, rows[2]), [[5, 5], [6, 6]], [0, 2]),
            ]
        )
    )
    clip = tracker.tracks()
    assert clip.count == 2 and clip.values.keys() == {0} and clip.values[0].keys() == {'build'}
    np.testing.assert_allclose(clip.values[0]['build'], [3.25, 17.5])


def test_measurements_of_a_track_keep_no_chunk_in_memory():
    tracker = Tracker(MEASURED)
    chunk = with_tracks(make_chunk(0, 10, [(frame, 0, ONE) for frame in range(10)]), [[1, 10]] * 50, [1] * 50)
    list(tracker.track([chunk]))
    found = tracker.tracks().values[0]['build']
    assert found.base is None or found.base.size <= 2
    assert all(not np.shares_memory(found, each) for each in chunk.of_tracks.values())
    (parts,) = tracker._measured._parts.values()
    kept = [value for pairs in parts.values() for _, value in pairs]
    assert kept and all(not np.shares_memory(value, chunk.of_tracks['build']) for value in kept)
