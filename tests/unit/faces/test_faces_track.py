from __future__ import annotations

import numpy as np
import pytest
from fakes.scripted_analyser import NUMBERING, Actor, ScriptedAnalyser, frame_at
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.best_views import Ranking
from facefusion.faces.measurement_types import Measurements, Meters, TrackMeasurement
from facefusion.faces.track import INTERVAL, ChunkTracker, still_chunk

NO_METERS = Meters()


def frames(start: int, stop: int) -> frozenset[int]:
    return frozenset(range(start, stop))


def analyse(analyser, first, stop, *, after: bool = True, meters=NO_METERS, shot=lambda number: 90):
    tracker = ChunkTracker(analyser, meters)
    for number in range(first, stop):
        tracker.add(frame_at(number, shot(number)))
    return tracker.finish(frame_at(stop, shot(stop)) if after else None)


def tracks_of(chunk) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for frame, track in zip(chunk.frame.tolist(), chunk.track.tolist(), strict=True):
        found.setdefault(track, []).append(frame)
    return found


def by_place(chunk, x: float) -> np.ndarray:
    """Return which rows of a chunk have their centre within a pixel of ``x``."""
    return abs(chunk.landmarks[:, :, 0].mean(1) - x) < 1


def test_detection_runs_on_the_absolute_grid_and_at_both_ends():
    analyser = ScriptedAnalyser(Actor(frames(0, 200)))
    chunk = analyse(analyser, 23, 65)
    assert analyser.detections == [23, 30, 40, 50, 60, 65]
    assert tracks_of(chunk) == {0: list(range(23, 65))}
    assert (chunk.first, chunk.count) == (23, 42)


def test_no_detection_after_the_end_of_the_clip():
    analyser = ScriptedAnalyser()
    assert len(analyse(analyser, 0, 25, after=False).frame) == 0
    assert analyser.detections == [0, 10, 20]


def test_only_the_mesh_runs_between_detections():
    analyser = ScriptedAnalyser(Actor(frames(0, 100)))
    analyse(analyser, 0, 40, after=False)
    assert analyser.looks == list(range(1, 40))


def test_cut_runs_the_detector_and_starts_new_tracks():
    analyser = ScriptedAnalyser(Actor(frames(0, 100)))
    chunk = analyse(analyser, 0, 40, after=False, shot=lambda number: 60 if number < 17 else 120)
    assert analyser.detections == [0, 10, 17, 20, 30]
    assert np.flatnonzero(chunk.cut).tolist() == [17]
    assert tracks_of(chunk) == {0: list(range(17)), 1: list(range(17, 40))}


def test_face_is_not_followed_back_across_a_cut():
    for detected_from in (17, 20):
        analyser = ScriptedAnalyser(Actor(frames(0, 100), detected=frames(detected_from, 100)))
        chunk = analyse(analyser, 0, 40, after=False, shot=lambda number: 60 if number < 17 else 120)
        assert tracks_of(chunk) == {0: list(range(17, 40))}


def test_following_backwards_ends_at_another_track():
    still = Actor(frames(0, 60), score=0.9)
    # This face moves out from behind the other one and is detected only afterwards.
    leaving = Actor(frames(0, 60), detected=frames(20, 60), place=lambda frame: (100.0 + 4 * max(0, frame - 9), 90.0))
    chunk = analyse(ScriptedAnalyser(still, leaving), 0, 60, after=False)
    assert chunk.frame[by_place(chunk, 100)].tolist() == list(range(60))
    # At frame 14 the faces are twenty pixels apart; nearer faces count as one face.
    moved = chunk.frame[~by_place(chunk, 100)]
    assert 12 <= moved[0] <= 15 and moved.tolist() == list(range(moved[0], 60))
    assert chunk.frame[chunk.track == 1][0] == moved[0]


def test_loss_runs_the_detector_and_ends_the_track():
    analyser = ScriptedAnalyser(Actor(frames(0, 25) | frames(27, 50)))
    chunk = analyse(analyser, 0, 50, after=False)
    assert analyser.detections == [0, 10, 20, 25, 30, 40]
    assert tracks_of(chunk) == {0: list(range(25)), 1: list(range(27, 50))}


def test_jumping_face_that_is_detected_keeps_its_track():
    analyser = ScriptedAnalyser(Actor(frames(0, 50), place=lambda frame: (100.0 if frame < 25 else 120.0, 90.0)))
    chunk = analyse(analyser, 0, 50, after=False)
    assert 25 in analyser.detections
    assert tracks_of(chunk) == {0: list(range(50))}


