"""Tests of the selection of people: reference, filters, face map, and the refusal when nobody is selected."""

from __future__ import annotations

import math

import numpy as np
import pytest
from fakes.face_chunks import Person as Seen
from fakes.face_chunks import cut_up
from fakes.linking import SKIN_ALONE

from facefusion.errors import NoFaceError, UsageError
from facefusion.faces.attributes import AGES, GENDERS
from facefusion.faces.options import ARCFACE, FaceSelectorOptions
from facefusion.faces.people import People, Person
from facefusion.faces.recognisers import KINDS
from facefusion.faces.role import NO_SOURCE, FaceRole
from facefusion.pipeline.selection import AttributeFilter, Selector, Wanted, refuse_if_nobody
from facefusion.pipeline.tracking import Tracker
from facefusion.processors.cast import Cast, CastPerson

FEMALE, MALE = range(len(GENDERS))
LEFT, RIGHT = Seen(100, 100, 30), Seen(300, 120, 50)


def votes(gender: int, age: int, count: int = 3) -> np.ndarray:
    found = np.zeros(len(GENDERS) + len(AGES), np.float32)
    found[gender] = found[len(GENDERS) + age] = count
    return found


def at_angle(degrees: float) -> np.ndarray:
    """Return an embedding at an angle from the reference, which has the angle 0."""
    found = np.zeros(512, np.float32)
    found[:2] = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return found


def person(number: int, tracks: tuple[int, ...] = (), degrees: float = 0, attributes=None) -> Person:
    return Person(number, tracks or (number,), 10, 0, at_angle(degrees), attributes)


def people_of(*persons: Person) -> People:
    return People(persons, {track: each.number for each in persons for track in each.tracks})


def selected_rows(wanted: Wanted, people: People, seen=((LEFT, set(range(100))), (RIGHT, set(range(30, 60))))):
    tracker = Tracker(SKIN_ALONE)
    chunks = list(tracker.track(cut_up([0, 50, 100], list(seen))))
    selector = Selector(wanted, tracker.tracks(), people)
    linked = [chunk.select(selector.select(chunk)) for chunk in chunks]
    return selector, linked


REFERENCE = FaceSelectorOptions(face_selector_mode='reference')


def by_reference(limit: float = 0.3) -> Wanted:
    return Wanted(REFERENCE, kind=KINDS[ARCFACE], reference=at_angle(0), limit=limit)


@pytest.mark.parametrize(('degrees', 'distance'), [(0, 0.0), (60, 0.25), (90, 0.5), (180, 1.0)])
def test_the_distance_of_arcface_is_that_of_facefusion(degrees, distance):
    assert by_reference().distance(person(0, degrees=degrees)) == pytest.approx(distance, abs=1e-6)


def test_the_reference_mode_selects_people_below_the_distance():
    people = people_of(person(0, degrees=0), person(1, degrees=90))
    selector, linked = selected_rows(by_reference(), people)
    assert selector.reasons == {1: 'not the reference'}
    tracks = np.concatenate([chunk.track for chunk in linked])
    assert set(tracks.tolist()) == {0} and len(tracks) == 100
    assert [FaceRole.from_values(row).distance for row in linked[0].roles[:1].tolist()] == [0.0]
    # The larger distance accepts both, and the distance 0 none.
    assert selected_rows(by_reference(0.6), people)[0].reasons == {}
    assert set(selected_rows(by_reference(0.0), people)[0].reasons) == {0, 1}


def test_a_person_without_an_embedding_is_not_the_reference():
    unknown = Person(0, (0,), 10, 0)
    assert math.isnan(by_reference(1.0).distance(unknown))
    assert by_reference(1.0).verdict(unknown)[0] == 'not the reference'


def test_the_reference_mode_ignores_gender_and_age():
    wanted = Wanted(REFERENCE, kind=KINDS[ARCFACE], reference=at_angle(0), filter=AttributeFilter(FEMALE, (20, 30)))
    assert wanted.verdict(person(0, attributes=votes(MALE, 8)))[0] == ''


@pytest.mark.parametrize(
    ('ages', 'age', 'reason'),
    [
        ((20, 30), (20, 29), ''),
        ((29, 40), (20, 29), 'age'),
        ((28, 40), (20, 29), ''),
        ((2, 50), (0, 2), 'age'),
        ((1, 50), (0, 2), ''),
        ((0, 3), (3, 9), 'age'),
        ((0, 4), (3, 9), ''),
        ((70, 100), (70, 100), ''),
    ],
)
def test_an_age_range_must_share_a_year_with_the_filter(ages, age, reason):
    assert AttributeFilter(None, ages).refusal(votes(MALE, AGES.index(range(*age)))) == reason


