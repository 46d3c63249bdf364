"""Tests of the first step of link: tracks, gaps and smoothing."""

from __future__ import annotations

import itertools
import weakref
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from fakes.face_chunks import Person, cut_up, make_chunk, runs_of
from fakes.linking import NOTHING, SKIN_ALONE, joined
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.skin import TRAIT_COUNT
from facefusion.faces.topology import INNER_LIPS, OUTER_LIPS
from facefusion.pipeline.tracking import LARGEST_GAP, Tracker

ONE = Person(100, 100, 30)
OTHER = Person(300, 120, 50, 0.8)


def track(chunks, measurements=SKIN_ALONE):
    return list(Tracker(measurements).track(chunks))


def cut_frames(tracked) -> set[int]:
    return {chunk.first + at for chunk in tracked for at in np.flatnonzero(chunk.cut).tolist()}


def direct(person: Person, frames: set[int], cuts: set[int]):
    """Return the expected (landmarks, light, visibility, traits, filled, first frame of the stay) by frame."""
    result = {}
    segments = list(runs_of(frames, cuts))
    people: list[list[list[int]]] = []
    for run in segments:
        last = people[-1][-1][-1] if people else None
        is_near = last is not None and run[0] - last - 1 <= 3 and not any(last < cut <= run[0] for cut in cuts)
        people[-1].append(run) if is_near else people.append([run])
    for runs in people:
        values = {frame: row_of(person, frame) for run in runs for frame in run}
        for before, after in itertools.pairwise(runs):
            for frame in range(before[-1] + 1, after[0]):
                share = np.float32((frame - before[-1]) / (after[0] - before[-1]))
                a, b = values[before[-1]], values[after[0]]
                exact = [x + (y.astype(np.float32) - x) * share for x, y in zip(a, b, strict=True)]
                values[frame] = [
                    (np.rint(value) if x.dtype == np.uint8 else value).astype(x.dtype)
                    for x, value in zip(a, exact, strict=True)
                ]
        low, high = min(values), max(values)
        for frame in values:
            result[frame] = (*smooth_at(values, frame, low, high), frame not in frames, low)
    return result


def row_of(person: Person, frame: int):
    return [person.landmarks(frame), person.light(frame), person.free(frame), person.traits(frame)]


def parabola_weights(reach: int) -> np.ndarray:
    """Return the weights of a Savitzky-Golay filter of order 2 by their closed form."""
    if reach == 0:
        return np.ones(1, np.float32)
    m = reach
    i = np.arange(-m, m + 1)
    return (3 * (3 * m * m + 3 * m - 1 - 5 * i * i) / ((2 * m + 3) * (2 * m + 1) * (2 * m - 1))).astype(np.float32)


def smooth_at(values, frame, low, high):
    room = min(frame - low, high - frame)

    def mean(part, reach, convert=lambda value: value):
        width = min(room, reach)
        total = sum(
            (reach + 1 - abs(s)) * convert(values[frame + s][part]).astype(np.float64) for s in range(-width, width + 1)
        )
        return total / sum(reach + 1 - abs(s) for s in range(-width, width + 1))

    def parabola(reach):
        width = min(room, reach)
        weights = parabola_weights(width)
        return sum(weights[s + width] * values[frame + s][0].astype(np.float64) for s in range(-width, width + 1))

    landmarks = parabola(3)
    lips = [*OUTER_LIPS, *INNER_LIPS] if len(landmarks) == 468 else range(48, 68)
    landmarks[lips] = parabola(2)[lips]
    # The last three traits are those of the eyes, which blink, and of the mouth.
    traits = np.concatenate([mean(3, 12)[:-3], mean(3, 3)[-3:]])
    light, own = mean(1, 3, pooled), pooled(values[frame][1])
    both = (own[..., 3] > 0.3) & (light[..., 3] > 0.3)
    # The smoothed light is scaled to the brightness of the frame.
    shown, smooth = (part[both, 0] / part[both, 3] + 1 for part in (own, light))
    light[..., :3] *= np.median(shown / smooth)
    return landmarks, light, np.round(mean(2, 2)), traits


def pooled(packed):
    weight = packed[..., 3:].astype(np.float64) / 255
    return np.concatenate([(packed[..., :3] - np.array([0.0, 128, 128])) * weight, weight], -1)


