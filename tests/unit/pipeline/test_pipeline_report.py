"""Tests of the report about the faces of a run, and of its progress events."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes.face_chunks import Person, cut_up, face_at, make_chunk
from fakes.linking import NOTHING, link

from facefusion.events import StageFinished, StageProgress
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.ranges import LISTED_RANGES, FrameRanges
from facefusion.pipeline.report import FaceReport

ONE, OTHER = Person(100, 100, 30), Person(300, 120, 50, 0.8)
# The larger side of a synthetic face whose eyes are one pixel apart.
BOX = float(np.ptp(face_at(0, 0, 1)[:, :2], axis=0).max())


def linked(borders, people):
    return link(cut_up(borders, people))


def linked_bare(borders, people):
    """Return the linked chunks without skin measurements."""
    return link(cut_up(borders, people, skin=False), NOTHING)


def report_of(chunks) -> FaceReport:
    report = FaceReport()
    for chunk in chunks:
        report.add(chunk, chunk, {})
    return report


def text_of(report: FaceReport) -> str:
    """Return the text for a run in which every frame with a face was changed."""
    return report.message(report.frames - report.without.count).text


def test_a_report_counts_frames_faces_tracks_and_filled_rows():
    people = [(ONE, set(range(20, 100)) - {55, 56}), (OTHER, set(range(30, 40)))]
    report = report_of(linked([0, 50, 100, 120], people))
    assert report.as_record() == {
        'frames': 120,
        'faces': 90,
        'tracks': 2,
        'faces_filled': 2,
        'faces_too_small': 0,
        'frames_with_too_many_faces': 0,
        'most_faces_left_out': 0,
        'frames_without_face': 40,
        'ranges_without_face': [[0, 19], [100, 119]],
        'more_ranges_without_face': 0,
        'frames_damaged': 0,
        'ranges_damaged': [],
        'more_ranges_damaged': 0,
        'frames_missing': 0,
        'seconds_missing': [],
        'more_seconds_missing': 0,
    }
    assert text_of(report) == ('90 faces in 80 of 120 frames were processed; no face in 40 frames: 0-19, 100-119')


def test_a_report_counts_the_faces_that_are_too_small():
    small, large = Person(100, 100, 28 / BOX), Person(200, 100, 34 / BOX)
    report = report_of(linked([0, 10], [(small, set(range(10))), (large, set(range(4)))]))
    assert report.as_record()['faces_too_small'] == 10 and report.faces == 14
    assert text_of(report) == '4 faces in 10 of 10 frames were processed; 10 faces under 32 pixels were skipped'
    report = report_of(linked([0, 10], [(small, {3})]))
    text = 'no face was processed in 1 of 10 frames; 1 face under 32 pixels was skipped'
    assert text_of(report) == text and report.processed == 0


def test_a_report_counts_the_faces_beyond_the_limit():
    chunk = make_chunk(0, 3, [(0, 0, ONE), (0, 1, OTHER), (1, 0, ONE), (1, 1, OTHER), (2, 0, ONE)])
    chunk = replace(chunk, left_out=np.array([0, 5, 5], np.int32))
    report = report_of(link([chunk], max_faces=1))
    assert report.as_record()['frames_with_too_many_faces'] == 3 and report.as_record()['most_faces_left_out'] == 6
    text = '3 faces in 3 of 3 frames were processed; --max-faces skipped up to 6 more faces in 3 frames'
    assert text_of(report) == text and report.faces == 3


def test_a_range_continues_across_chunks():
    report = report_of(linked([10, 50, 100], [(ONE, set(range(10, 40)) | {70})]))
    assert report.without.ranges == [(40, 69), (71, 99)]


def test_a_report_of_a_full_clip_has_no_gaps():
    report = report_of(linked([0, 10], [(ONE, set(range(10)))]))
    assert text_of(report) == '10 faces in 10 of 10 frames were processed'


def test_a_flickering_clip_stays_a_short_report():
    report = report_of(linked_bare([0, 600, 1200], [(ONE, {frame for frame in range(1200) if frame % 6 == 0})]))
    assert len(report.without.ranges) == LISTED_RANGES and report.without.more_ranges == 100
    assert report.without.ranges[-1] == (595, 599)
    assert text_of(report).endswith(' and 190 more ranges') and report.without.count == 1000


def test_a_report_names_the_frames_that_are_damaged():
    report = report_of(linked([0, 10], [(ONE, set(range(10)))]))
    for number in (2, 3, 4, 8):
        report.damaged.add(number)
    assert text_of(report) == '10 faces in 10 of 10 frames were processed; 4 frames of the target are damaged: 2-4, 8'
    assert report.as_record()['frames_damaged'] == 4 and report.as_record()['ranges_damaged'] == [[2, 4], [8, 8]]


def test_ranges_are_listed_up_to_a_number():
    ranges = FrameRanges()
    for number in range(0, 2 * LISTED_RANGES + 6, 2):
        ranges.add(number)
    ranges.add(2 * LISTED_RANGES + 5)
    assert len(ranges.as_lists()) == LISTED_RANGES and ranges.more_ranges == 3 and ranges.count == LISTED_RANGES + 4
    assert ranges.as_text().endswith('16, 18 and 93 more ranges')


def test_progress_starts_at_zero_and_ends_with_the_elapsed_time():
    events = []
    with Progress(events.append, 'processing', 3) as progress:
        progress.advance()
        progress.advance(2)
    assert [event.done for event in events[:3]] == [0, 1, 3]
    assert all(isinstance(event, StageProgress) and event.total == 3 for event in events[:3])
    assert isinstance(events[3], StageFinished) and events[3].done == 3 and events[3].seconds >= 0


def test_progress_counts_from_many_threads_in_order():
    events = []
    with Progress(events.append, 'analysing', 400) as progress:
        threads = [threading.Thread(target=lambda: [progress.advance() for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [event.done for event in events[:-1]] == list(range(401))


def test_a_failed_stage_reports_its_end():
    events = []
    with pytest.raises(ValueError, match='no'), Progress(events.append, 'processing', 3):
        raise ValueError('no')
    assert isinstance(events[-1], StageFinished)


def test_an_empty_chunk_reports_every_frame():
    (chunk,) = link([make_chunk(5, 3, [])])
    assert report_of([chunk]).without.ranges == [(5, 7)]


def test_a_report_without_faces_warns_with_advice_or_counts_changed_frames():
    report = report_of(linked([0, 10], []))
    nothing = report.message(0)
    assert nothing.level == 'warn' and nothing.text.startswith(
        'no face was found in 10 frames: nothing was processed ('
    )
    assert '--face-detector-score' in nothing.text
    # Some processors process frames without faces too.
    done = report.message(10)
    assert (done.level, done.text) == ('info', '10 frames were processed')


def test_a_run_without_face_detection_reports_no_missing_faces():
    report = FaceReport(finds_faces=False)
    for chunk in linked([0, 3], []):
        report.add(chunk, chunk, {})
    assert (report.message(1).level, report.message(1).text) == ('info', '1 frame was processed')
    assert report.message(0).level == 'info' and '--face-detector' not in report.message(0).text


def test_a_report_of_faces_that_are_all_too_small_is_a_warning():
    report = report_of(linked([0, 10], [(Person(100, 100, 28 / BOX), {3})]))
    assert report.message(0).level == 'warn' and '--face-detector' not in report.message(0).text
    assert report_of(linked([0, 10], [(ONE, {3})])).message(1).level == 'info'


def test_a_run_whose_masks_leave_nothing_is_reported():
    report = report_of(linked([0, 10], [(ONE, {3, 4})]))
    message = report.message(0)
    assert message.level == 'warn' and 'no frame was changed' in message.text and '2 faces' in message.text
    assert 'no frame was changed' not in report.message(1).text


def test_a_video_of_an_image_counts_its_frames():
    assert (
        report_of(linked([0, 1], [(ONE, {0})])).message(142).text == '1 face of the image was processed in 142 frames'
    )