def test_face_that_jumps_far_starts_a_track():
    analyser = ScriptedAnalyser(Actor(frames(0, 50), place=lambda frame: (100.0 if frame < 25 else 200.0, 90.0)))
    assert tracks_of(analyse(analyser, 0, 50, after=False)) == {0: list(range(25)), 1: list(range(25, 50))}


@pytest.mark.parametrize('appears', range(11, 21))
def test_new_face_is_followed_back_to_its_first_frame(appears):
    analyser = ScriptedAnalyser(Actor(frames(appears, 100)))
    assert tracks_of(analyse(analyser, 0, 40, after=False)) == {0: list(range(appears, 40))}


def test_new_face_is_followed_back_to_the_previous_detection():
    analyser = ScriptedAnalyser(Actor(frames(0, 100), detected=frames(20, 100)))
    assert tracks_of(analyse(analyser, 0, 40, after=False)) == {0: list(range(10, 40))}


def test_face_that_appears_after_the_chunk_is_followed_back_into_it():
    analyser = ScriptedAnalyser(Actor(frames(32, 100), detected=frames(37, 100)))
    chunk = analyse(analyser, 0, 37)
    assert analyser.detections[-1] == 37
    assert tracks_of(chunk) == {0: list(range(32, 37))}


def test_face_known_at_the_end_of_the_chunk_starts_no_track():
    chunk = analyse(ScriptedAnalyser(Actor(frames(0, 100))), 0, 37)
    assert tracks_of(chunk) == {0: list(range(37))}


def test_no_detection_after_a_cut_at_the_end_of_the_chunk():
    analyser = ScriptedAnalyser(Actor(frames(32, 100), detected=frames(37, 100)))
    chunk = analyse(analyser, 0, 37, shot=lambda number: 60 if number < 37 else 120)
    assert 37 not in analyser.detections and len(chunk.frame) == 0
    assert (chunk.thumbnails == chunk.thumbnails[0]).all()


def test_several_faces_have_separate_tracks():
    left = Actor(frames(0, 60), place=lambda frame: (70.0, 90.0))
    right = Actor(frames(15, 45), place=lambda frame: (230.0, 90.0), score=0.8)
    chunk = analyse(ScriptedAnalyser(left, right), 0, 60, after=False, meters=NUMBERING)
    assert tracks_of(chunk) == {0: list(range(60)), 1: list(range(15, 45))}
    assert chunk.score[chunk.track == 1] == pytest.approx(0.8)
    # The rows of every array are sorted by frame, then by track.
    assert (np.diff(chunk.frame * 10 + chunk.track) > 0).all()
    np.testing.assert_array_equal(chunk.values['traits'][:, 0], chunk.frame)
    np.testing.assert_allclose(chunk.values['traits'][:, 1], chunk.landmarks[:, :, 0].mean(1), rtol=1e-5)


def test_tracks_on_the_same_face_merge():
    still = Actor(frames(0, 60))
    coming = Actor(frames(0, 60), place=lambda frame: (max(100.0, 190.0 - 4 * frame), 90.0), score=0.8)
    found = tracks_of(analyse(ScriptedAnalyser(still, coming), 0, 60, after=False))
    assert found[1][0] == 0 and 10 < found[1][-1] < 30
    # From the frame in which the two tracks become one, it is unknown which of the two faces is followed.
    end = found[1][-1] + 1
    assert len(found) == 3 and found[0] == list(range(end)) and found[2] == list(range(end, 60))


def test_second_detection_of_a_known_face_starts_no_track():
    analyser = ScriptedAnalyser(Actor(frames(0, 60)))
    # The second box is next to the face. The boxes hardly overlap, but the mesh moves onto the face.
    box = analyser.actors[0].box(0)
    analyser.ghosts = {number: box + np.array([35, 0, 35, 0], np.float32) for number in range(60)}
    assert tracks_of(analyse(analyser, 0, 60)) == {0: list(range(60))}


def test_track_without_detections_ends():
    analyser = ScriptedAnalyser(Actor(frames(0, 100), detected=frames(0, 5)))
    chunk = analyse(analyser, 0, 60, after=False)
    assert tracks_of(chunk) == {0: list(range(31))}


def test_detection_resets_the_missed_count():
    analyser = ScriptedAnalyser(Actor(frames(0, 100), detected=frozenset({0, 30})))
    assert tracks_of(analyse(analyser, 0, 56, after=False)) == {0: list(range(56))}


