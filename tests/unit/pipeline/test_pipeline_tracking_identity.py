"""Tests of link: tracks are joined by position and identity, and their facts and presence reach the next step."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fakes.face_chunks import Person, cut_up, make_chunk
from fakes.linking import NOTHING, joined

from facefusion.faces.chunk import FaceChunk
from facefusion.faces.face import landmark_box, longer_side
from facefusion.faces.identity import identity_name
from facefusion.faces.measurement_table import measurements_named
from facefusion.faces.options import (
    DLIB,
    FaceDetectorOptions,
    FaceLandmarkerOptions,
    FaceSelectorOptions,
    FaceTrackerOptions,
)
from facefusion.faces.point_analyser import make_analyser
from facefusion.faces.recognisers import KINDS
from facefusion.inference.pool import SessionPool
from facefusion.media.frame import PixelFrame
from facefusion.models.catalog import load_catalog
from facefusion.pipeline.render import faces_of
from facefusion.pipeline.tracking import JOIN_OVERLAP, Tracker, least_overlap

NAME = identity_name(DLIB)
IDENTITY = measurements_named([NAME])
ONE, OTHER = Person(100, 100, 30), Person(300, 100, 30)
ROOT = Path(__file__).resolve().parents[3]
GOLDEN = Path(os.environ.get('GOLDEN_PICTURES', ROOT.parent / 'shared' / 'golden'))
RECORDED = GOLDEN / 'intermediates/voice_and_tracker.npz'


def embedding(number: int) -> np.ndarray:
    """Return the embedding of a person; the cosine similarity of two people is 0.8."""
    found = np.zeros(KINDS[DLIB].length, np.float32)
    found[[0, number + 1]] = np.sqrt([0.8, 0.2])
    return found


def identified(chunk: FaceChunk, people: list[int | None]) -> FaceChunk:
    """Return a chunk with the identity of each local track, None for one that is not measured."""
    values = np.array([embedding(0 if each is None else each) for each in people], np.float32)
    weights = np.array([0 if each is None else 1 for each in people], np.float32)
    return replace(chunk, of_tracks={NAME: values}, track_weights={NAME: weights})


def link(*chunks: FaceChunk, measurements=IDENTITY, **options):
    tracker = Tracker(measurements, **options)
    return joined(tracker.track(chunks)), tracker.tracks()


def rows(frames: range, number: int, who: Person) -> list[tuple[int, int, Person]]:
    return [(frame, number, who) for frame in frames]


def two_parts(people: list[int | None], gap: int = 0) -> FaceChunk:
    """Return a chunk in which a face at one position has two local tracks."""
    seen = rows(range(20), 0, ONE) + rows(range(20 + gap, 40), 1, ONE)
    return identified(make_chunk(0, 40, seen, skin=False), people)


@pytest.mark.parametrize('gap', [0, 2])
@pytest.mark.parametrize(
    ('people', 'is_one'), [([0, 0], True), ([0, 1], False), ([None, 1], True), ([0, None], True), ([None, None], True)]
)
def test_parts_at_one_position_are_joined_unless_their_identities_differ(people, is_one, gap):
    found, clip = link(two_parts(people, gap))
    assert clip.count == (1 if is_one else 2)
    assert set(found['track'][found['frame'] < 20]) == {0}
    assert set(found['track'][found['frame'] >= 20 + gap]) == {0 if is_one else 1}
    assert found['filled'].sum() == (gap if is_one else 0)


def test_without_a_recogniser_the_position_decides():
    found, clip = link(two_parts([0, 1]), measurements=NOTHING)
    assert clip.count == 1 and set(found['track']) == {0}


def test_smoothing_does_not_stop_where_parts_are_joined():
    whole, _ = link(identified(make_chunk(0, 40, rows(range(40), 0, ONE), skin=False), [0]))
    parts, _ = link(two_parts([0, 0]))
    np.testing.assert_array_equal(parts['landmarks'], whole['landmarks'])


@pytest.mark.parametrize(('people', 'is_one'), [([3], True), ([4], False)])
def test_identities_are_compared_across_chunks(people, is_one):
    first = identified(make_chunk(0, 20, rows(range(20), 0, ONE), skin=False), [3])
    second = identified(make_chunk(20, 20, rows(range(20, 40), 0, ONE), skin=False), people)
    assert link(first, second)[1].count == (1 if is_one else 2)


def test_the_identity_of_a_track_is_that_of_all_its_parts():
    """An unmeasured part between two people does not join them."""
    seen = rows(range(10), 0, ONE) + rows(range(10, 20), 1, ONE) + rows(range(20, 30), 2, ONE)
    _, clip = link(identified(make_chunk(0, 30, seen, skin=False), [0, None, 1]))
    assert clip.count == 2 and clip.facts.frames.tolist() == [20, 10]


def test_a_track_that_follows_the_other_face_after_a_crossing_is_not_joined_by_position():
    """Local tracks 2 and 3 continue at the positions of 0 and 1, but show the other person."""
    seen = rows(range(20), 0, ONE) + rows(range(20), 1, OTHER) + rows(range(20, 40), 2, ONE)
    seen += rows(range(20, 40), 3, OTHER)
    chunk = make_chunk(0, 40, seen, skin=False)
    assert link(identified(chunk, [0, 1, 1, 0]))[1].count == 4
    assert link(identified(chunk, [0, 1, 0, 1]))[1].count == 2


def test_presence_is_linked_with_the_rows_and_reaches_rendering():
    frames = sorted(set(range(40)) - {20, 21})
    chunk = make_chunk(0, 40, [(frame, 0, ONE) for frame in frames], skin=False)
    (linked,) = Tracker(NOTHING).track([replace(chunk, presence=np.array(frames, np.float32) / 100)])
    # The rows of a gap have the presence of the nearer frame.
    expected = {frame: frame / 100 for frame in frames} | {20: 0.19, 21: 0.22}
    found = {frame: faces_of(linked, frame)[0].presence for frame in range(40)}
    assert found == pytest.approx(expected)
    (unknown,) = Tracker(NOTHING).track([chunk])
    assert faces_of(unknown, 5)[0].presence == 1 and len(chunk.presence) == 0


def test_facts_of_tracks_are_those_of_their_linked_rows():
    present = [(ONE, set(range(5, 260)) - {100, 101}), (OTHER, set(range(200, 230)))]
    tracker = Tracker(NOTHING)
    found = joined(tracker.track(cut_up([0, 50, 250, 300], present, skin=False)))
    facts = tracker.tracks().facts
    assert facts.first.tolist() == [5, 200] and facts.frames.tolist() == [255, 30] and facts.stop.tolist() == [260, 230]
    for track in (0, 1):
        boxes = landmark_box(found['landmarks'][found['track'] == track])
        assert facts.size[track] == pytest.approx(np.mean([longer_side(box) for box in boxes]), rel=1e-5)
        assert facts.left[track] == pytest.approx(boxes[0][0], rel=1e-5)


def test_facts_of_many_tracks_are_small():
    tracker, boundary = Tracker(NOTHING), range(0, 3000, 100)
    for _ in tracker.track(
        make_chunk(first, 100, [(first + 2 * k, k, Person(50 + 90 * (k % 5), 100, 9)) for k in range(50)], skin=False)
        for first in boundary
    ):
        pass
    tracks = tracker.tracks()
    assert tracks.count == len(tracks.facts.first) > 100
    assert tracker._facts._table.nbytes <= 2 * 32 * tracks.count + 4096


@pytest.mark.parametrize(('score', 'overlap'), [(0.0, JOIN_OVERLAP), (0.05, 0.05), (0.5, 0.5)])
def test_the_tracker_score_is_the_least_overlap(score, overlap):
    assert least_overlap(FaceTrackerOptions(face_tracker_score=score)) == overlap


@pytest.mark.parametrize(('least', 'is_same'), [(0.1, True), (JOIN_OVERLAP, False)])
def test_parts_are_joined_above_the_least_overlap(least, is_same):
    moved = Person(ONE.x + 40, ONE.y, ONE.size)
    chunk = make_chunk(0, 40, rows(range(20), 0, ONE) + rows(range(20, 40), 1, moved), skin=False)
    found, _ = link(chunk, measurements=NOTHING, least_overlap=least)
    assert (set(found['track'][found['frame'] >= 20]) == {0}) == is_same


class StandIns:
    """The networks with which the numbers of FaceFusion were recorded."""

    def path(self, model_id: str) -> Path:
        return GOLDEN / 'models' / f'{model_id}.onnx'

    def contract(self, model_id: str):
        return load_catalog(ROOT / 'models' / 'catalog')[model_id].contract


@pytest.mark.skipif(not RECORDED.is_file(), reason=f'the recorded numbers of FaceFusion are not in {GOLDEN}')
def test_a_gap_is_filled_as_in_facefusion():
    """The recorded clip moves a portrait by 6 and 3 pixels per frame; its middle frame is empty.

    FaceFusion interpolates the landmarks and takes the scores of the nearer face.
    """
    recorded = np.load(RECORDED)
    picture = cv2.imread(str(GOLDEN / 'inputs/portrait.png'))
    sessions = SessionPool(StandIns(), ('cpu',), 0)
    options = FaceDetectorOptions(face_detector_model='yunet'), FaceLandmarkerOptions(face_landmarker_model='2dfan4')
    analyser = make_analyser(sessions, *options, FaceSelectorOptions())
    faces = []
    for number in (0, 1, 3, 4):
        shift = np.float32([[1, 0, 6 * number - 12], [0, 1, 3 * number - 6]])
        moved = cv2.warpAffine(picture, shift, picture.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        (face,) = analyser.find(PixelFrame(moved))
        faces.append(face)
    chunk = make_chunk(0, 5, [(0, 0, ONE), (1, 0, ONE), (3, 1, ONE), (4, 1, ONE)], skin=False)
    chunk = replace(
        chunk,
        landmarks=np.stack([face.landmarks for face in faces]),
        score=np.array([face.score for face in faces], np.float32),
        presence=np.array([face.presence for face in faces], np.float32),
    )
    tracker = Tracker(NOTHING, least_overlap=0.2)
    tracker._add(chunk)
    ((track, rows_of_track),) = tracker._rows.items()
    middle = rows_of_track[2]
    assert track == 0 and [row.filled for row in rows_of_track] == [False, False, True, False, False]
    for part, name in ((slice(68), '68'), (slice(68, 73), '5/68'), (slice(75, 80), '5')):
        np.testing.assert_allclose(middle.landmarks[part, :2], recorded[f'track_gap1_{name}'][0], atol=1e-3)
    np.testing.assert_allclose(middle.landmarks[73:75, :2].ravel(), recorded['track_gap1_boxes'][0], atol=1e-3)
    np.testing.assert_allclose([middle.score, middle.presence], recorded['track_gap1_scores'][0], atol=1e-5)