@st.composite
def clips(draw):
    """Draw the chunk borders of a clip, the frames with each of two people, and the cuts."""
    start = draw(st.integers(0, 40))
    borders = [start]
    for _ in range(draw(st.integers(1, 3))):
        borders.append((borders[-1] // 30 + 1) * 30)
    borders.append(borders[-1] + draw(st.integers(1, 30)))
    people = []
    points = draw(st.sampled_from([468, 68]))
    for person in (replace(ONE, points=points), replace(OTHER, points=points)):
        holes = draw(st.lists(st.tuples(st.integers(borders[0], borders[-1]), st.integers(1, 5)), max_size=4))
        missing = {frame for at, length in holes for frame in range(at, at + length)}
        people.append((person, set(range(borders[0], borders[-1])) - missing))
    cuts = (
        draw(st.sets(st.integers(borders[0] + 1, borders[-1] - 1), max_size=2))
        if borders[-1] - borders[0] > 2
        else set()
    )
    return borders, people, cuts


@given(clips())
@settings(max_examples=25, deadline=None)
def test_tracking_in_chunks_equals_tracking_the_whole_clip(clip):
    borders, people, cuts = clip
    tracked = track(cut_up(borders, people, cuts))
    found = joined(tracked)
    assert cut_frames(tracked) == cuts and [len(chunk.cut) for chunk in tracked] == np.diff(borders).tolist()
    expected = {(frame, who.x): row for who, frames in people for frame, row in direct(who, frames, cuts).items()}
    assert len(found['frame']) == len(expected)
    tracks = defaultdict(set)
    for k, frame in enumerate(found['frame'].tolist()):
        who = min((ONE, OTHER), key=lambda who: abs(found['landmarks'][k, :, 0].mean() - who.x))
        landmarks, light, free, traits, filled, began = expected.pop((frame, who.x))
        np.testing.assert_allclose(found['landmarks'][k], landmarks, atol=1e-3)
        np.testing.assert_allclose(found['light'][k].astype(float), light, rtol=6e-3, atol=0.05)
        assert np.abs(found['free'][k] - free).max() <= 1
        np.testing.assert_allclose(found['traits'][k], traits, atol=1e-5)
        assert bool(found['filled'][k]) == filled
        tracks[who.x, began].add(int(found['track'][k]))
    assert not expected
    # Each stay of a person has one unique number.
    numbers = [number for group in tracks.values() for number in group]
    assert len(numbers) == len(set(numbers)) == len(tracks)


def test_the_chunk_length_changes_no_bit():
    people = [(ONE, set(range(37, 1010)) - {250, 251, 499, 500, 501, 750}), (OTHER, set(range(200, 777)))]
    whole = joined(track(cut_up([37, 1010], people)))
    for borders in ([37, 250, 500, 750, 1000, 1010], [37, 40, 500, 999, 1010]):
        parts = joined(track(cut_up(borders, people)))
        for name, values in whole.items():
            np.testing.assert_array_equal(parts[name], values, err_msg=name)


def test_chunks_keep_their_order_with_rows_by_frame_and_track():
    borders = [10, 250, 500, 501]
    tracked = track(cut_up(borders, [(ONE, set(range(10, 501))), (OTHER, {249, 250, 251})]))
    assert [(chunk.first, chunk.count) for chunk in tracked] == [(10, 240), (250, 250), (500, 1)]
    for chunk in tracked:
        assert (np.diff(10 * chunk.frame + chunk.track) > 0).all()
        assert chunk.frame[0] == chunk.first and chunk.frame[-1] == chunk.first + chunk.count - 1


def test_a_chunk_is_yielded_after_the_next_one_is_read():
    read = []

    def chunks():
        for chunk in cut_up([0, 50, 100, 150], [(ONE, set(range(150)))]):
            read.append(chunk.first)
            yield chunk

    tracked = Tracker(SKIN_ALONE).track(chunks())
    next(tracked)
    assert read == [0, 50]


@pytest.mark.parametrize('hole', [1, 2, 3, 4, 9])
@pytest.mark.parametrize('at', [20, 48, 49, 50])
def test_only_short_gaps_are_filled_and_marked(hole, at):
    missing = set(range(at, at + hole))
    found = joined(track(cut_up([0, 50, 100], [(ONE, set(range(100)) - missing)])))
    filled = set(found['frame'][found['filled']].tolist())
    if hole <= LARGEST_GAP == 3:
        assert filled == missing
        assert set(found['track'].tolist()) == {0}
        assert np.abs(found['landmarks'][at] - ONE.landmarks(at)).max() < 3
    else:
        assert not filled and not missing & set(found['frame'].tolist())
        assert set(found['track'].tolist()) == {0, 1}


@pytest.mark.parametrize('cut', [30, 50])
@pytest.mark.parametrize('hole', [0, 2])
def test_nothing_crosses_a_cut(cut, hole):
    """Tracks, gap filling and smoothing after the cut do not depend on the shot before it."""
    frames = set(range(100)) - set(range(cut - hole, cut))
    after = {frame for frame in frames if frame >= cut}
    both = joined(track(cut_up([0, 50, 100], [(ONE, frames)], cuts=[cut])))
    alone = joined(track(cut_up([0, 50, 100], [(ONE, after)], cuts=[cut])))
    assert not both['filled'].any()
    is_after = both['frame'] >= cut
    assert set(both['track'][is_after]).isdisjoint(both['track'][~is_after])
    for name in ('landmarks', 'light', 'free', 'traits'):
        np.testing.assert_array_equal(both[name][is_after], alone[name])


@pytest.mark.parametrize(('shift', 'is_same'), [(0, True), (15, True), (40, False), (60, False), (200, False)])
def test_a_track_continues_at_its_position(shift, is_same):
    """Boxes are about 70 pixels wide here, so a shift of 15 leaves an overlap of 0.6 and a shift of 40 leaves 0.2."""
    moved = Person(ONE.x + shift, ONE.y, ONE.size)
    chunks = [
        make_chunk(0, 20, [(k, 0, ONE) for k in range(20)]),
        make_chunk(20, 20, [(k, 0, moved) for k in range(20, 40)]),
    ]
    found = joined(track(chunks))
    before, after = set(found['track'][found['frame'] < 20]), set(found['track'][found['frame'] >= 20])
    assert len(before) == len(after) == 1 and (before == after) == is_same


@pytest.mark.parametrize('is_near_first', [True, False])
def test_of_two_tracks_that_end_nearby_the_closer_one_continues(is_near_first):
    near, far, again = Person(100, 100, 30), Person(112, 100, 30), Person(101, 100, 30)
    order = (near, far) if is_near_first else (far, near)
    chunks = [
        make_chunk(0, 20, [(k, track, who) for k in range(20) for track, who in enumerate(order)]),
        make_chunk(20, 20, [(k, 0, again) for k in range(20, 40)]),
    ]
    found = joined(track(chunks))
    assert set(found['track'][found['frame'] >= 25].tolist()) == {0 if is_near_first else 1}


def test_only_requested_measurements_of_a_chunk_are_linked():
    """Chunks of other runs may contain more measurements."""
    (chunk,) = track(cut_up([0, 50], [(ONE, set(range(50)) - {20})]), NOTHING)
    assert chunk.values == {} and len(chunk.frame) == 50


def test_skipped_detections_stay_with_their_chunk():
    first, second = cut_up([0, 20, 40], [(ONE, set(range(40)))])
    first = replace(first, left_out=np.arange(20, dtype=np.int32))
    found = track([first, second])
    assert found[0].left_out.tolist() == list(range(20)) and len(found[1].left_out) == 0


@pytest.mark.parametrize('cuts', [set(), {30}, {50}, {1, 49, 50, 51, 99}])
def test_cuts_are_reported_in_their_chunk(cuts):
    """This includes a cut exactly between two chunks, which neither chunk contains."""
    tracked = track(cut_up([0, 50, 100], [(ONE, set(range(100)))], cuts))
    assert [np.flatnonzero(chunk.cut).tolist() for chunk in tracked] == [
        sorted(cut - first for cut in cuts if first <= cut < first + 50) for first in (0, 50)
    ]
    assert all(chunk.cut.dtype == np.bool_ and len(chunk.cut) == chunk.count for chunk in tracked)


def test_unmeasured_skin_stays_unmeasured():
    found = joined(track(cut_up([0, 50, 100], [(ONE, set(range(100)) - {20, 50})], skin=False), NOTHING))
    assert len(found['frame']) == 100 and found['filled'].sum() == 2
    assert not found.keys() & {'light', 'free', 'traits'}


def test_a_clip_without_faces_has_empty_chunks():
    tracked = track(cut_up([0, 50, 100], [], cuts=[70]))
    assert [len(chunk.frame) for chunk in tracked] == [0, 0] and cut_frames(tracked) == {70}
    assert tracked[0].landmarks.shape == (0, 468, 3) and track([]) == []
    assert {name: value.shape for name, value in tracked[0].values.items()} == {
        'light': (0, 32, 32, 4),
        'free': (0, 64, 64),
        'traits': (0, TRAIT_COUNT),
    }


def test_a_tracker_never_stores_the_whole_clip():
    """The tracker stores the rows, arrays and cuts of at most two chunks for a clip of any length."""
    alive: list[weakref.ref] = []
    most_waiting = most_arrays = most_rows = most_cuts = 0

    class Watched(np.ndarray):
        """An array that supports weak references; the rows are views of it."""

    def count() -> int:
        return sum(ref() is not None for ref in alive)

    def chunks():
        nonlocal most_waiting
        everywhere = set(range(1000))
        for chunk in cut_up(list(range(0, 1001, 50)), [(ONE, everywhere), (OTHER, everywhere)], range(20, 1000, 40)):
            most_waiting = max(most_waiting, count())
            landmarks, traits = chunk.landmarks.view(Watched), chunk.values['traits'].view(Watched)
            alive.extend([weakref.ref(landmarks), weakref.ref(traits)])
            yield replace(chunk, landmarks=landmarks, values={**chunk.values, 'traits': traits})

    tracker = Tracker(SKIN_ALONE)
    given_out = 0
    for _ in tracker.track(chunks()):
        given_out += 1
        most_rows = max(most_rows, sum(len(rows) for rows in tracker._rows.values()))
        most_cuts = max(most_cuts, len(tracker._cuts))
        most_arrays = max(most_arrays, count())
    assert given_out == len(alive) // 2 == 20
    assert most_rows <= 2 * (2 * 50)
    # Two arrays of each chunk are watched. When a chunk is read, only those of the previous chunk are alive.
    assert most_waiting == 2 * 1 and most_arrays <= 2 * 2
    assert most_cuts <= 2