@given(st.sets(st.integers(0, 59)), st.integers(0, 25), st.integers(26, 59))
@settings(max_examples=40, deadline=None)
def test_faces_are_neither_invented_nor_duplicated(seen, first, stop):
    analyser = ScriptedAnalyser(Actor(frozenset(seen)), Actor(frozenset(range(60)), place=lambda frame: (250.0, 90.0)))
    chunk = analyse(analyser, first, stop)
    shown = [(frame, round(x)) for frame, x in zip(chunk.frame.tolist(), chunk.landmarks[:, :, 0].mean(1), strict=True)]
    assert len(shown) == len(set(shown))
    near = {frame for frame, x in shown if x < 200}
    assert near <= seen
    assert {frame for frame, x in shown if x > 200} == set(range(first, stop))
    # A face that is present in a frame with a detection must be found.
    assert {frame for frame in analyser.detections if frame in seen and frame < stop} <= near
    grid = {frame for frame in range(first, stop) if frame % INTERVAL == 0}
    assert grid | {first} <= set(analyser.detections)


def test_chunk_does_not_depend_on_the_previous_chunk():
    actor = Actor(frames(0, 200))
    late = analyse(ScriptedAnalyser(actor), 50, 100)
    again = analyse(ScriptedAnalyser(actor), 50, 100)
    np.testing.assert_array_equal(late.landmarks, again.landmarks)
    assert late.track.min() == 0


def test_no_values_without_meters():
    chunk = analyse(ScriptedAnalyser(Actor(frames(0, 9))), 0, 5)
    assert len(chunk.frame) == 5 and chunk.values == chunk.of_tracks == chunk.track_weights == {}


def test_image_is_a_chunk_of_one_frame():
    left, right = Actor(frames(0, 1)), Actor(frames(0, 1), place=lambda frame: (250.0, 90.0), score=0.7)
    chunk = still_chunk(frame_at(0), ScriptedAnalyser(left, right), NUMBERING)
    assert (chunk.first, chunk.count, chunk.frame.tolist(), chunk.track.tolist()) == (0, 1, [0, 0], [0, 1])
    assert (
        chunk.cut.tolist() == [False]
        and chunk.values['traits'][:, 0].tolist() == [0, 0]
        and len(chunk.values['light']) == 2
    )


def test_accelerating_face_is_followed_by_its_motion():
    """The face moves by up to 0.3 of its size per frame, too far for overlap, but its speed changes slowly."""
    actor = Actor(frames(0, 39), place=lambda frame: (40.0 + 0.65 * frame * frame / 4, 90.0))
    analyser = ScriptedAnalyser(actor)
    chunk = analyse(analyser, 0, 30, after=False)
    assert set(chunk.track.tolist()) == {0} and chunk.frame.tolist() == list(range(30))
    assert analyser.detections == [0, 10, 20]


def test_mesh_that_touches_a_detected_face_ends_at_once():
    real = Actor(frames(0, 40), place=lambda frame: (100.0, 90.0))
    slid = Actor(frames(0, 40), frames(0, 1), place=lambda frame: (170.0 - 4 * min(frame, 10), 90.0))
    chunk = analyse(ScriptedAnalyser(real, slid), 0, 40, after=False)
    assert chunk.frame[chunk.track == 1].max() == 10
    alone = Actor(frames(0, 40), frames(0, 1), place=lambda frame: (200.0, 90.0))
    chunk = analyse(ScriptedAnalyser(real, alone), 0, 40, after=False)
    assert chunk.frame[chunk.track == 1].max() == 30


def test_tracker_reports_appearing_faces():
    tracker = ChunkTracker(
        ScriptedAnalyser(Actor(frames(0, 60)), Actor(frames(17, 60), place=lambda number: (220.0, 90.0))), NO_METERS
    )
    appeared = {}
    for number in range(10, 30):
        tracker.add(frame_at(number))
        if tracker.appeared:
            appeared[number] = len(tracker.appeared)
    assert appeared == {10: 1, 20: 1}


