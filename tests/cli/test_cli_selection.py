"""Tests of the options that select people, with the embedded models."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from fakes.program import UNMARKED

pytestmark = pytest.mark.network

LEFT_FIRST = ('--face-selector-order', 'left-right')


@pytest.fixture
def survey(program, face_clip) -> list[dict]:
    """The people of the clip: the first two are visible in all frames, the third leaves on the left."""
    return json.loads(program('faces', face_clip, '--format', 'json').out)['persons']


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format='bgr24').astype(int) for frame in container.decode(video=0)]


def changed_places(one: list[np.ndarray], other: list[np.ndarray]) -> list[tuple[int, int]]:
    """Return the first and last column of each frame that differ clearly; (-1, -1) for none."""
    places = []
    for a, b in zip(one, other, strict=True):
        columns = np.flatnonzero((np.abs(a - b).max(2) > 40).sum(0) > 2)
        places.append((int(columns[0]), int(columns[-1])) if len(columns) else (-1, -1))
    return places


def swap(program, source, target, output, *options):
    words = ('headless-run', *UNMARKED, '-s', source, '-t', target, '-o', output, '--output-video-quality', 95)
    return program(*words, '--progress', 'json', *options)


def test_the_reference_mode_swaps_one_person_in_all_frames(program, portrait_source, face_clip, survey, tmp_path):
    everybody = swap(program, portrait_source, face_clip, tmp_path / 'all.mp4')
    assert everybody.code == 0, everybody.err
    one = ('--face-selector-mode', 'reference', '--reference-frame-number', 40, *LEFT_FIRST)
    first = swap(program, portrait_source, face_clip, tmp_path / 'first.mp4', *one)
    last = swap(program, portrait_source, face_clip, tmp_path / 'last.mp4', *one, '--reference-face-position', 1)
    assert first.code == last.code == 0, first.err + last.err
    people = [result.report['people'] for result in (first, last)]
    for report in people:
        assert (report['count'], report['processed']) == (len(survey), 1)
        (worked_on,) = [each for each in report['persons'] if each['frames_processed']]
        assert worked_on['frames_processed'] == worked_on['frames'] == 60
        others = [each for each in report['persons'] if each is not worked_on]
        assert all(set(each['frames_left_alone']) == {'not the reference'} for each in others)
    assert people[0]['persons'] != people[1]['persons']
    original = frames_of(face_clip)
    lefts = changed_places(original, frames_of(tmp_path / 'first.mp4'))
    rights = changed_places(original, frames_of(tmp_path / 'last.mp4'))
    # In every frame, the two runs change faces that do not overlap.
    assert all(left[0] >= 0 and left[1] < right[0] for left, right in zip(lefts, rights, strict=True))


def test_an_image_of_the_person_is_a_reference(program, portrait_source, face_clip, survey, tmp_path):
    frame = frames_of(face_clip)[30].astype(np.uint8)
    # The right half of a frame shows one of the two people.
    cv2.imwrite(str(tmp_path / 'person.png'), frame[:, 160:])
    options = ('--face-selector-mode', 'reference', '--reference-face', tmp_path / 'person.png')
    done = swap(program, portrait_source, face_clip, tmp_path / 'out.mp4', *options)
    assert done.code == 0, done.err
    assert done.report['people']['processed'] == 1
    original = frames_of(face_clip)
    places = changed_places(original, frames_of(tmp_path / 'out.mp4'))
    assert all(left > 100 for left, _ in places)


def test_the_face_map_leaves_other_people_alone(program, portrait_source, face_clip, survey, tmp_path):
    done = program(
        *('headless-run', *UNMARKED, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--progress', 'json'),
        *('--face-map', f'{portrait_source}=1'),
    )
    assert done.code == 0, done.err
    assert [each['frames_processed'] for each in done.report['people']['persons']] == [0, survey[1]['frames'], 0]
    assert set(done.report['people']['persons'][0]['frames_left_alone']) == {'not in the face map'}


def test_a_stored_step_has_the_files_of_its_face_map(program, portrait_source, face_clip, tmp_path, monkeypatch):
    monkeypatch.chdir(portrait_source.parent)
    words = ('-t', face_clip, '-o', tmp_path / 'out.mp4', '--face-map', f'{portrait_source.name}=1')
    assert program('job-create', 'mapped', *words).code == 0
    (step,) = json.loads((tmp_path / 'jobs' / 'drafted' / 'mapped.json').read_text())['steps']
    assert step['args']['source_paths'] == [str(portrait_source.resolve())]
    assert step['args']['face_map'] == f'{portrait_source.resolve()}=1'


@pytest.mark.parametrize(
    ('options', 'code', 'reference', 'part'),
    [
        (('--face-selector-mode', 'reference', '--reference-frame-number', 60), 2, 'reference-frame', '0 to 59'),
        (('--face-selector-mode', 'reference', '--reference-face', 'gone.png'), 1, 'media-missing', 'gone.png'),
        (('--reference-face', 'gone.png'), 2, 'reference-mode', 'many'),
        (('--face-map', 'PORTRAIT=7'), 2, 'face-map-person', '0 to 2'),
        (('--face-map', 'PORTRAIT=0', '--face-selector-mode', 'one'), 2, 'face-map-mode', 'one'),
        (('--face-map', 'PORTRAIT'), 2, 'face-map', 'without a person'),
        (('--face-map', 'gone.png=0'), 2, 'face-map-sources', 'is a source'),
        (('--face-selector-mode', 'reference', '--face-recognizer-model', 'none'), 2, 'recogniser-missing', 'none'),
        (('--face-selector-age-start', 40, '--face-selector-age-end', 30), 2, 'age-range', 'leave no age'),
        (('--face-selector-gender', 'female'), 6, 'model-missing-offline', 'fairface'),
    ],
)
def test_a_selection_that_cannot_work_is_refused(
    program, portrait_source, face_clip, tmp_path, options, code, reference, part
):
    words = [str(word).replace('PORTRAIT', str(portrait_source)) for word in options]
    failed = swap(program, portrait_source, face_clip, tmp_path / 'out.mp4', *words)
    assert failed.code == code and f'[{reference}]' in failed.err and part in failed.err
    assert not (tmp_path / 'out.mp4').exists()


def test_a_reference_that_nobody_resembles_writes_nothing(program, portrait_source, face_clip, tmp_path):
    options = ('--face-selector-mode', 'reference', '--reference-face', portrait_source)
    failed = swap(program, portrait_source, face_clip, tmp_path / 'out.mp4', *options)
    assert failed.code == 1 and '[nobody-selected]' in failed.err and 'smallest distance' in failed.err
    assert not (tmp_path / 'out.mp4').exists()


def test_a_reference_frame_without_a_face_is_refused(program, portrait_source, tmp_path):
    cv2.imwrite(str(tmp_path / 'blank.png'), np.full((96, 128, 3), 90, np.uint8))
    options = ('--face-selector-mode', 'reference')
    failed = swap(program, portrait_source, tmp_path / 'blank.png', tmp_path / 'out.png', *options)
    assert failed.code == 1 and '[reference-no-face]' in failed.err
