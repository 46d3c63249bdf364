"""The faces of a frame as plain JSON, for the page."""

from __future__ import annotations

from typing import Any

from facefusion.faces.attributes import AGES, ATTRIBUTES, GENDERS, age_of, gender_of
from facefusion.faces.face import landmark_box
from facefusion.faces.role import UNKNOWN
from facefusion.faces.select import order_faces
from facefusion.steps.still_run import FoundFaces

_ONE = 'the mode one takes another face'
_SMALLER = 'larger faces fill --max-faces'


def face_records(found: FoundFaces) -> list[dict[str, Any]]:
    """Return the faces in the order in which they were found.

    ``box`` is x, y, width and height in pixels; ``position`` is the place of the face in the order of the selector
    options, as for --reference-face-position; ``reason`` is '' for a selected face; ``age`` is the first and last year.
    """
    linked, options = found.linked, found.wanted.options
    boxes = landmark_box(linked.landmarks)
    order = order_faces(boxes, linked.score, options.face_selector_order) if len(linked.frame) else []
    positions = {row: position for position, row in enumerate(order)}
    selected = set(found.selection.rows.tolist())
    reasons = found.selector.track_reasons
    left_over = _ONE if options.face_selector_mode == 'one' else _SMALLER
    records = []
    for row, track in enumerate(linked.track.tolist()):
        x0, y0, x1, y1 = (round(float(value), 1) for value in boxes[row])
        gender, age = _attributes(found, track)
        records.append(
            {
                'index': row,
                'box': [x0, y0, round(x1 - x0, 1), round(y1 - y0, 1)],
                'score': round(float(linked.score[row]), 4),
                'is_selected': row in selected,
                'reason': '' if row in selected else reasons.get(track, left_over),
                'position': positions[row],
                'person': found.people.of_track.get(track),
                'gender': gender,
                'age': age,
            }
        )
    return records


def _attributes(found: FoundFaces, track: int) -> tuple[str | None, list[int] | None]:
    votes = found.tracks.values.get(track, {}).get(ATTRIBUTES.name)
    if votes is None:
        return None, None
    gender, age = gender_of(votes), age_of(votes)
    years = [AGES[age].start, AGES[age].stop] if age != UNKNOWN else None
    return (GENDERS[gender] if gender != UNKNOWN else None), years
