"""Tests of the content check without a run: it reaches the same verdict as a run, for each file independently."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.media_files import write_views
from fakes.scenes import scene
from fakes.screenings import BrightIsBad, GreenIsBad, make_screening
from fakes.scripted_analyser import ScriptedAnalyser

from facefusion.errors import Interrupted
from facefusion.events import StageProgress, silent
from facefusion.faces.measurement_types import Meters
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.probe import probe
from facefusion.media.timeline import build_timeline
from facefusion.models.digests import file_sha256
from facefusion.pipeline.analyse import ChunkAnalysis, FaceTools
from facefusion.pipeline.content_check import check_content
from facefusion.pipeline.plan import Span
from facefusion.stopping import StopFlag

FRAMES, SIZE = 100, (160, 96)


@pytest.fixture
def clip(tmp_path):
    """A clip of three shots; the brightest lasts from frame 50 to 56, between two regular samples."""
    shots = [np.dstack([scene(seed, *SIZE)] * 3) for seed in (1, 2, 3)]
    shots[1] = shots[1] // 2 + 127
    write_views(tmp_path / 'clip.mp4', lambda number: shots[(number >= 50) + (number >= 57)], FRAMES, size=SIZE)
    return tmp_path / 'clip.mp4'


def picture(path, value):
    write_image(PixelFrame(np.full((40, 60, 3), value, np.uint8)), path, 'png', 100, silent)
    return path


def check(path, screening):
    return check_content(path, screening, silent, StopFlag())


def test_a_picture_passes_or_is_refused_with_its_score(tmp_path):
    screening = make_screening(tmp_path / 'kept', BrightIsBad())
    passed = check(picture(tmp_path / 'a.png', 51), screening)
    assert (passed.verdict, passed.frames, passed.error, passed.reason) == ('passed', 1, None, '')
    assert passed.scores == (pytest.approx(0.2),) and passed.thresholds == (0.8,)
    refused = check(picture(tmp_path / 'b.png', 255), screening)
    assert refused.verdict == 'refused' and refused.error.exit_code == 3
    assert refused.reason == 'bright_is_bad 1.000 (threshold 0.8)'


def colour(path, *bgr):
    write_image(PixelFrame(np.full((40, 60, 3), bgr, np.uint8)), path, 'png', 100, silent)
    return path


def test_a_check_states_the_score_of_every_classifier_and_the_votes(tmp_path):
    screening = make_screening(tmp_path / 'kept', BrightIsBad(), GreenIsBad(), BrightIsBad(2.0, 'other'), votes=2)
    passed = check(colour(tmp_path / 'green.png', 0, 255, 0), screening)
    assert passed.verdict == 'passed'
    record = passed.as_record()
    assert record['models'] == [
        {'model_id': 'bright_is_bad', 'threshold': 0.8, 'score': pytest.approx(1 / 3)},
        {'model_id': 'green_is_bad', 'threshold': 10.5, 'score': 20.0},
        {'model_id': 'other', 'threshold': 2.0, 'score': pytest.approx(1 / 3)},
    ]
    assert record['votes'] == 2 and record['frames'] == 1
    refused = check(colour(tmp_path / 'white.png', 255, 255, 255), screening)
    assert refused.verdict == 'refused' and refused.as_record()['votes'] == 2
    assert refused.reason == (
        'bright_is_bad 1.000 (threshold 0.8), green_is_bad 20.000 (threshold 10.5), other 1.000 (threshold 2) '
        '(positive with at least 2 of 3 votes)'
    )


def test_the_worst_frame_has_the_most_votes(tmp_path):
    # Frame 0 has the highest score of the first classifier, frame 1 the highest excess, and frame 2 the most votes.
    colours = [(255, 0, 255), (0, 255, 0), (120, 240, 120)]
    views = [np.full((96, 160, 3), each, np.uint8) for each in colours]
    write_views(tmp_path / 'clip.mp4', views.__getitem__, len(views), size=SIZE)
    screening = make_screening(tmp_path / 'kept', BrightIsBad(0.6), GreenIsBad(15), votes=2)
    verdict = check(tmp_path / 'clip.mp4', screening)
    assert verdict.verdict == 'refused' and verdict.worst.frame == 2
    assert verdict.scores == (pytest.approx(2 / 3, abs=0.03), pytest.approx(20, abs=1))


def test_a_check_scores_the_same_frames_of_a_clip_as_a_run(tmp_path, clip):
    checking, running = BrightIsBad(), BrightIsBad()
    verdict = check(clip, make_screening(tmp_path / 'kept', checking))
    assert verdict.verdict == 'passed' and checking.seen == verdict.frames
    target = probe(clip)
    clip_screening = make_screening(tmp_path / 'other', running).screen_clip(
        target, build_timeline(target), file_sha256(clip)
    )
    analysis = ChunkAnalysis(target, FRAMES, FaceTools(ScriptedAnalyser(), Meters()), clip_screening)
    for span in (Span(0, 57), Span(57, FRAMES)):
        _, findings = analysis.analyse(span, StopFlag())
        clip_screening.add_findings(findings)
    numbers = [sample.frame for sample in clip_screening.samples]
    assert len(numbers) == verdict.frames and {50, 57} <= {*numbers}
    assert verdict.worst in clip_screening.samples and verdict.worst.frame == 50


def test_a_run_and_a_second_check_use_the_scores_of_a_check(tmp_path, clip):
    classifier = BrightIsBad(threshold=0.1)
    screening = make_screening(tmp_path / 'kept', classifier)
    first = check(clip, screening)
    assert first.verdict == 'refused' and first.error.facts['samples'] == first.frames
    seen, told = classifier.seen, []
    second = check_content(clip, screening, told.append, StopFlag())
    assert second.as_record() == first.as_record() and classifier.seen == seen and not told
    assert screening.screen_clip(probe(clip), build_timeline(probe(clip)), file_sha256(clip)).is_cached


@pytest.mark.parametrize('content', [None, b'', b'\x89PNG\r\n\x1a\n' + b'junk' * 9, b'folder'])
def test_an_unreadable_file_has_the_verdict_failed(tmp_path, content):
    path = tmp_path / 'x.png'
    if content == b'folder':
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    verdict = check(path, make_screening(tmp_path / 'kept'))
    assert verdict.verdict == 'failed' and verdict.frames == 0 and verdict.scores == ()
    assert verdict.error.exit_code == 1 and f'[{verdict.error.reference}]' in verdict.reason
    record = verdict.as_record()
    assert record['models'] == [{'model_id': 'bright_is_bad', 'threshold': 2.0, 'score': None}]
    assert record['worst'] is None and record['error']['reference'] == verdict.error.reference


def test_an_unexpected_error_in_one_file_is_its_verdict(tmp_path, monkeypatch):
    def fail(path, emit):
        raise ZeroDivisionError('no width')

    monkeypatch.setattr('facefusion.pipeline.content_check.read_image', fail)
    assert check(picture(tmp_path / 'a.png', 1), make_screening(tmp_path / 'kept')).error.reference == 'unexpected'


def test_a_check_stops_at_the_next_frame(tmp_path, clip):
    flag, classifier = StopFlag(), BrightIsBad()

    def stop(event):
        if isinstance(event, StageProgress) and event.done == 20:
            flag.set('asked to')

    with pytest.raises(Interrupted):
        check_content(clip, make_screening(tmp_path / 'kept', classifier), stop, flag)
    assert classifier.seen <= 2 and not list((tmp_path / 'kept').glob('*'))
