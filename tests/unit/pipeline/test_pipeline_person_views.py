"""Tests of the best views of tracks and people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from fakes.face_chunks import face_at
from hypothesis import given
from hypothesis import strategies as st

from facefusion.faces.chunk import LinkedChunk
from facefusion.pipeline.person_views import (
    PERSON_VIEWS,
    TRACK_VIEWS,
    TrackViews,
    View,
    best_view,
    spread_views,
)

BOX = (0.0, 0.0, 10.0, 10.0)


def chunk_of(first: int, faces: list[np.ndarray]) -> LinkedChunk:
    """Return a chunk with one face of track 0 in each frame."""
    count = len(faces)
    return LinkedChunk(
        first=first,
        count=count,
        frame=np.arange(first, first + count, dtype=np.int32),
        track=np.zeros(count, np.int32),
        landmarks=np.array(faces, np.float32),
        score=np.full(count, 0.9, np.float32),
        values={},
        filled=np.zeros(count, np.bool_),
        cut=np.zeros(count, np.bool_),
    )


def test_the_views_of_a_long_track_are_few_and_spread_over_its_time():
    views = TrackViews(640, 360)
    for first in range(0, 2000, 250):
        views.add(chunk_of(first, [face_at(300, 180, 40)] * 250))
    found = views.of(0)
    assert TRACK_VIEWS // 2 <= len(found) <= TRACK_VIEWS
    gaps = np.diff([view.frame for view in found])
    assert found[0].frame < 500 and found[-1].frame >= 1500 and gaps.min() >= 100


def test_the_best_view_is_large_frontal_and_inside_the_frame():
    views = TrackViews(640, 360)
    turned = face_at(300, 180, 40) * np.array([1, 1, 1], np.float32)
    turned[:, 0] += 0.9 * turned[:, 2]
    views.add(chunk_of(0, [face_at(300, 180, 12), turned, face_at(620, 180, 40), face_at(300, 180, 40)]))
    assert best_view(views.of(0)).frame == 3
    assert [view.frame for view in views.of(0)] == [0, 1, 2, 3]


def test_an_interpolated_face_is_a_worse_view():
    chunk = chunk_of(0, [face_at(300, 180, 40)] * 2)
    views = TrackViews(640, 360)
    views.add(replace(chunk, filled=np.array([True, False])))
    assert best_view(views.of(0)).frame == 1


def test_a_person_has_good_views_at_different_times():
    views = [View(frame, BOX, 1.0 if frame % 10 == 7 else 0.5) for frame in range(60)]
    assert [view.frame for view in spread_views(views)] == [7, 17, 27, 37, 47, 57]
    views[30:] = [view._replace(quality=0.1) for view in views[30:]]
    assert max(view.frame for view in spread_views(views)) < 30


@given(st.dictionaries(st.integers(0, 500), st.floats(0.01, 1), min_size=1, max_size=40))
def test_a_person_has_up_to_six_views_with_the_best_one_among_them(found):
    views = [View(frame, BOX, quality) for frame, quality in found.items()]
    spread = spread_views(views)
    assert 1 <= len(spread) <= PERSON_VIEWS and list(spread) == sorted(set(spread))
    assert best_view(views) in spread
