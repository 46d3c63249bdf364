from __future__ import annotations

import numpy as np

from facefusion.faces.options import DLIB
from facefusion.faces.people import People, Person
from facefusion.faces.recognisers import KINDS
from facefusion.pipeline.still_people import people_of_frame

KIND = KINDS[DLIB]


def person(number, direction):
    embedding = np.zeros(128, np.float32)
    embedding[direction] = 1
    return Person(number=number, tracks=(number,), frames=1, first=0, embedding=embedding, attributes=None)


def test_the_faces_of_a_frame_get_the_numbers_of_the_clip():
    known = [person(0, 3), person(1, 7), person(2, 9)]
    seen = People((person(0, 7), person(1, 20)), {0: 0, 1: 1})
    found = people_of_frame(seen, known, KIND)
    assert found.of_track == {0: 1, 1: 3}, 'an unknown face is a new person'
    assert [each.number for each in found.persons] == [0, 1, 2, 3]
    assert people_of_frame(seen, known, None).of_track == {0: 3, 1: 4}
