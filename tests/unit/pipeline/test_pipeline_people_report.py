"""Tests of the people in the report of a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.face_chunks import Person, face_at
from fakes.job_schema import schema_errors

from facefusion.faces.chunk import LinkedChunk
from facefusion.pipeline.people_report import LISTED_PEOPLE, LISTED_RANGES, PeopleReport
from facefusion.pipeline.report import FaceReport

# The larger side of a synthetic face whose eyes are one pixel apart.
BOX = float(np.ptp(face_at(0, 0, 1)[:, :2], axis=0).max())
PEOPLE = (Person(100, 100, 30), Person(300, 120, 50), Person(500, 130, 28 / BOX))


def chunk_of(first: int, count: int, seen: dict[int, set[int]]) -> LinkedChunk:
    """Return a linked chunk in which track t, a face of PEOPLE[t], is visible in the frames ``seen[t]``."""
    rows = sorted((frame, track) for track, frames in seen.items() for frame in frames)
    landmarks = [PEOPLE[track % 3].landmarks(frame) for frame, track in rows]
    return LinkedChunk(
        first=first,
        count=count,
        frame=np.array([frame for frame, _ in rows], np.int32),
        track=np.array([track for _, track in rows], np.int32),
        landmarks=np.array(landmarks, np.float32).reshape(-1, 468, 3),
        score=np.full(len(rows), 0.9, np.float32),
        values={},
        filled=np.zeros(len(rows), np.bool_),
        cut=np.zeros(count, np.bool_),
    )


def selected(chunk: LinkedChunk, keep) -> LinkedChunk:
    """Return the rows for which ``keep(frame, track)``."""
    rows = [k for k in range(len(chunk.frame)) if keep(int(chunk.frame[k]), int(chunk.track[k]))]
    arrays = {name: getattr(chunk, name)[rows] for name in ('frame', 'track', 'landmarks', 'score', 'filled')}
    return replace(chunk, **arrays)


def test_each_person_has_processed_frames_and_reasons():
    report = PeopleReport({0: 0, 1: 1, 2: 2})
    for first in (0, 10):
        chunk = chunk_of(first, 10, {track: set(range(first, first + 10)) for track in range(3)})
        kept = selected(chunk, lambda frame, track: track == 2 or (track == 0 and not 5 <= frame < 12))
        report.add(chunk, kept, {1: 'gender'})
    record = report.as_record()
    assert (record['count'], record['processed'], record['more_persons']) == (3, 1, 0)
    assert record['persons'] == [
        {
            'number': 0,
            'frames': 20,
            'frames_processed': 13,
            'frames_left_alone': {'too many faces': 7},
            'ranges_left_alone': [[5, 11, 'too many faces']],
            'more_ranges_left_alone': 0,
        },
        {
            'number': 1,
            'frames': 20,
            'frames_processed': 0,
            'frames_left_alone': {'gender': 20},
            'ranges_left_alone': [[0, 19, 'gender']],
            'more_ranges_left_alone': 0,
        },
        {
            'number': 2,
            'frames': 20,
            'frames_processed': 0,
            'frames_left_alone': {'face too small': 20},
            'ranges_left_alone': [[0, 19, 'face too small']],
            'more_ranges_left_alone': 0,
        },
    ]
    assert schema_errors(record, 'people_report') == []
    assert report.as_text() == (
        '1 of 3 people were processed: person 0 in 13 frames; person 1 was left alone: gender; '
        'person 2 was left alone: face too small'
    )


def test_the_mode_one_leaves_the_other_faces_alone_because_it_does_not_follow_them():
    report = PeopleReport({0: 0, 1: 1}, follows_one=True)
    chunk = chunk_of(0, 4, {0: {0, 1, 2, 3}, 1: {1, 3}})
    report.add(chunk, selected(chunk, lambda frame, track: track == 0), {})
    assert report.as_record()['persons'][1]['ranges_left_alone'] == [[1, 1, 'not followed'], [3, 3, 'not followed']]
    assert (
        report.as_text() == '1 of 2 people were processed: person 0 in 4 frames; person 1 was left alone: not followed'
    )


def test_a_person_with_several_tracks_is_processed_where_one_of_them_is():
    report = PeopleReport({0: 7, 1: 7})
    chunk = chunk_of(0, 6, {0: set(range(4)), 1: set(range(2, 6))})
    report.add(chunk, selected(chunk, lambda frame, track: track == 1), {0: 'age'})
    (person,) = report.as_record()['persons']
    assert (person['number'], person['frames'], person['frames_processed']) == (7, 6, 4)
    assert person['ranges_left_alone'] == [[0, 1, 'age']]


@pytest.mark.parametrize('seen', [{0: {0, 1}}, {}])
def test_a_line_says_nothing_if_the_only_person_was_processed_everywhere(seen):
    report = PeopleReport({0: 0})
    chunk = chunk_of(0, 2, seen)
    report.add(chunk, chunk, {})
    assert report.as_text() == ''


def test_people_and_ranges_are_listed_up_to_a_number():
    numbers = range(LISTED_PEOPLE + 10)
    report = PeopleReport({number: number for number in numbers})
    for frame in range(0, 2 * LISTED_RANGES + 8, 2):
        chunk = chunk_of(frame, 1, {number: {frame} for number in numbers})
        report.add(chunk, selected(chunk, lambda frame, track: track % 3 != 2 and track % 2 == 0), {1: 'gender'})
    record = report.as_record()
    assert [each['number'] for each in record['persons']] == list(range(LISTED_PEOPLE))
    assert record['count'] == LISTED_PEOPLE + 10 and record['more_persons'] == 10
    assert record['processed'] == sum(number % 3 != 2 and number % 2 == 0 for number in numbers)
    assert len(record['persons'][1]['ranges_left_alone']) == LISTED_RANGES
    assert record['persons'][1]['more_ranges_left_alone'] == 4
    assert schema_errors(record, 'people_report') == []
    text = report.as_text()
    assert len(text) < 500 and 'and 37 more were left alone: too many faces; 6 more were left alone' in text


def test_a_run_that_selects_no_one_does_not_say_that_there_is_no_face():
    report = FaceReport()
    report.people = PeopleReport({0: 0})
    chunk = chunk_of(0, 5, {0: set(range(5))})
    none = selected(chunk, lambda frame, track: False)
    report.add(chunk, none, {0: 'not the reference'})
    message = report.message(0)
    assert message.level == 'warn' and message.text == (
        'no face was selected in 5 frames: nothing was processed; '
        '0 of 1 person was processed; person 0 was left alone: not the reference'
    )
    assert report.as_record()['people']['count'] == 1


def test_a_run_without_a_recogniser_reports_no_people():
    assert 'people' not in FaceReport().as_record()