def crowd(count: int, seen=range(60), **options) -> ScriptedAnalyser:
    """Return an analyser of a row of separate faces of one size."""
    places = [lambda frame, k=k: (30.0 + 65 * (k % 5), 40.0 + 70 * (k // 5)) for k in range(count)]
    return ScriptedAnalyser(*(Actor(frozenset(seen), place=place) for place in places), **options)


def test_faces_beyond_the_limit_are_counted():
    chunk = analyse(crowd(10, most=4), 0, 30, after=False)
    assert tracks_of(chunk) == {track: list(range(30)) for track in range(4)}
    assert chunk.left_out.tolist() == [6] * 30
    assert len(analyse(crowd(10), 0, 30, after=False).left_out) == 0


def test_new_face_of_the_same_size_replaces_none():
    analyser = crowd(4, most=4)
    analyser.actors += (Actor(frames(15, 60), place=lambda frame: (160.0, 120.0), score=0.99),)
    chunk = analyse(analyser, 0, 40, after=False)
    assert tracks_of(chunk) == {track: list(range(40)) for track in range(4)}
    assert chunk.left_out.tolist() == [0] * 20 + [1] * 20


def test_much_larger_new_face_replaces_the_smallest():
    analyser = crowd(4, most=4)
    analyser.actors += (Actor(frames(15, 60), place=lambda frame: (160.0, 125.0), size=40.0),)
    chunk = analyse(analyser, 0, 40, after=False)
    found = tracks_of(chunk)
    assert sorted(map(len, found.values())) == [20, 20, 40, 40, 40] and len(found) == 5
    # The face is not followed back into frames that already have the maximum number of faces.
    assert np.bincount(chunk.frame).max() == 4 and found[4] == list(range(20, 40))


def test_mesh_runs_only_on_detections_within_the_limit():
    analyser = crowd(10, most=3)
    looked = []
    inner = analyser.from_detection
    analyser.from_detection = lambda frame, detection: looked.append(frame.number) or inner(frame, detection)
    analyse(analyser, 0, 30, after=False)
    assert looked == [0, 0, 0]


def test_only_new_tracks_are_verified():
    analyser = ScriptedAnalyser(Actor(frames(0, 60)), Actor(frames(33, 60), place=lambda frame: (250.0, 90.0)))
    analyse(analyser, 0, 60)
    assert analyser.second_looks == [0, 40]
    # A face that jumps and is detected in the same frame keeps its track.
    analyser = ScriptedAnalyser(Actor(frames(0, 50), place=lambda frame: (100.0 if frame < 25 else 120.0, 90.0)))
    analyse(analyser, 0, 50)
    assert analyser.second_looks == [0]


def test_rejected_faces_are_not_followed():
    unsure = ScriptedAnalyser(Actor(frames(0, 60)), is_sure=lambda face: False)
    chunk = analyse(unsure, 0, 45)
    assert len(chunk.frame) == 0 and unsure.second_looks == [0, 10, 20, 30, 40, 45]
    assert unsure.looks == [] and len(chunk.left_out) == 0


def test_mirrored_neighbours_are_two_faces():
    left = Actor(frames(0, 60), place=lambda frame: (130.0, 90.0))
    right = Actor(frames(0, 60), place=lambda frame: (190.0, 90.0))
    assert tracks_of(analyse(ScriptedAnalyser(left, right), 0, 60)) == {0: list(range(60)), 1: list(range(60))}


def test_crossing_people_never_share_a_face():
    one = Actor(frames(0, 60), place=lambda frame: (60.0 + 3 * frame, 90.0))
    other = Actor(frames(0, 60), place=lambda frame: (240.0 - 3 * frame, 95.0), score=0.8)
    chunk = analyse(ScriptedAnalyser(one, other), 0, 60)
    for frame in range(60):
        rows = chunk.landmarks[chunk.frame == frame]
        middles = rows[:, :, 0].mean(1)
        assert len(rows) <= 2 and (len(rows) < 2 or abs(middles[0] - middles[1]) > 10)
    # Both faces are followed when they are separate.
    assert np.bincount(chunk.frame, minlength=60)[[0, 10, 50, 59]].tolist() == [2, 2, 2, 2]


def crossing(hides: bool = False) -> ScriptedAnalyser:
    """Return an analyser of two faces that pass each other in frame 30; ``hides``: exactly in front of the other."""
    aside = 0 if hides else 14
    one = Actor(frames(0, 60), place=lambda frame: (70.0 + 3 * frame, 90.0 - aside))
    other = Actor(frames(0, 60), place=lambda frame: (250.0 - 3 * frame, 90.0 + aside), score=0.8)
    return ScriptedAnalyser(one, other)


@pytest.mark.parametrize('hides', [False, True])
def test_faces_have_new_numbers_after_a_crossing(hides):
    chunk = analyse(crossing(hides), 0, 60, after=False)
    found = tracks_of(chunk)
    assert all(not (min(each) < 25 and max(each) > 40) for each in found.values())
    # No number serves two rows of a frame, and every face is still in the record.
    assert all(len(each) == len(set(each)) for each in found.values())
    assert np.bincount(chunk.frame, minlength=60)[[0, 15, 45, 59]].tolist() == [2, 2, 2, 2]


def test_numbers_do_not_change_without_a_crossing():
    near = Actor(frames(0, 60), place=lambda frame: (100.0 + frame / 4, 90.0))
    beside = Actor(frames(0, 60), place=lambda frame: (170.0 - frame / 4, 90.0), score=0.8)
    assert tracks_of(analyse(ScriptedAnalyser(near, beside), 0, 60)) == {0: list(range(60)), 1: list(range(60))}


def test_two_detections_never_continue_one_lost_track():
    """A face jumps by a third of its size, and another one appears at the same distance on the other side."""
    jumping = Actor(frames(0, 40), place=lambda frame: (100.0 if frame < 15 else 122.0, 90.0))
    new = Actor(frames(15, 40), place=lambda frame: (78.0, 90.0), score=0.8)
    analyser = ScriptedAnalyser(jumping, new)
    found = tracks_of(analyse(analyser, 0, 40, after=False))
    assert 15 in analyser.detections
    assert found == {0: list(range(40)), 1: list(range(15, 40))}


def test_face_that_is_found_again_after_a_crossing_has_a_new_number():
    """The mesh may have followed either face since the crossing, so the face that is found may be the other one."""
    still = Actor(frames(0, 60), place=lambda frame: (100.0 if frame < 45 else 122.0, 90.0))
    coming = Actor(frames(0, 30), place=lambda frame: (max(100.0, 190.0 - 4 * frame), 90.0), score=0.8)
    found = tracks_of(analyse(ScriptedAnalyser(still, coming), 0, 60, after=False))
    assert [each[-1] for each in found.values() if each[0] < 45 <= each[-1]] == []
    assert [each for each in found.values() if each[0] == 45] == [list(range(45, 60))]


def test_face_that_hid_a_new_one_has_a_new_number():
    """The new face is detected when it is beside the other one, and followed back to where they overlap."""
    still = Actor(frames(0, 60))
    leaving = Actor(frames(0, 60), frames(20, 60), place=lambda frame: (100.0 + 10 * max(0, frame - 13), 90.0))
    chunk = analyse(ScriptedAnalyser(still, leaving), 0, 30, after=False)
    numbers = chunk.track[by_place(chunk, 100)].tolist()
    assert len(numbers) == 30 and numbers[:21] == [0] * 21 and numbers[21:] == [2] * 9


def test_views_of_overlapping_faces_do_not_count():
    """The ranking prefers the middle of the image, where the faces cross."""

    def nearness(face) -> float:
        return 1000 - abs(float(face.landmarks[:, 0].mean()) - 160)

    class NoMeter:
        def measure(self, views):
            return np.zeros(1)

    each = TrackMeasurement('near', (1,), 'float32', None, None, ranking=Ranking(nearness))
    meters = Meters(Measurements((), (each,)), (), (NoMeter(),))
    chunk = analyse(crossing(), 0, 60, after=False, meters=meters)
    # The boxes overlap by less than the limit until the faces are about 24 pixels from the middle.
    assert set(tracks_of(chunk)) >= {0, 1}
    assert [bool(chunk.track_weights['near'][track] < 3 * (1000 - 20)) for track in (0, 1)] == [True, True]


def test_sudden_change_of_the_picture_gives_new_numbers():
    """It may be a cut between two similar shots, or a flash of one frame."""
    tracker = ChunkTracker(ScriptedAnalyser(Actor(frames(0, 40))), NO_METERS)
    for number in range(40):
        frame = frame_at(number)
        frame.pixels[:] = np.clip(frame.pixels.astype(int) + 40 * (number == 15), 0, 255)
        tracker.add(frame)
    chunk = tracker.finish(None)
    assert not chunk.cut.any() and tracks_of(chunk) == {0: list(range(15)), 1: list(range(15, 40))}


def test_presence_is_stored_with_each_face():
    chunk = analyse(ScriptedAnalyser(Actor(frames(0, 9))), 0, 5)
    assert chunk.presence.dtype == np.float32 and chunk.presence == pytest.approx([0.99] * 5)
    still = still_chunk(frame_at(0), ScriptedAnalyser(Actor(frames(0, 1))), NO_METERS)
    assert still.presence == pytest.approx([0.99])
