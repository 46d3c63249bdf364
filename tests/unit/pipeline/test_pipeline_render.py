"""Tests of the tasks that processors get; segments, order and number of threads must not change any pixel."""

from __future__ import annotations

import hashlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction

import numpy as np
import pytest
from fakes import ffmpeg_program as ffmpeg
from fakes.face_chunks import Person, cut_up
from fakes.fidelity_clips import AAC, pictures, sound, tagged
from fakes.linking import NOTHING, link
from fakes.media_files import write_views
from fakes.pass_through import plan_pass
from fakes.tiny_clip import decoded_luma, luma_of, make_tiny_clip

from facefusion.faces.skin import linked_skin
from facefusion.media.planes import plane_views
from facefusion.media.probe import probe
from facefusion.media.reader import ReaderPool, VideoReader
from facefusion.pipeline.plan import Span
from facefusion.pipeline.processor_chain import Chain
from facefusion.pipeline.render import LinkedFaces, SegmentRendering, Shown, faces_of, shown_frames
from facefusion.processors.registration import Requirements, joined
from facefusion.stopping import StopFlag

ONE, OTHER = Person(100, 100, 30), Person(300, 120, 50, 0.8)
FRAMES, SIZE = 48, (64, 48)
WITH_FACE = frozenset(range(12, 40))
EVERY = Requirements(every_frame=True)
AROUND = Requirements(every_frame=True, neighbours=2, original=True)
AUDIO = Requirements(every_frame=True, source_audio=True)
# The clip is uniform, so these weights of the neighbours, different in every pixel, reveal shifted pixels.
WEIGHTS = np.random.default_rng(5).uniform(-0.3, 0.3, (5, SIZE[1], SIZE[0])).astype(np.float32)


def linked(borders, people):
    return link(cut_up(borders, people))


def linked_bare(borders, people):
    """Return the linked chunks without skin measurements."""
    return link(cut_up(borders, people, skin=False), NOTHING)


@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    """A clip whose brightness decreases by one code per frame."""
    return make_tiny_clip(tmp_path_factory.mktemp('render') / 'clip.mp4', FRAMES, SIZE)


@pytest.fixture
def planned(clip, tmp_path):
    def plan(segment_frames=10, target=clip, **flags):
        return plan_pass(target, tmp_path / 'out.mp4', segment_frames, **flags)

    return plan


def rendering(plan, *chain, **more) -> SegmentRendering:
    """Return the rendering of a clip with a face in the frames WITH_FACE; ``chain`` has (processor, requirements)."""
    (chunk,) = linked_bare([plan.video.timeline.start, FRAMES], [(ONE, set(WITH_FACE))])
    needed = joined(requirements for _, requirements in chain)
    return SegmentRendering(plan.target, plan.video, Chain(chain), needed, LinkedFaces(lambda _: chunk), **more)


def rendered(made: SegmentRendering, segment: Span) -> list:
    with closing(made.frames(segment, StopFlag())) as frames:
        return list(frames)


def digest(frame) -> str:
    planes = [np.ascontiguousarray(plane).tobytes() for plane in plane_views(frame.video)]
    return hashlib.sha256(b''.join(planes)).hexdigest()


class Noting:
    """A processor that changes nothing and records every task."""

    name = 'noting'

    def __init__(self):
        self.batches = []
        self.tasks = []
        self._lock = threading.Lock()

    def process(self, batch):
        with self._lock:
            self.batches.append([task.frame.number for task in batch])
            self.tasks += batch
        return [False] * len(batch)


class Brightener:
    """A processor that adds twenty codes of luma."""

    name = 'brightener'

    def process(self, batch):
        for task in batch:
            task.frame.add_luma(np.full((task.frame.height, task.frame.width), 20, np.float32))
        return [True] * len(batch)


class Mixer:
    """A processor that adds to each pixel a function of the neighbours, the original, the time and the faces."""

    name = 'mixer'

    def process(self, batch):
        for task in batch:
            around = sum(WEIGHTS[k] * each.luma() for k, each in enumerate(task.neighbours))
            shift = float(task.seconds) * 3 + (task.faces[0].landmarks[:, 0].std() if task.faces else 0)
            task.frame.add_luma(around - task.original.luma() * np.float32(0.2) + np.float32(shift))
        return [True] * len(batch)


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


def test_one_linked_chunk_is_in_memory_and_loaded_once():
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


def test_runs_of_output_frames_show_one_source_frame():
    assert shown_frames([4, 4, 5, 7, 7, 7], 10) == [Shown(4, 10, 12), Shown(5, 12, 13), Shown(7, 13, 16)]
    assert shown_frames([], 3) == []


