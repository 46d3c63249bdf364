"""Tests of the face map as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.errors import UsageError
from facefusion.faces.face_map import MappedPerson, parse_face_map, write_face_map

names = st.text(st.characters(codec='utf-8', exclude_characters='\\\0'), min_size=1).filter(
    lambda name: name == name.strip()
)
entries = st.lists(
    st.builds(MappedPerson, st.lists(names, min_size=1, max_size=3).map(tuple), st.integers(0, 999)),
    min_size=1,
    max_size=4,
).map(tuple)


def test_a_face_map_gives_files_to_people():
    assert parse_face_map('a.jpg=0, b.jpg=2,c.jpg+d e.jpg = 3,') == (
        (('a.jpg',), 0),
        (('b.jpg',), 2),
        (('c.jpg', 'd e.jpg'), 3),
    )


def test_a_backslash_makes_a_sign_part_of_a_name():
    assert parse_face_map(r'a\,b\+c\=d.jpg=1') == ((('a,b+c=d.jpg',), 1),)
    # An equals sign needs none, because the last one separates the number.
    assert parse_face_map('a=b.jpg=1') == ((('a=b.jpg',), 1),)
    # Backslashes of Windows paths stay.
    assert parse_face_map(r'C:\faces\a.jpg=1') == (((r'C:\faces\a.jpg',), 1),)


@given(entries)
def test_a_written_map_is_read_unchanged(written):
    assert parse_face_map(write_face_map(written)) == written


@pytest.mark.parametrize(
    ('text', 'part'),
    [
        ('', 'is empty'),
        (' , ', 'is empty'),
        ('a.jpg', 'without a person: a.jpg'),
        ('a.jpg=', 'without a person: a.jpg='),
        ('a.jpg=x', 'without a person: a.jpg=x'),
        ('a.jpg=-1', 'without a person: a.jpg=-1'),
        ('a.jpg=1.5', 'without a person'),
        ('a.jpg=1000', 'names the person 1000'),
        ('=1', 'without a file: =1'),
        ('a.jpg+=1', 'without a file: a.jpg+=1'),
    ],
)
def test_an_invalid_map_is_refused_with_its_entry(text, part):
    with pytest.raises(UsageError) as refused:
        parse_face_map(text)
    assert refused.value.reference == 'face-map' and part in refused.value.message
    assert 'facefusion faces' in refused.value.hint