def test_a_gender_filter_leaves_the_others_and_the_unknown_alone():
    only_women = AttributeFilter(FEMALE)
    assert only_women.refusal(votes(FEMALE, 3)) == ''
    assert only_women.refusal(votes(MALE, 3)) == 'gender'
    assert only_women.refusal(None) == 'gender'
    assert AttributeFilter(None, (20, 30)).refusal(None) == 'age'
    assert AttributeFilter().refusal(None) == ''


def test_a_filtered_person_never_takes_the_place_of_another():
    """The larger person is filtered out, so the limit of one face goes to the smaller one, in every frame."""
    people = people_of(person(0, attributes=votes(FEMALE, 3)), person(1, attributes=votes(MALE, 3)))
    wanted = Wanted(FaceSelectorOptions(max_faces=1), filter=AttributeFilter(FEMALE))
    _, linked = selected_rows(wanted, people)
    assert np.concatenate([chunk.track for chunk in linked]).tolist() == [0] * 100
    assert all(len(chunk.left_out) == 0 for chunk in linked)


CAST = Cast(((), ()), (), (CastPerson(0, images=1), CastPerson(1, voice=0)))


def test_the_face_map_gives_each_person_its_sources():
    people = people_of(person(0), person(1), person(2))
    seen = ((LEFT, set(range(100))), (RIGHT, set(range(100))), (Seen(500, 100, 40), set(range(100))))
    selector, linked = selected_rows(Wanted(FaceSelectorOptions(), CAST), people, seen)
    assert selector.reasons == {2: 'not in the face map'}
    roles = {FaceRole.from_values(row)[:3] for chunk in linked for row in chunk.roles.tolist()}
    assert roles == {(0, 1, NO_SOURCE), (1, NO_SOURCE, 0)}


def test_all_tracks_of_a_person_have_its_role():
    people = people_of(person(0, tracks=(0, 1)))
    _, linked = selected_rows(Wanted(FaceSelectorOptions()), people)
    assert {FaceRole.from_values(row).person for chunk in linked for row in chunk.roles.tolist()} == {0}


@pytest.mark.parametrize(('count', 'cause'), [(0, 'it has no person'), (1, 'it has 1 person'), (2, '0 to 1')])
def test_a_map_that_names_a_missing_person_is_refused(count, cause):
    people = people_of(*(person(number) for number in range(count)))
    cast = Cast(((),), (), (CastPerson(0, images=0), CastPerson(7, images=0)))
    with pytest.raises(UsageError) as refused:
        selected_rows(Wanted(FaceSelectorOptions(), cast), people)
    assert refused.value.reference == 'face-map-person' and '7' in refused.value.message
    assert cause in refused.value.cause


def test_mode_one_follows_the_person_and_not_the_track():
    """The followed person moves at once, as at a cut, and becomes larger than the other person."""
    seen = ((LEFT, set(range(50))), (RIGHT, set(range(100))), (Seen(500, 100, 70), set(range(50, 100))))
    wanted = Wanted(FaceSelectorOptions(face_selector_mode='one', face_selector_order='small-large'))
    without_people = np.concatenate([chunk.track for chunk in selected_rows(wanted, People(), seen)[1]])
    assert without_people.tolist() == [0] * 50 + [1] * 50
    people = people_of(person(0, tracks=(0, 2)), person(1, tracks=(1,)))
    followed = np.concatenate([chunk.track for chunk in selected_rows(wanted, people, seen)[1]])
    assert followed.tolist() == [0] * 50 + [2] * 50


def test_a_run_that_selects_nobody_is_refused_with_the_reasons():
    people = people_of(person(0, attributes=votes(MALE, 3)), person(1, attributes=votes(FEMALE, 8)))
    wanted = Wanted(FaceSelectorOptions(), filter=AttributeFilter(FEMALE, (20, 30)))
    selector, _ = selected_rows(wanted, people)
    with pytest.raises(NoFaceError) as refused:
        refuse_if_nobody(selector, people, 0, wanted)
    assert refused.value.reference == 'nobody-selected'
    assert refused.value.cause == '1 person: gender, 1 person: age'
    refuse_if_nobody(selector, people, 1, wanted)


def test_the_refusal_names_the_smallest_distance():
    people = people_of(person(0, degrees=80), person(1, degrees=90))
    selector, _ = selected_rows(by_reference(0.2), people)
    with pytest.raises(NoFaceError, match='no face of the target') as refused:
        refuse_if_nobody(selector, people, 0, by_reference(0.2))
    assert '0.41' in refused.value.hint and '--reference-face-distance' in refused.value.hint


def test_the_distance_zero_selects_no_face_without_a_refusal():
    people = people_of(person(0))
    selector, _ = selected_rows(by_reference(0.0), people)
    refuse_if_nobody(selector, people, 0, by_reference(0.0))


def test_a_target_without_faces_is_no_refusal():
    wanted = Wanted(FaceSelectorOptions(), filter=AttributeFilter(FEMALE))
    selector, _ = selected_rows(wanted, People(), seen=())
    refuse_if_nobody(selector, People(), 0, wanted)
