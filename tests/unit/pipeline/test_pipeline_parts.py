"""Report, progress, output checks, resources, publishing and the linked record as rendering reads it."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.face_chunks import Person, cut_up, face_at, make_chunk
from fakes.linking import NOTHING, link
from fakes.plain_seal import PlainSeal

from facefusion.errors import OutputError, ResourceError
from facefusion.events import StageFinished, StageProgress, silent
from facefusion.faces.skin import linked_skin
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image
from facefusion.media.options import OutputOptions
from facefusion.pipeline.output import check_output, check_space, existing_folder, make_folder
from facefusion.pipeline.progress import Progress
from facefusion.pipeline.publish import _part_beside, publish_image
from facefusion.pipeline.ranges import LISTED_RANGES, FrameRanges
from facefusion.pipeline.render import LinkedFaces, apply_processors, faces_of
from facefusion.pipeline.report import FaceReport
from facefusion.pipeline.seal import Worked
from facefusion.processors.processor import FrameTask

ONE, OTHER = Person(100, 100, 30), Person(300, 120, 50, 0.8)
# The larger side of a made-up face whose eyes are one pixel apart.
BOX = float(np.ptp(face_at(0, 0, 1)[:, :2], axis=0).max())
is_root = hasattr(os, 'geteuid') and os.geteuid() == 0


def linked(borders, people):
    return link(cut_up(borders, people))


def linked_bare(borders, people):
    """Without the skin."""
    return link(cut_up(borders, people, skin=False), NOTHING)


def report_of(chunks) -> FaceReport:
    report = FaceReport()
    for chunk in chunks:
        report.add(chunk)
    return report


def test_a_report_counts_frames_faces_tracks_and_what_was_filled():
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
    assert report.as_text() == ('90 faces in 80 of 120 frames were worked on; no face in 40 frames: 0-19, 100-119')


def test_a_report_says_how_many_faces_were_too_small():
    small, large = Person(100, 100, 28 / BOX), Person(200, 100, 34 / BOX)
    report = report_of(linked([0, 10], [(small, set(range(10))), (large, set(range(4)))]))
    assert report.as_record()['faces_too_small'] == 10 and report.faces == 14
    assert report.as_text() == '4 faces in 10 of 10 frames were worked on; 10 faces under 32 pixels were left alone'
    report = report_of(linked([0, 10], [(small, {3})]))
    text = 'no face was worked on in 1 of 10 frames; 1 face under 32 pixels was left alone'
    assert report.as_text() == text and report.worked_on == 0


def test_a_report_says_that_there_were_too_many_faces():
    chunk = make_chunk(0, 3, [(0, 0, ONE), (0, 1, OTHER), (1, 0, ONE), (1, 1, OTHER), (2, 0, ONE)])
    chunk = replace(chunk, left_out=np.array([0, 5, 5], np.int32))
    report = report_of(link([chunk], max_faces=1))
    assert report.as_record()['frames_with_too_many_faces'] == 3 and report.as_record()['most_faces_left_out'] == 6
    text = '3 faces in 3 of 3 frames were worked on; --max-faces left up to 6 more faces alone in 3 frames'
    assert report.as_text() == text and report.faces == 3


def test_a_range_goes_on_across_chunks():
    report = report_of(linked([10, 50, 100], [(ONE, set(range(10, 40)) | {70})]))
    assert report.without.ranges == [(40, 69), (71, 99)]


def test_a_report_of_a_full_clip_has_no_gaps():
    report = report_of(linked([0, 10], [(ONE, set(range(10)))]))
    assert report.as_text() == '10 faces in 10 of 10 frames were worked on'


def test_a_flickering_clip_stays_a_short_report():
    report = report_of(linked_bare([0, 600, 1200], [(ONE, {frame for frame in range(1200) if frame % 6 == 0})]))
    assert len(report.without.ranges) == LISTED_RANGES and report.without.more_ranges == 100
    assert report.without.ranges[-1] == (595, 599)
    assert report.as_text().endswith(' and 190 more ranges') and report.without.count == 1000


def test_a_report_names_the_frames_that_are_damaged():
    report = report_of(linked([0, 10], [(ONE, set(range(10)))]))
    for number in (2, 3, 4, 8):
        report.damaged.add(number)
    assert report.as_text() == '10 faces in 10 of 10 frames were worked on; 4 frames of the target are damaged: 2-4, 8'
    assert report.as_record()['frames_damaged'] == 4 and report.as_record()['ranges_damaged'] == [[2, 4], [8, 8]]


def test_ranges_are_listed_up_to_a_number():
    ranges = FrameRanges()
    for number in range(0, 2 * LISTED_RANGES + 6, 2):
        ranges.add(number)
    ranges.add(2 * LISTED_RANGES + 5)
    assert len(ranges.as_lists()) == LISTED_RANGES and ranges.more_ranges == 3 and ranges.count == LISTED_RANGES + 4
    assert ranges.as_text().endswith('16, 18 and 93 more ranges')


def test_progress_begins_at_nothing_counts_and_ends_with_its_time():
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


def test_a_stage_that_fails_ends_too():
    events = []
    with pytest.raises(ValueError, match='no'), Progress(events.append, 'processing', 3):
        raise ValueError('no')
    assert isinstance(events[-1], StageFinished)


def test_faces_of_a_frame_are_those_of_the_record():
    chunk = linked([0, 50], [(ONE, set(range(50)) - {20}), (OTHER, set(range(10, 30)))])[0]
    assert faces_of(chunk, 5)[0].track == 0 and len(faces_of(chunk, 5)) == 1
    both = faces_of(chunk, 20)
    assert [face.track for face in both] == [1, 0]  # larger first
    assert [face.is_filled for face in both] == [False, True]
    row = np.flatnonzero(chunk.frame == 20)[0]
    np.testing.assert_array_equal(both[0].landmarks, chunk.landmarks[row])
    assert both[0].values.keys() == {'light', 'free', 'traits'} and both[0].score == pytest.approx(0.8)
    for name, value in both[0].values.items():
        np.testing.assert_array_equal(value, chunk.values[name][row])
    assert faces_of(chunk, 49) and faces_of(chunk, 50) == ()


def test_faces_without_measured_skin_have_none():
    chunk = linked_bare([0, 10], [(ONE, set(range(10)))])[0]
    (face,) = faces_of(chunk, 3)
    assert face.values == {} and linked_skin(face.values) is None


def test_one_linked_chunk_is_held_and_loaded_once():
    chunks = linked_bare([0, 250, 500], [(ONE, set(range(500)))])
    loaded = []

    def load(number):
        loaded.append(number)
        return chunks[number]

    faces = LinkedFaces(load)
    for frame in range(240, 260):
        (face,) = faces.of(frame)
        np.testing.assert_array_equal(face.landmarks, chunks[frame // 250].landmarks[frame % 250])
    assert loaded == [0, 1]


def test_processors_see_a_frame_in_turn_and_only_with_faces():
    seen = []

    class Noting:
        def __init__(self, name):
            self.name = name

        def process(self, batch):
            seen.append((self.name, [task.frame.number for task in batch]))

    frame = PixelFrame(np.zeros((4, 4, 3), np.uint8), number=7)
    chain = (Noting('first'), Noting('second'))
    assert apply_processors(FrameTask(frame, ()), chain).frame is frame and seen == []
    chunk = linked_bare([0, 10], [(ONE, {7})])[0]
    assert apply_processors(FrameTask(frame, faces_of(chunk, 7)), chain).frame is frame
    assert seen == [('first', [7]), ('second', [7])]


@pytest.fixture
def place(tmp_path):
    for name in ('target.mp4', 'source.png'):
        (tmp_path / name).write_bytes(b'x')
    return tmp_path


def refusal(place: Path, output: Path, family: str = 'video') -> str:
    with pytest.raises(OutputError) as caught:
        check_output(output, place / 'target.mp4', [place / 'source.png'], family)
    assert caught.value.cause and caught.value.hint
    return caught.value.reference


def test_outputs_that_can_be_written_pass(place):
    (place / 'old.mp4').write_bytes(b'an earlier result')
    for name in ('new.mp4', 'old.mp4', 'UPPER.MKV', 'new folder/deep/out.mov'):
        check_output(place / name, place / 'target.mp4', [place / 'source.png'], 'video')
    check_output(place / 'out.JPG', place / 'target.mp4', [], 'image')
    assert sorted(path.name for path in place.iterdir()) == ['old.mp4', 'source.png', 'target.mp4']


def test_outputs_that_cannot_be_written_are_refused(place):
    (place / 'folder.mp4').mkdir()
    (place / 'link.mp4').symlink_to(place / 'nowhere.mp4')
    (place / 'same.mp4').symlink_to(place / 'target.mp4')
    os.link(place / 'source.png', place / 'hard.mp4')
    os.mkfifo(place / 'pipe.mp4')
    assert refusal(place, place / 'folder.mp4') == 'output-is-directory'
    assert refusal(place, place / 'link.mp4') == 'output-broken-link'
    assert refusal(place, place / 'pipe.mp4') == 'output-not-a-file'
    for name in ('target.mp4', 'same.mp4', 'hard.mp4', 'source.png'):
        assert refusal(place, place / name) == 'output-is-input'
    for name in ('out.png', 'out', 'out.flv', '.mp4'):
        assert refusal(place, place / name) == 'output-extension'
    assert refusal(place, place / 'out.mp4', 'image') == 'output-extension'
    assert refusal(place, place / 'target.mp4' / 'out.mp4') == 'output-unwritable'
    assert refusal(place, place / ('x' * 300 + '.mp4')) == 'output-name'


@pytest.mark.skipif(is_root, reason='root may write everywhere')
def test_a_folder_that_is_read_only_is_refused(place):
    place.chmod(0o500)
    try:
        assert refusal(place, place / 'out.mp4') == 'output-unwritable'
    finally:
        place.chmod(0o700)


def test_folders_are_made_or_the_failure_is_typed(place):
    make_folder(place / 'a' / 'b')
    make_folder(place / 'a' / 'b')
    assert (place / 'a' / 'b').is_dir()
    assert existing_folder(place / 'a' / 'c' / 'd') == place / 'a'
    with pytest.raises(OutputError):
        make_folder(place / 'target.mp4' / 'below')


def test_too_little_disk_is_said_with_numbers(place):
    check_space(place / 'not yet', 1, 'the work files')
    with pytest.raises(ResourceError, match='the work files would need about 1000000000000 MB') as caught:
        check_space(place / 'not yet', 10**18, 'the work files')
    assert caught.value.reference == 'disk-short' and '--temp-path' in caught.value.hint


def test_a_picture_appears_whole_under_its_name(tmp_path):
    output = tmp_path / 'new' / 'deeper' / 'out.png'
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    publish_image(PixelFrame(pixels), output, OutputOptions(), PlainSeal(), Worked(True), silent)
    np.testing.assert_array_equal(read_image(output).pixels, pixels)
    assert [path.name for path in output.parent.iterdir()] == ['out.png']


def test_a_failure_leaves_the_old_output_and_nothing_else(tmp_path):
    output = tmp_path / 'out.mp4'
    output.write_bytes(b'before')
    with pytest.raises(ValueError, match='failed'), _part_beside(output) as part:
        part.write_bytes(b'half')
        raise ValueError('failed')
    assert [path.name for path in tmp_path.iterdir()] == ['out.mp4'] and output.read_bytes() == b'before'


def test_a_failure_takes_its_own_empty_folders_away_and_no_others(tmp_path):
    (tmp_path / 'there').mkdir()
    with pytest.raises(KeyboardInterrupt), _part_beside(tmp_path / 'there' / 'new' / 'deep' / 'out.mp4') as part:
        part.write_bytes(b'half')
        raise KeyboardInterrupt
    assert [path.name for path in tmp_path.rglob('*')] == ['there']
    with pytest.raises(ValueError, match='failed'), _part_beside(tmp_path / 'a' / 'b' / 'out.mp4') as part:
        (part.parent / 'of somebody else').write_bytes(b'')
        raise ValueError('failed')
    assert (tmp_path / 'a' / 'b' / 'of somebody else').exists()


def test_an_error_names_the_output_and_not_the_part(tmp_path):
    with pytest.raises(OutputError) as caught, _part_beside(tmp_path / 'out.mp4') as part:
        raise OutputError('output-unwritable', f'cannot write {part}')
    assert caught.value.message == f'cannot write {tmp_path / "out.mp4"}'


def test_parts_of_two_runs_never_meet(tmp_path):
    with _part_beside(tmp_path / 'out.mp4') as one, _part_beside(tmp_path / 'out.mp4') as other:
        assert one != other and one.suffix == '.mp4' and one.parent == tmp_path


def test_an_empty_chunk_reports_every_frame():
    (chunk,) = link([make_chunk(5, 3, [])])
    assert report_of([chunk]).without.ranges == [(5, 7)]
