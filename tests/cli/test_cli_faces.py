"""Tests of the command ``faces``, with the embedded models."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.network


@pytest.fixture
def blank(tmp_path):
    path = tmp_path / 'blank.png'
    cv2.imwrite(str(path), np.full((96, 128, 3), 90, np.uint8))
    return path


def record_of(result) -> dict:
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_the_people_of_an_image_are_listed_with_the_largest_first(program, example_group):
    record = record_of(program('faces', example_group, '--format', 'json'))
    assert record.keys() == {
        *('version', 'target', 'kind', 'frames', 'trim', 'recogniser', 'persons', 'more_persons', 'doubtful'),
        *('more_doubtful', 'sheet'),
    }
    assert (record['version'], record['kind'], record['frames'], record['trim']) == (1, 'image', 1, [0, 1])
    assert record['recogniser'] == 'dlib_face_resnet' and record['sheet'] is None
    persons = record['persons']
    assert [person['number'] for person in persons] == list(range(6))
    sizes = [person['mean_size'] for person in persons]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 80
    assert all(person['seconds'] is None and person['best_frames'] == [0] for person in persons)


def test_the_people_of_a_clip_have_screen_time_and_frames(program, face_clip):
    table = program('faces', face_clip)
    assert table.code == 0 and table.out.splitlines()[0].split()[:3] == ['person', 'frames', 'seconds']
    record = record_of(program('faces', face_clip, '--format', 'json'))
    assert len(table.out.splitlines()) == 1 + len(record['persons']) == 4
    most, _, least = record['persons']
    assert (most['frames'], most['seconds'], most['ranges']) == (60, 2.4, [[0, 59]])
    assert 5 <= least['frames'] < 20 and least['seconds'] == pytest.approx(least['frames'] / 25)
    assert len(most['best_frames']) == 6 and np.diff(most['best_frames']).min() > 1
    trimmed = record_of(
        program('faces', face_clip, '--format', 'json', '--trim-frame-start', 30, '--trim-frame-end', 40)
    )
    assert trimmed['frames'] == 10 and trimmed['trim'] == [30, 40]
    assert trimmed['persons'][0]['ranges'] == [[30, 39]] and len(trimmed['persons']) == 2


def test_a_folder_gets_a_sheet_a_record_and_a_picture_of_each_person(program, face_clip, tmp_path):
    folder = tmp_path / 'people'
    record = record_of(program('faces', face_clip, '-o', folder, '--format', 'json'))
    assert json.loads((folder / 'people.json').read_text()) == record and record['sheet'] == 'people.png'
    assert {path.name for path in folder.iterdir()} == {
        *('people.json', 'people.png', 'person-0.png', 'person-1.png', 'person-2.png')
    }
    # A picture of a person shows that person: as an image it has the same face in its middle.
    again = record_of(program('faces', folder / 'person-0.png', '--format', 'json'))
    assert again['persons'][0]['mean_size'] == pytest.approx(record['persons'][0]['mean_size'], rel=0.2)


def test_events_have_the_people_on_stdout(program, face_clip):
    result = program('faces', face_clip, '--progress', 'json')
    (found,) = [event for event in result.events if event['event'] == 'people_found']
    assert result.code == 0 and len(found['survey']['persons']) == 3
    stages = {event['stage'] for event in result.events if event['event'] == 'stage_progress'}
    assert stages == {'analysing'}


def test_a_second_survey_uses_the_analysis_of_the_first(program, face_clip, monkeypatch):
    first = record_of(program('faces', face_clip, '--format', 'json'))

    def fail(*arguments):
        raise AssertionError('the clip is analysed again')

    monkeypatch.setattr('facefusion.pipeline.units.AnalysisUnits.run', fail)
    assert record_of(program('faces', face_clip, '--format', 'json')) == first


def test_a_target_without_a_face_is_an_error_with_advice(program, blank):
    said = program.fails(1, 'target-no-face', 'faces', blank)
    assert '--face-detector-score' in said


def test_the_command_needs_a_recogniser(program, blank):
    assert 'leave the option out' in program.fails(
        2, 'recognizer-none', 'faces', blank, '--face-recognizer-model', 'none'
    )


def test_a_missing_recogniser_is_an_error_offline(program, blank, store, tmp_path):
    weights = tmp_path / 'weights'
    weights.mkdir()
    for model_id in ('centerface', 'face_mesh', 'open_nsfw'):
        shutil.copy(store.path(model_id), weights)
    shutil.copy(store.weights / 'lock.json', weights)
    words = ('faces', blank, '--models-path', weights, '--offline')
    assert 'dlib_face_resnet' in program.fails(6, 'model-missing-offline', *words)


def test_a_folder_that_is_a_file_is_refused_before_the_analysis(program, blank):
    program.fails(2, 'faces-output', 'faces', blank, '-o', blank)
    program.fails(2, 'detector-size', 'faces', blank, '--face-detector-size', '160x160')


def test_a_doubtful_person_is_reported(program, face_clip, monkeypatch):
    from facefusion.faces import people

    distances = dict.fromkeys(people.DISTANCES, people.PeopleDistances(0.99, 0.0, 0.98))
    monkeypatch.setattr(people, 'DISTANCES', distances)
    result = program('faces', face_clip, '--format', 'json')
    record = record_of(result)
    assert len(record['persons']) == 1 and len(record['doubtful']) == 2
    first = record['doubtful'][0]
    assert first['person'] == 0 and first['distance'] > 0.1 and len(first['places']) == 2
    assert 'person 0 may be two people: the faces in the frames ' in result.err
    assert all(place['first_frame'] <= place['best_frame'] <= place['last_frame'] for place in first['places'])