@pytest.mark.parametrize('trim', [(0, FRAMES), (9, 41)])
def test_neighbours_are_the_untouched_frames_of_the_target_around_each(planned, clip, trim):
    plan = planned(7, trim_frame_start=trim[0], trim_frame_end=trim[1])
    decoded = {frame.number: frame.luma() for frame in VideoReader(probe(clip)).frames(0, FRAMES)}
    noting = Noting()
    made = rendering(plan, (Brightener(), EVERY), (noting, AROUND), (Brightener(), Requirements()), batch=3)
    for segment in plan.video.segments:
        assert [each.frame.number for each in rendered(made, segment)] == [trim[0] + k for k in range(*segment)]
    assert [task.frame.number for task in noting.tasks] == list(range(*trim))
    for task in noting.tasks:
        number = task.frame.number
        wanted = [min(max(k, trim[0]), trim[1] - 1) for k in range(number - 2, number + 3)]
        assert [each.number for each in task.neighbours] == wanted
        for each in (*task.neighbours, task.original):
            np.testing.assert_array_equal(each.luma(), decoded[each.number])
            assert not each.is_touched
        assert task.original.number == number
        np.testing.assert_array_equal(task.frame.luma(), decoded[number] + np.uint8(20 + 20 * (number in WITH_FACE)))


def test_a_task_contains_only_what_processors_require(planned):
    noting = Noting()
    rendered(rendering(planned(), (noting, EVERY)), Span(0, 20))
    assert len(noting.tasks) == 20
    for task in noting.tasks:
        assert task.neighbours == () and task.original is None
        assert len(task.faces) == (task.frame.number in WITH_FACE)


def test_every_frame_that_is_needed_is_decoded_once(planned):
    plan = planned(10, trim_frame_start=3)
    read = []

    class Readers:
        def frames(self, start, stop):
            for frame in VideoReader(plan.target).frames(start, stop):
                read.append(frame.number)
                yield frame

    for segment, needed in ((Span(0, 10), range(3, 15)), (Span(10, 20), range(11, 25)), (Span(40, 45), range(41, 48))):
        rendered(rendering(plan, (Noting(), AROUND), readers=Readers()), segment)
        assert read == list(needed)
        read.clear()


@pytest.mark.parametrize('requirements', [EVERY, AROUND], ids=['alone', 'with neighbours'])
def test_a_repeated_frame_is_rendered_once_without_audio(planned, requirements):
    plan = planned(9, output_video_fps=50)
    noting = Noting()
    made = rendering(plan, (noting, requirements), (Brightener(), EVERY))
    # A segment border is between the two output frames that show frame 4.
    found = [rendered(made, segment) for segment in plan.video.segments[:2]]
    assert [[(*each.shown,) for each in part] for part in found] == [
        [(0, 0, 2), (1, 2, 4), (2, 4, 6), (3, 6, 8), (4, 8, 9)],
        [(4, 9, 10), (5, 10, 12), (6, 12, 14), (7, 14, 16), (8, 16, 18)],
    ]
    assert [task.frame.number for task in noting.tasks] == [0, 1, 2, 3, 4, 4, 5, 6, 7, 8]
    assert digest(found[0][-1].frame) == digest(found[1][0].frame)


