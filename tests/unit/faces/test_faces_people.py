"""Tests of the people of a target: clusters of tracks, doubts, and numbers."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.attributes import ATTRIBUTES
from facefusion.faces.clip_tracks import ClipTracks, TrackFacts
from facefusion.faces.identity import identity_name
from facefusion.faces.options import ARCFACE, DLIB
from facefusion.faces.people import DISTANCES, DoubtfulMerge, find_people, people_of_image
from facefusion.faces.person_clusters import overlap, united
from facefusion.faces.recognisers import KINDS

KIND = KINDS[DLIB]
NAME = identity_name(DLIB)
LIMITS = DISTANCES[DLIB]


def at_distance(own: np.ndarray, distance: float, axis: int) -> np.ndarray:
    """Return an embedding at a distance from ``own``, which is 0 at ``axis``."""
    cosine = KIND.cosine(distance)
    other = np.eye(1, KIND.length, axis, np.float32)[0]
    return (cosine * own + np.sqrt(1 - cosine**2) * other).astype(np.float32)


def person(number: int) -> np.ndarray:
    """Return the embedding of a person; different people have the distance 0.5."""
    # A common part, as the embeddings of dlib have one, and a part of the person's own.
    common = np.eye(1, KIND.length, KIND.length - 1, np.float32)[0]
    share = np.sqrt(KIND.cosine(0.5))
    return (share * common + np.sqrt(1 - share**2) * np.eye(1, KIND.length, number, np.float32)[0]).astype(np.float32)


def clip(*rows: tuple[int, int, np.ndarray | None], sizes=None, lefts=None, votes=None) -> ClipTracks:
    """Return tracks of (first frame, number of frames, embedding or None)."""
    count = len(rows)
    facts = TrackFacts(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array(sizes or [100] * count, np.float32),
        np.array(lefts or [10] * count, np.float32),
    )
    values = {track: {NAME: row[2]} for track, row in enumerate(rows) if row[2] is not None}
    for track, vote in enumerate(votes or ()):
        values.setdefault(track, {})[ATTRIBUTES.name] = np.array(vote, np.float32)
    return ClipTracks(count, (), values, facts)


def groups(people) -> list[tuple[int, ...]]:
    return [each.tracks for each in people.persons]


def test_tracks_of_one_person_are_joined_over_the_clip():
    one, other = person(0), person(1)
    again, other_again = at_distance(one, 0.1, 7), at_distance(other, 0.1, 8)
    tracks = clip((0, 10, one), (20, 10, other), (40, 10, again), (60, 30, other_again))
    people = find_people(tracks, KIND)
    assert groups(people) == [(1, 3), (0, 2)] and people.doubtful == ()
    assert people.of_track == {0: 1, 1: 0, 2: 1, 3: 0}
    assert [(each.number, each.frames, each.first) for each in people.persons] == [(0, 40, 20), (1, 20, 0)]
    expected = other_again * 30 + other * 10
    np.testing.assert_allclose(people.persons[0].embedding, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize(('distance', 'is_same'), [(LIMITS.same - 0.01, True), (LIMITS.same + 0.01, False)])
def test_the_distance_decides_about_one_person(distance, is_same):
    one = person(0)
    people = find_people(clip((0, 10, one), (20, 10, at_distance(one, distance, 7))), KIND)
    assert len(people.persons) == (1 if is_same else 2)


@pytest.mark.parametrize('distance', [LIMITS.sure - 0.02, LIMITS.sure + 0.02])
def test_merges_near_the_threshold_are_doubtful(distance):
    one = person(0)
    people = find_people(clip((5, 20, person(3)), (0, 10, at_distance(one, distance, 7)), (40, 10, one)), KIND)
    assert groups(people) == [(0,), (1, 2)] or groups(people) == [(1, 2), (0,)]
    if distance < LIMITS.sure:
        assert people.doubtful == ()
    else:
        (doubt,) = people.doubtful
        assert (doubt.person, doubt.tracks, doubt.reason) == (people.of_track[1], (1, 2), 'similar')
        assert doubt.distance == pytest.approx(distance, abs=1e-3)


@pytest.mark.parametrize('second', [(0, 10), (9, 5), (4, 2)])
def test_people_visible_together_are_two_unless_nearly_identical(second):
    one = person(0)
    similar = at_distance(one, (LIMITS.identical + LIMITS.same) / 2, 7)
    same = at_distance(one, LIMITS.identical - 0.02, 7)
    assert groups(find_people(clip((0, 10, one), (*second, similar)), KIND)) == [(0,), (1,)]
    people = find_people(clip((0, 10, one), (*second, same)), KIND)
    assert groups(people) == [(0, 1)]
    (doubt,) = people.doubtful
    assert doubt == DoubtfulMerge(0, (0, 1), doubt.distance, 'together') and doubt.distance < LIMITS.identical
    # Frames with both are counted once.
    assert people.persons[0].frames == max(10, second[0] + second[1])


def test_tracks_that_follow_each_other_are_not_together():
    one = person(0)
    similar = at_distance(one, 0.2, 7)
    assert groups(find_people(clip((0, 10, one), (10, 5, similar)), KIND)) == [(0, 1)]


def test_two_people_of_one_frame_are_never_joined_through_a_third_track():
    one = person(0)
    left, right = at_distance(one, 0.14, 7), at_distance(one, 0.14, 8)
    people = find_people(clip((0, 30, left), (10, 30, right), (60, 20, one)), KIND)
    assert people.of_track[0] != people.of_track[1] and len(people.persons) == 2


def test_numbers_follow_frames_then_size_then_first_frame_then_position():
    rows = [(50, 10, None), (0, 10, None), (0, 20, None), (0, 10, None), (0, 10, None)]
    tracks = clip(*rows, sizes=[100, 100, 20, 300, 100], lefts=[5, 90, 5, 5, 10])
    expected = [(2,), (3,), (4,), (1,), (0,)]
    for find in (find_people, people_of_image):
        for kind in (None, KIND):
            people = find(tracks, kind)
            assert groups(people) == expected and people.doubtful == ()
            assert [people.of_track[track] for track in range(5)] == [4, 3, 0, 1, 2]
            assert all(each.embedding is None for each in people.persons)


def test_without_a_recogniser_every_track_is_a_person():
    tracks = clip((0, 10, person(0)), (20, 10, person(0)))
    assert groups(find_people(tracks, None)) == [(0,), (1,)]
    assert groups(find_people(tracks, KINDS[ARCFACE])) == [(0,), (1,)]


def test_unmeasured_tracks_are_people_of_their_own():
    people = find_people(clip((0, 10, person(0)), (20, 30, None), (60, 10, person(0))), KIND)
    assert groups(people) == [(1,), (0, 2)]
    assert people.persons[0].embedding is None and people.persons[1].embedding is not None


def test_equal_faces_of_an_image_are_different_people():
    people = people_of_image(clip((0, 1, person(0)), (0, 1, person(0)), sizes=[10, 20]), KIND)
    assert groups(people) == [(1,), (0,)]
    np.testing.assert_allclose(people.persons[0].embedding, person(0), atol=1e-6)


def test_votes_of_a_person_are_added():
    vote = np.eye(11)
    rows = [(0, 10, person(0)), (20, 10, person(0)), (40, 5, person(1))]
    tracks = clip(*rows, votes=[vote[0] + vote[5], vote[0] + vote[6]])
    people = find_people(tracks, KIND)
    assert people.persons[0].attributes.tolist() == (2 * vote[0] + vote[5] + vote[6]).tolist()
    assert people.persons[1].attributes is None


def test_no_tracks_no_people():
    people = find_people(ClipTracks(0), KIND)
    assert people.persons == () and people.of_track == {}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_the_people_do_not_depend_on_the_numbers_of_the_tracks(seed):
    random = np.random.default_rng(seed)
    rows = []
    for k in range(12):
        own = person(int(random.integers(3)))
        rows.append((40 * k, 10 + k, at_distance(own, float(random.uniform(0.05, 0.15)), 20 + k)))
    order = random.permutation(12).tolist()
    one, other = find_people(clip(*rows), KIND), find_people(clip(*[rows[k] for k in order]), KIND)
    assert [tuple(sorted(order[track] for track in each)) for each in groups(other)] == groups(one)
    assert groups(find_people(clip(*rows), KIND)) == groups(one)


def many(count: int, number_of_people: int, shot: int) -> tuple[ClipTracks, np.ndarray]:
    """Return tracks of a clip with this many people, ``shot`` of them in each shot, and the person of each track."""
    random = np.random.default_rng(count)
    base = random.normal(size=(number_of_people, KIND.length)) + 2.4 * random.normal(size=KIND.length)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    # Each shot shows different people.
    labels = np.arange(count) % number_of_people
    faces = base[labels] + random.normal(size=(count, KIND.length)) * 0.012
    faces = (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32)
    first = (np.arange(count) // shot * 25).tolist()
    return clip(*((first[k], 25, faces[k]) for k in range(count))), labels


@pytest.mark.parametrize(('count', 'number_of_people', 'shot'), [(10_000, 200, 3), (200, 200, 200)])
def test_many_tracks_take_seconds(count, number_of_people, shot):
    tracks, labels = many(count, number_of_people, shot)
    start = time.process_time()
    people = find_people(tracks, KIND)
    assert time.process_time() - start < 20
    assert len(people.persons) == number_of_people
    assert all(len(set(labels[list(each)].tolist())) == 1 for each in groups(people))


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), min_size=1, max_size=6)


def disjoint(drawn) -> np.ndarray:
    frames = sorted({frame for first, length in drawn for frame in range(first, first + length)})
    starts = [frame for frame in frames if frame - 1 not in frames]
    stops = [frame + 1 for frame in frames if frame + 1 not in frames]
    return np.array(list(zip(starts, stops, strict=True)), np.int64)


@given(spans, spans)
@settings(max_examples=100, deadline=None)
def test_ranges_of_frames_are_compared_and_united(one, other):
    a, b = disjoint(one), disjoint(other)
    frames = [set(itertools.chain.from_iterable(range(*row) for row in each.tolist())) for each in (a, b)]
    assert overlap(a, b) == bool(frames[0] & frames[1])
    joined = united(a, b)
    assert set(itertools.chain.from_iterable(range(*row) for row in joined.tolist())) == frames[0] | frames[1]
    assert (joined[1:, 0] > joined[:-1, 1]).all()
