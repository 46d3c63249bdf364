"""The people of a single frame of a clip, with the numbers that they have in the whole clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facefusion.faces.people import DISTANCES, People, Person
from facefusion.faces.recognisers import RecogniserKind


def people_of_frame(seen: People, known: Sequence[Person], kind: RecogniserKind | None) -> People:
    """Return the people of the clip, with those ``seen`` in a frame assigned to them.

    A face is of the nearest person of the clip, if the distance is one of the same person; otherwise it is of a new
    person with a number above all others.
    """
    measured = [person for person in known if person.embedding is not None]
    numbers, new = dict[int, int](), list[Person]()
    limit = DISTANCES[kind.model_id].same if kind is not None else 0.0
    unused = max((person.number for person in known), default=-1) + 1
    for person in seen.persons:
        number = None
        if kind is not None and person.embedding is not None and measured:
            cosines = [float(person.embedding @ each.embedding) for each in measured if each.embedding is not None]
            nearest = int(np.argmax(cosines))
            if float(kind.distance(cosines[nearest])) <= limit:
                number = measured[nearest].number
        if number is None:
            number = unused + len(new)
            new.append(replace(person, number=number))
        numbers[person.number] = number
    of_track = {track: numbers[number] for track, number in seen.of_track.items()}
    return People((*known, *new), of_track)
