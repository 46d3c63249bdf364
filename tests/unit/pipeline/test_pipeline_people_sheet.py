"""Tests of the contact sheet, the crops and the files of a survey."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facefusion.errors import UsageError
from facefusion.events import silent
from facefusion.faces.people import DoubtfulMerge, Person
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.probe import probe
from facefusion.pipeline import people_files
from facefusion.pipeline.people_crops import CropRequest, read_crops
from facefusion.pipeline.people_files import prepare_folder, write_survey
from facefusion.pipeline.people_sheet import SHEET_PEOPLE, ContactSheet
from facefusion.pipeline.people_survey import LISTED_PEOPLE, Doubt, Place, Survey, SurveyedPerson
from facefusion.pipeline.person_views import View
from facefusion.pipeline.ranges import LISTED_RANGES
from facefusion.stopping import StopFlag

VOTES = np.zeros(11, np.float32)
VOTES[[0, 2 + 3]] = 2
RED, BLUE = (0, 0, 255), (255, 0, 0)


@pytest.fixture
def picture(tmp_path):
    """An image of 200x100 with a red left half and a blue right half."""
    pixels = np.full((100, 200, 3), RED, np.uint8)
    pixels[:, 100:] = BLUE
    path = tmp_path / 'faces.png'
    write_image(PixelFrame(pixels), path, 'png', 100, silent)
    return probe(path)


def survey_of(target, count: int, views: int = 1, doubts: int = 0) -> Survey:
    """Return a survey of people whose views are in the left half."""
    persons = []
    for number in range(count):
        seen = tuple(View(0, (20.0 + place, 20.0, 60.0 + place, 60.0), 1.0 - 0.1 * place) for place in range(views))
        person = Person(number, (number,), 1, 0, None, VOTES if number % 2 else None)
        persons.append(SurveyedPerson(person, ((0, 0),), None, 40.0, seen, seen[0]))
    place = Place(0, 0, 0, View(0, (20.0, 20.0, 60.0, 60.0), 1.0))
    found = tuple(Doubt(DoubtfulMerge(number, (0, 1), 0.27, 'similar'), (place, place)) for number in range(doubts))
    return Survey(target, 0, 1, 'dlib_face_resnet', tuple(persons), found)


def filled(survey: Survey) -> np.ndarray:
    sheet = ContactSheet(survey)
    for number, person in enumerate(sheet.people):
        for place in range(len(person.views)):
            sheet.add(number, place, np.full((30, 30, 3), RED, np.uint8))
    return sheet.draw()


def test_a_crop_has_the_face_in_its_middle_and_grey_outside_the_frame(picture):
    views = View(0, (0.0, 0.0, 100.0, 100.0), 1.0), View(0, (90.0, 40.0, 110.0, 60.0), 1.0)
    requests = [CropRequest(number, 0, view) for number, view in enumerate(views)]
    crops = {request.person: crop for request, crop in read_crops(picture, requests, StopFlag())}
    assert crops[0].shape == (170, 170, 3) and crops[1].shape == (34, 34, 3)
    assert tuple(crops[0][85, 85]) == RED and len(set(crops[0][5, 5].tolist())) == 1
    assert tuple(crops[1][17, 3]) == RED and tuple(crops[1][17, 30]) == BLUE


@pytest.mark.parametrize(('count', 'views'), [(1, 1), (1, 6), (30, 6), (200, 6), (SHEET_PEOPLE + 50, 2)])
def test_a_sheet_shows_every_view_of_any_number_of_people(picture, count, views):
    sheet = filled(survey_of(picture, count, views))
    side = ContactSheet(survey_of(picture, count, views)).side
    red = (sheet == RED).all(-1)
    shown = min(count, SHEET_PEOPLE) * views
    assert red.sum() == shown * side * side
    assert max(sheet.shape[:2]) < 5000 and (count < 10 or 0.4 < sheet.shape[0] / sheet.shape[1] < 2.5)


def test_a_sheet_marks_doubtful_people_and_names_known_facts(picture):
    plain, doubtful = filled(survey_of(picture, 4)), filled(survey_of(picture, 4, doubts=2))
    different = (plain != doubtful).any(-1)
    assert different.sum() > 200
    # Only the two doubtful rows differ.
    rows = np.flatnonzero(different.any(1))
    assert np.ptp(rows) < 2 * plain.shape[0] / 3
    known = filled(survey_of(picture, 2)) != filled(
        Survey(picture, 0, 1, 'dlib_face_resnet', survey_of(picture, 1).persons * 2, ())
    )
    assert known.any()


def test_the_files_of_a_survey_replace_those_of_an_earlier_one_and_no_others(picture, tmp_path):
    folder = tmp_path / 'out'
    prepare_folder(folder, picture.path)
    for name in ('people.png', 'person-7.png', 'person-x.png', 'person-1.jpg', 'notes.txt'):
        (folder / name).write_bytes(b'old')
    record = write_survey(folder, survey_of(picture, 3, 2), silent, StopFlag())
    assert sorted(path.name for path in folder.iterdir()) == [
        *('notes.txt', 'people.json', 'people.png', 'person-0.png'),
        *('person-1.jpg', 'person-1.png', 'person-2.png', 'person-x.png'),
    ]
    assert json.loads((folder / 'people.json').read_bytes()) == record and record['sheet'] == 'people.png'
    assert [person['crop'] for person in record['persons']] == ['person-0.png', 'person-1.png', 'person-2.png']
    assert cv2.imread(str(folder / 'person-0.png')).shape == (68, 68, 3)
    assert cv2.imread(str(folder / 'people.png')) is not None
    assert (folder / 'notes.txt').read_bytes() == b'old'


def test_people_beyond_the_sheet_have_a_crop_too(picture, tmp_path, monkeypatch):
    monkeypatch.setattr('facefusion.pipeline.people_sheet.SHEET_PEOPLE', 2)
    record = write_survey(tmp_path, survey_of(picture, 4, 3), silent, StopFlag())
    assert all((tmp_path / person['crop']).is_file() for person in record['persons']) and len(record['persons']) == 4


def test_a_target_is_not_replaced_by_a_file_of_the_survey(tmp_path):
    target = tmp_path / 'person-0.png'
    target.write_bytes(b'')
    with pytest.raises(UsageError, match='would be replaced'):
        prepare_folder(tmp_path, target)
    with pytest.raises(UsageError, match='is not a folder'):
        prepare_folder(target, tmp_path / 'other.png')
    prepare_folder(tmp_path / 'deep' / 'folder', target)
    assert (tmp_path / 'deep' / 'folder').is_dir() and not people_files.is_survey_file('person-a.png')


def test_a_record_states_what_is_known_and_is_bounded(picture):
    record = survey_of(picture, 2, doubts=1).as_record()
    assert record['persons'][1] == {
        'number': 1,
        'frames': 1,
        'seconds': None,
        'ranges': [[0, 0]],
        'more_ranges': 0,
        'tracks': 1,
        'mean_size': 40.0,
        'gender': 'female',
        'age': [20, 29],
        'best_frames': [0],
        'crop': None,
    }
    assert record['persons'][0]['gender'] is record['persons'][0]['age'] is None
    assert record['doubtful'] == [
        {
            'person': 0,
            'distance': 0.27,
            'reason': 'similar',
            'places': [{'first_frame': 0, 'last_frame': 0, 'best_frame': 0, 'box': [20, 20, 60, 60]}] * 2,
        }
    ]
    many = survey_of(picture, LISTED_PEOPLE + 5, doubts=130).as_record()
    assert len(many['persons']) == LISTED_PEOPLE and many['more_persons'] == 5
    assert len(many['doubtful']) == 100 and many['more_doubtful'] == 30
    person = replace(survey_of(picture, 1).persons[0], ranges=tuple((2 * k, 2 * k) for k in range(120)))
    assert len(person.as_record()['ranges']) == LISTED_RANGES and person.as_record()['more_ranges'] == 20
