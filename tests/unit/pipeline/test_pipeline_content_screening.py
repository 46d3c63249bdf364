from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes.media_files import write_views
from fakes.screenings import BrightIsBad, GreenIsBad, LeftIsYoung, make_screening
from fakes.tiny_clip import make_tiny_clip

from facefusion.errors import ContentRefused, InternalError, Interrupted
from facefusion.events import silent
from facefusion.faces.chunk import LinkedChunk
from facefusion.faces.face import Face
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image, write_image
from facefusion.media.probe import probe
from facefusion.media.reader import VideoReader
from facefusion.media.timeline import build_timeline
from facefusion.models.digests import file_sha256
from facefusion.pipeline.content_screening import ChunkFindings
from facefusion.safety.content_gate import Sample
from facefusion.stopping import StopFlag

FRAMES = 100


def picture(tmp_path, value, size=(40, 60), name='picture.png'):
    path = tmp_path / name
    write_image(PixelFrame(np.full((*size, 3), value, np.uint8)), path, 'png', 100, silent)
    return path


def screen(screening, target, timeline):
    """Return the screening of a clip, identified by the digest of its bytes."""
    return screening.screen_clip(target, timeline, file_sha256(target.path))


def show(clip_screening, target, numbers, starts=()):
    """Screen frames as analyse does, in two chunks with a thread each."""
    frames = [frame for frame in VideoReader(target).frames(0, target.frame_count) if frame.number in numbers]
    middle = target.frame_count // 2
    seen = [clip_screening.chunk(0, middle), clip_screening.chunk(middle, target.frame_count)]

    def part(at):
        for frame in frames:
            if (frame.number >= middle) == at:
                seen[at].screen(frame, frame.number in starts, ())

    threads = [threading.Thread(target=part, args=(at,)) for at in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in seen:
        clip_screening.add_findings(each.findings())


@pytest.fixture
def clip(tmp_path):
    """A clip whose brightness is 0.24 to 0.55 of the maximum, and higher by 0.39 from frame 50 on."""
    target = probe(make_tiny_clip(tmp_path / 'clip.mp4', FRAMES, cuts=(50,)))
    return target, build_timeline(target, None, None, None)


def test_a_harmless_source_passes_and_is_scored_once(tmp_path):
    classifier = BrightIsBad()
    screening = make_screening(tmp_path / 'kept', classifier)
    source = picture(tmp_path, 100)
    for _ in range(3):
        screening.check_sources([source], None, silent)
    assert classifier.seen == 1
    copy = tmp_path / 'copy.png'
    copy.write_bytes(source.read_bytes())
    make_screening(tmp_path / 'kept', classifier).check_sources([copy], None, silent)
    assert classifier.seen == 1, 'the content counts, not the name'


def test_a_changed_source_is_scored_again(tmp_path):
    screening = make_screening(tmp_path / 'kept', BrightIsBad())
    source = picture(tmp_path, 100)
    screening.check_sources([source], None, silent)
    picture(tmp_path, 250)
    with pytest.raises(ContentRefused) as refused:
        screening.check_sources([source], None, silent)
    assert refused.value.exit_code == 3 and refused.value.reference == 'content-refused'
    facts = refused.value.as_record()['facts']
    assert facts['models'] == [{'model_id': 'bright_is_bad', 'threshold': 0.8}]
    assert facts['frames'][0]['frame'] == 0 and facts['frames'][0]['scores'][0] == pytest.approx(250 / 255)
    with pytest.raises(ContentRefused):
        screening.check_sources([source], None, silent)


def test_scores_of_another_model_do_not_count(tmp_path):
    source = picture(tmp_path, 250)
    make_screening(tmp_path / 'kept', BrightIsBad(threshold=2.0, model_id='other')).check_sources(
        [source], None, silent
    )
    with pytest.raises(ContentRefused):
        make_screening(tmp_path / 'kept', BrightIsBad()).check_sources([source], None, silent)


def test_scores_of_another_set_of_classifiers_do_not_count(tmp_path):
    source = picture(tmp_path, 250)
    one, two = BrightIsBad(threshold=2.0), GreenIsBad(threshold=99.0)
    make_screening(tmp_path / 'kept', one).check_sources([source], None, silent)
    both = make_screening(tmp_path / 'kept', one, two)
    both.check_sources([source], None, silent)
    assert (one.seen, two.seen) == (2, 1), 'the score of the one classifier is no complete row'
    assert len(both.score_image(read_image(source)).scores) == 2
    for screening in (both, make_screening(tmp_path / 'kept', one)):
        screening.check_sources([source], None, silent)
    assert (one.seen, two.seen) == (2, 1), 'each set has its own scores'
    with pytest.raises(ContentRefused):
        make_screening(tmp_path / 'kept', one, GreenIsBad(19.0)).check_sources([source], None, silent)


def test_a_clip_is_scored_by_every_classifier_on_the_same_frames(tmp_path, clip):
    bright, green = BrightIsBad(threshold=2.0), GreenIsBad(threshold=99.0)
    clip_screening = screen(make_screening(tmp_path / 'kept', bright, green, votes=1), *clip)
    show(clip_screening, clip[0], range(FRAMES), starts=(50,))
    clip_screening.refuse_if_unsafe()
    assert bright.seen == green.seen == len(clip_screening.samples) == 10
    alone = screen(make_screening(tmp_path / 'kept', bright), *clip)
    assert not alone.is_cached, 'scores of two classifiers are not those of one'
    assert screen(make_screening(tmp_path / 'kept', bright, green), *clip).is_cached


def test_findings_of_another_set_of_classifiers_are_not_reused(tmp_path, clip):
    target, timeline = clip
    sets = [(BrightIsBad(2.0),), (GreenIsBad(),), (BrightIsBad(2.0), GreenIsBad()), (GreenIsBad(), BrightIsBad(2.0))]
    screenings = [make_screening(tmp_path / 'kept', *classifiers) for classifiers in sets]
    keys = [json.dumps(each.findings_key(target, timeline, None)) for each in screenings]
    assert len({*keys}) == 4
    one, both = (screen(each, *clip) for each in (screenings[0], screenings[2]))
    seen = one.chunk(0, 50)
    for frame in VideoReader(target).frames(0, 50):
        seen.screen(frame, False)
    assert one.is_complete(seen.findings(), 0, 50) and not both.is_complete(seen.findings(), 0, 50)


def test_long_images_are_judged_by_square_parts(tmp_path):
    classifier = BrightIsBad(threshold=0.9)
    pixels = np.zeros((60, 240, 3), np.uint8)
    pixels[:, 180:] = 255
    path = tmp_path / 'long.png'
    write_image(PixelFrame(pixels), path, 'png', 100, silent)
    with pytest.raises(ContentRefused):
        make_screening(tmp_path / 'kept', classifier).check_image(path, PixelFrame(pixels))
    assert classifier.seen == 4


@pytest.mark.parametrize('ground', [0, 255], ids=['on white', 'on black'])
def test_an_image_that_only_its_alpha_draws_is_detected(tmp_path, ground):
    pixels, alpha = np.full((40, 60, 3), ground, np.uint8), np.full((40, 60), 20 if ground == 0 else 250, np.uint8)
    threshold = 0.9 if ground == 0 else 0.97
    path = tmp_path / 'alpha.png'
    with pytest.raises(ContentRefused):
        make_screening(tmp_path / 'kept', BrightIsBad(threshold)).check_image(path, PixelFrame(pixels, alpha))
    opaque = PixelFrame(pixels, np.full_like(alpha, 255))
    classifier = BrightIsBad(threshold=2.0)
    make_screening(tmp_path / 'kept', classifier).check_image(path, opaque)
    assert classifier.seen == 1, 'an opaque image is judged only once'


def test_scores_are_cached_by_the_judged_pixels_not_by_the_file(tmp_path):
    path = picture(tmp_path, 100)
    screening = make_screening(tmp_path / 'kept', BrightIsBad())
    screening.check_image(path, PixelFrame(np.full((40, 60, 3), 100, np.uint8)))
    with pytest.raises(ContentRefused):
        # These pixels were read before the harmless image replaced them.
        screening.check_image(path, PixelFrame(np.full((40, 60, 3), 250, np.uint8)))
    screening.check_sources([path], None, silent)


def test_an_unused_clip_among_the_sources_is_skipped(tmp_path, clip):
    make_screening(tmp_path / 'kept', BrightIsBad(threshold=0.0)).check_sources([clip[0].path], None, silent)


class Shows:
    """An analyser that finds the given faces."""

    def __init__(self, *faces):
        self.faces = faces

    def find(self, frame):
        return self.faces


def face_of(x, wide, high):
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[:, 0] = x + np.linspace(-wide / 2, wide / 2, 468)
    landmarks[:, 1] = 20 + np.linspace(-high / 2, high / 2, 468)
    return Face(landmarks, 1.0, 0.0, 1.0)


def test_the_largest_face_of_a_source_is_judged_like_the_swapper_uses_it(tmp_path):
    screening = make_screening(tmp_path / 'kept', estimator=LeftIsYoung())
    tall_left, wide_right = face_of(10, 12, 30), face_of(45, 28, 25)
    with pytest.raises(ContentRefused):
        screening.check_sources([picture(tmp_path, 100)], Shows(wide_right, tall_left), silent)


def test_a_clip_is_sampled_about_once_a_second_and_at_the_starts_of_shots(tmp_path, clip):
    classifier = BrightIsBad(threshold=2.0)
    clip_screening = screen(make_screening(tmp_path / 'kept', classifier), *clip)
    show(clip_screening, clip[0], range(FRAMES), starts=(50,))
    # Every clip gets at least eight samples. Here they are every 12th frame and the start of the second shot.
    assert classifier.seen == len(range(0, FRAMES, 12)) + 1
    clip_screening.refuse_if_unsafe()


def test_a_clip_is_refused_for_a_long_enough_scene(tmp_path, clip):
    screening = make_screening(tmp_path / 'kept', BrightIsBad(threshold=0.7))
    clip_screening = screen(screening, *clip)
    show(clip_screening, clip[0], range(FRAMES), starts=(50,))
    with pytest.raises(ContentRefused) as refused:
        clip_screening.refuse_if_unsafe()
    frames = [entry['frame'] for entry in refused.value.as_record()['facts']['frames']]
    assert frames and min(frames) >= 50 and refused.value.as_record()['facts']['samples'] == 10
    seconds = refused.value.as_record()['facts']['frames'][0]['seconds']
    assert seconds == pytest.approx(frames[0] / 25)


def test_a_scored_clip_is_refused_without_scoring_it_again(tmp_path, clip):
    classifier = BrightIsBad(threshold=0.7)
    for _ in range(2):
        clip_screening = screen(make_screening(tmp_path / 'kept', classifier), *clip)
        show(clip_screening, clip[0], range(FRAMES), starts=(50,))
        with pytest.raises(ContentRefused):
            clip_screening.refuse_if_unsafe()
    assert classifier.seen == 10


def test_scores_of_a_part_do_not_count_for_the_whole_clip(tmp_path, clip):
    target, _ = clip
    classifier = BrightIsBad(threshold=0.7)
    part = build_timeline(target, 0, 40, None)
    clip_screening = screen(make_screening(tmp_path / 'kept', classifier), target, part)
    show(clip_screening, target, range(40))
    clip_screening.refuse_if_unsafe()
    seen = classifier.seen
    whole = screen(make_screening(tmp_path / 'kept', classifier), *clip)
    show(whole, target, range(FRAMES), starts=(50,))
    with pytest.raises(ContentRefused):
        whole.refuse_if_unsafe()
    assert classifier.seen > seen


def test_an_unscored_clip_does_not_pass(tmp_path, clip):
    with pytest.raises(Exception, match='not every sampled frame'):
        screen(make_screening(tmp_path / 'kept', BrightIsBad()), *clip).refuse_if_unsafe()


def test_a_clip_with_an_unscored_sample_does_not_pass(tmp_path, clip):
    clip_screening = screen(make_screening(tmp_path / 'kept', BrightIsBad()), *clip)
    show(clip_screening, clip[0], set(range(FRAMES)) - {96})
    with pytest.raises(InternalError, match='not every sampled frame'):
        clip_screening.refuse_if_unsafe()


def timed_clip(tmp_path, times, bad):
    views = {True: np.full((48, 64, 3), 230, np.uint8), False: np.full((48, 64, 3), 60, np.uint8)}
    path = tmp_path / 'timed.mp4'
    write_views(path, lambda number: views[number in bad], len(times), times.__getitem__, (64, 48))
    target = probe(path)
    return target, build_timeline(target, None, None, None)


@pytest.mark.parametrize(
    ('times', 'bad'),
    [
        ([5000 * n for n in range(20)], {7}),
        ([40 * n if n < 400 else 16_000 + 400 * (n - 400) for n in range(440)], set(range(407, 414))),
    ],
    ids=['one slide of twenty', 'three seconds between the samples by number'],
)
def test_time_counts_where_frames_last_longer(tmp_path, times, bad):
    target, timeline = timed_clip(tmp_path, times, bad)
    clip_screening = screen(make_screening(tmp_path / 'kept', BrightIsBad(threshold=0.7)), target, timeline)
    show(clip_screening, target, range(len(times)))
    with pytest.raises(ContentRefused):
        clip_screening.refuse_if_unsafe()


def linked_with(faces):
    """Return a linked chunk of FRAMES frames with faces (track, x) in every frame."""
    rows = [(frame, track, x) for frame in range(FRAMES) for track, x in faces]
    landmarks = np.zeros((len(rows), 468, 3), np.float32)
    grid = np.linspace(-10, 10, 468)
    landmarks[:, :, 0] = np.array([x for _, _, x in rows])[:, None] + grid
    landmarks[:, :, 1] = 40 + grid
    return LinkedChunk(
        first=0,
        count=FRAMES,
        frame=np.array([frame for frame, _, _ in rows], np.int32),
        track=np.array([track for _, track, _ in rows], np.int32),
        landmarks=landmarks,
        score=np.ones(len(rows), np.float32),
        values={},
        filled=np.zeros(len(rows), np.bool_),
        cut=np.zeros(FRAMES, np.bool_),
    )


class At:
    def __init__(self, x):
        self.landmarks = np.zeros((468, 3), np.float32)
        self.landmarks[:, 0] = x + np.linspace(-10, 10, 468)
        self.landmarks[:, 1] = 40 + np.linspace(-10, 10, 468)


@pytest.mark.parametrize(('selected', 'refused'), [((7, 40), True), ((8, 120), False)], ids=['left', 'right'])
def test_only_selected_faces_are_judged_by_age(tmp_path, clip, selected, refused):
    target, timeline = clip
    clip_screening = screen(make_screening(tmp_path / 'kept', estimator=LeftIsYoung()), target, timeline)
    seen = clip_screening.chunk(0, FRAMES)
    for frame in VideoReader(target).frames(0, FRAMES):
        seen.screen(frame, False, [At(40), At(120)])
    clip_screening.add_findings(seen.findings())
    clip_screening.add_linked(linked_with([selected]))
    if not refused:
        clip_screening.refuse_if_unsafe()
        return
    with pytest.raises(ContentRefused) as error:
        clip_screening.refuse_if_unsafe()
    assert error.value.reference == 'age-refused' and error.value.exit_code == 3
    (face,) = error.value.as_record()['facts']['faces']
    assert (face['track'], face['looks'], face['under_18']) == (7, 9, 9)


def test_a_face_that_appears_between_two_samples_is_judged_by_age(tmp_path, clip):
    target, timeline = clip
    clip_screening = screen(make_screening(tmp_path / 'kept', estimator=LeftIsYoung()), target, timeline)
    seen = clip_screening.chunk(0, FRAMES)
    for frame in VideoReader(target).frames(0, FRAMES):
        seen.screen(frame, False, (), [At(40)] if frame.number == 5 else ())
    clip_screening.add_findings(seen.findings())
    clip_screening.add_linked(linked_with([(7, 40)]))
    with pytest.raises(ContentRefused) as error:
        clip_screening.refuse_if_unsafe()
    assert error.value.as_record()['facts']['faces'][0]['frames'][0]['frame'] == 5


def test_damaged_frames_are_reported_by_the_run_that_finds_them_and_by_a_resumed_one(tmp_path, clip):
    target, timeline = clip
    clip_screening = screen(make_screening(tmp_path / 'kept', BrightIsBad(threshold=2.0)), target, timeline)
    chunks = [clip_screening.chunk(0, 50), clip_screening.chunk(50, 100)]
    for frame in VideoReader(target).frames(0, FRAMES):
        frame.is_damaged = frame.number in (3, 4, 5, 49, 50, 99)
        chunks[frame.number >= 50].screen(frame, False)
    findings = [each.findings() for each in chunks]
    for each in findings:
        clip_screening.add_findings(each)
    records = [json.loads(json.dumps(each.as_record())) for each in findings]
    assert [record['damaged'] for record in records] == [[[3, 5], [49, 49]], [[50, 50], [99, 99]]]
    clip_screening.add_linked(linked_with([]))
    other = screen(make_screening(tmp_path / 'kept', BrightIsBad(threshold=2.0)), target, timeline)
    for record, span in zip(records, ((0, 50), (50, 100)), strict=True):
        kept = ChunkFindings.from_record(record)
        assert other.is_complete(kept, *span)
        other.add_findings(kept)
    other.add_linked(linked_with([]))
    for each in (clip_screening, other):
        assert each.damaged.as_lists() == [[3, 5], [49, 50], [99, 99]] and each.damaged.count == 6


def test_a_shot_that_starts_with_the_next_chunk_is_one_sample(tmp_path, clip):
    target, timeline = clip
    classifier = BrightIsBad(threshold=2.0)
    clip_screening = screen(make_screening(tmp_path / 'kept', classifier), target, timeline)
    first, second = clip_screening.chunk(0, 50), clip_screening.chunk(50, FRAMES)
    for frame in VideoReader(target).frames(0, FRAMES):
        (first if frame.number < 50 else second).screen(frame, False)
        if frame.number == 50:
            # Only the analysis of the previous chunk detects that the frame starts a shot.
            first.screen_next(frame)
    assert [each.frame for each in first.findings().samples] == [*range(0, 50, 12), 50]
    for each in (first, second):
        clip_screening.add_findings(each.findings())
        clip_screening.add_findings(each.findings())
    numbers = [each.frame for each in clip_screening.samples]
    assert numbers == sorted([*range(0, FRAMES, 12), 50]) and classifier.seen == len(numbers)
    clip_screening.refuse_if_unsafe()


def test_findings_without_a_sample_or_a_score_are_incomplete(tmp_path, clip):
    clip_screening = screen(make_screening(tmp_path / 'kept', BrightIsBad(threshold=2.0)), *clip)
    seen = clip_screening.chunk(0, 50)
    for frame in VideoReader(clip[0]).frames(0, 50):
        seen.screen(frame, False)
    findings = seen.findings()
    assert (
        clip_screening.is_complete(findings, 0, 50)
        and clip_screening.is_complete(findings, 12, 40)
        and not clip_screening.is_complete(findings, 0, 70)
    )
    for number, sample in enumerate(findings.samples):
        less = (*findings.samples[:number], *findings.samples[number + 1 :])
        assert not clip_screening.is_complete(replace(findings, samples=less), 0, 50)
        unscored = (*less, Sample(sample.frame, sample.seconds, ()))
        assert not clip_screening.is_complete(replace(findings, samples=unscored), 0, 50)


def test_the_screening_stops_when_the_flag_is_set(tmp_path):
    flag = StopFlag()
    flag.set('the test wants it')
    with pytest.raises(Interrupted):
        make_screening(tmp_path / 'kept', flag=flag).check_sources([picture(tmp_path, 3)], None, silent)