def test_a_repeated_frame_is_rendered_for_each_time_with_audio(planned):
    plan = planned(9, output_video_fps=50)
    noting = Noting()
    made = rendering(plan, (Brightener(), EVERY), (noting, AUDIO))
    found = rendered(made, Span(9, 18))
    assert [(*each.shown,) for each in found] == [(k // 2, k, k + 1) for k in range(9, 18)]
    assert [task.frame.number for task in noting.tasks] == [k // 2 for k in range(9, 18)]
    assert [task.seconds for task in noting.tasks] == [Fraction(k, 50) for k in range(9, 18)]
    # Each output frame is brightened once, although two of them come from the same decoded frame.
    for each in found:
        assert each.frame.luma().mean() == pytest.approx(luma_of(each.frame.number) + 20, abs=1.5)


@pytest.mark.parametrize(
    ('flags', 'rate'),
    [
        ({}, Fraction(25)),
        ({'output_video_fps': 59.94}, Fraction(60000, 1001)),
        ({'output_video_fps': 10}, Fraction(10)),
    ],
    ids=['as it was', 'faster', 'slower'],
)
def test_seconds_are_exact_at_a_constant_rate(planned, flags, rate):
    plan = planned(20, trim_frame_start=5, **flags)
    noting = Noting()
    made = rendering(plan, (noting, AUDIO))
    for segment in plan.video.segments:
        rendered(made, segment)
    assert [task.seconds for task in noting.tasks] == [k / rate for k in range(plan.video.timeline.frame_count)]


def test_seconds_are_exact_at_a_variable_rate(planned, tmp_path):
    times = [40 * k + 13 * (k % 3) + 130 * (k > 20) for k in range(FRAMES)]
    views = [np.full((SIZE[1], SIZE[0], 3), 60 + k, np.uint8) for k in range(FRAMES)]
    path = write_views(tmp_path / 'uneven.mp4', views.__getitem__, FRAMES, times.__getitem__, SIZE)
    plan = planned(10, path, trim_frame_start=4)
    noting = Noting()
    made = rendering(plan, (noting, EVERY))
    for segment in plan.video.segments:
        rendered(made, segment)
    assert [task.seconds for task in noting.tasks] == [Fraction(each - times[4], 1000) for each in times[4:]]


def test_seconds_count_from_the_first_frame_after_earlier_audio(planned, tmp_path):
    path = tmp_path / 'late.mp4'
    ffmpeg.ffmpeg('-v', 'error', '-itsoffset', 0.32, *pictures(0.4, size='64x48'), *sound(1), *tagged(), *AAC, path)
    plan = planned(10, path)
    assert plan.video.timeline.pts[0] * plan.video.timeline.time_base == Fraction(32, 100)
    noting = Noting()
    rendered(rendering(plan, (noting, EVERY)), Span(0, 10))
    assert [task.seconds for task in noting.tasks] == [Fraction(k, 25) for k in range(10)]


@pytest.fixture(scope='module')
def alone(clip, tmp_path_factory):
    """The digest of each output frame, rendered in one segment of 48 frames, one frame after the other."""
    plan = plan_pass(clip, tmp_path_factory.mktemp('alone') / 'out.mp4', FRAMES)
    found = rendered(rendering(plan, *MIXED), Span(0, FRAMES))
    digests = {each.frame.number: digest(each.frame) for each in found}
    assert len(set(digests.values())) == FRAMES
    return digests


MIXED = ((Brightener(), Requirements()), (Mixer(), AROUND))


@pytest.mark.parametrize('workers', [1, 3])
@pytest.mark.parametrize('batch', [1, 3, 8])
def test_batches_and_workers_change_no_pixel(planned, alone, batch, workers):
    plan, noting = planned(20), Noting()
    made = rendering(plan, *MIXED, (noting, EVERY), batch=batch, workers=workers)
    found = [each for segment in plan.video.segments for each in rendered(made, segment)]
    assert {each.frame.number: digest(each.frame) for each in found} == alone
    assert [each.frame.number for each in found] == list(range(FRAMES))
    # The last batch of a segment contains the remaining frames.
    wanted = [list(range(a, min(a + batch, b))) for s, b in ((0, 20), (20, 40), (40, 48)) for a in range(s, b, batch)]
    assert sorted(noting.batches) == wanted


@pytest.mark.parametrize('seed', range(3))
def test_segments_in_any_order_and_in_parallel_have_the_same_pixels(planned, alone, seed):
    plan = planned(random.Random(seed).choice((5, 7, 11)))
    segments = list(plan.video.segments)
    random.Random(seed).shuffle(segments)
    with closing(ReaderPool(plan.target, 3)) as readers, ThreadPoolExecutor(3) as threads:
        made = rendering(plan, *MIXED, batch=3, workers=2, readers=readers)
        parts = list(threads.map(lambda segment: rendered(made, segment), segments, timeout=60))
    digests = {each.frame.number: digest(each.frame) for part in parts for each in part}
    assert digests == alone and sum(map(len, parts)) == FRAMES


class EvenMarked:
    """Watermarks for only the frames with even numbers."""

    def apply(self, frame, profile):
        return frame.number % 2 == 0


def test_a_segment_is_written_with_its_times_and_the_facts_count_output_frames(planned, tmp_path):
    plan = planned(30, output_video_fps=50, output_video_quality=100)
    made = rendering(plan, (Brightener(), Requirements()), watermarks=EvenMarked())
    advanced, segment = [], plan.video.segments[0]
    facts = made.write(segment, tmp_path / 'segment.nut', StopFlag(), lambda: advanced.append(1))
    # The 30 output frames show 15 frames twice each. Frames 12 to 14 have a face, and 8 of the 15 have even numbers.
    assert (facts.changed_frames, facts.marked_frames, len(advanced)) == (6, 16, 30)
    shown = decoded_luma(tmp_path / 'segment.nut')
    wanted = [luma_of(k // 2) + 20 * (k // 2 in WITH_FACE) for k in range(30)]
    assert shown == pytest.approx(wanted, abs=1.5)
