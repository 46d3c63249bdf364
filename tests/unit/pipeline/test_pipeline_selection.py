"""Tests of the second step of link, the selection of faces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes.face_chunks import Person, cut_up, make_chunk
from fakes.linking import SKIN_ALONE, joined, link

from facefusion.faces.chunk import Selection
from facefusion.faces.options import FaceSelectorOptions
from facefusion.pipeline.selection import Selector, Wanted
from facefusion.pipeline.tracking import Tracker

ONE = Person(100, 100, 30)
OTHER = Person(300, 120, 50, 0.8)


def is_other(found) -> np.ndarray:
    """Return bool [rows]: whether each row belongs to the person on the right."""
    return found['landmarks'][:, :, 0].mean(1) > 200


def test_mode_one_follows_a_person_while_they_are_visible():
    """The selection changes to a larger face only when the followed face disappears, and then follows that face."""
    people = [(ONE, set(range(70)) | set(range(90, 100))), (OTHER, set(range(30, 100)))]
    found = joined(link(cut_up([0, 50, 100], people), face_selector_mode='one'))
    assert found['frame'].tolist() == list(range(100))
    assert np.flatnonzero(is_other(found)).tolist() == list(range(70, 100))


def test_the_order_applies_in_every_frame():
    people = [(ONE, set(range(100))), (OTHER, set(range(30, 60)))]
    for order, first in (('left-right', 100), ('right-left', 300), ('best-worst', 100), ('worst-best', 300)):
        both = joined(link(cut_up([0, 50, 100], people), face_selector_order=order))
        at_40 = both['landmarks'][both['frame'] == 40]
        assert len(at_40) == 2 and abs(at_40[0, :, 0].mean() - first) < 10


def test_two_people_of_equal_size_do_not_alternate_across_chunks():
    # Each chunk has its own track numbers, and the other face is larger in the second chunk.
    first = make_chunk(0, 20, [(frame, k, who) for frame in range(20) for k, who in enumerate((ONE, OTHER))])
    grown = Person(ONE.x, ONE.y, OTHER.size * 1.15)
    second = make_chunk(20, 20, [(frame, k, who) for frame in range(20, 40) for k, who in enumerate((grown, OTHER))])
    chunks = link([first, second], max_faces=1)
    assert np.concatenate([chunk.frame for chunk in chunks]).tolist() == list(range(40))
    middles = np.concatenate([chunk.landmarks[:, :, 0].mean(1) for chunk in chunks])
    assert (np.abs(middles - OTHER.x) < 10).all()
    assert np.concatenate([chunk.left_out for chunk in chunks]).tolist() == [1] * 40
    # Mode 'one' follows one person and counts no other face as left out.
    chunks = link([first, second], max_faces=1, face_selector_mode='one')
    assert all(len(chunk.frame) == 20 and len(chunk.left_out) == 0 for chunk in chunks)


@pytest.mark.parametrize('mode', ['many', 'one'])
def test_a_selection_contains_rows_of_its_chunk_and_changes_none(mode):
    tracker = Tracker(SKIN_ALONE)
    people = [(ONE, set(range(100)) - {45}), (OTHER, set(range(30, 60)))]
    chunks = list(tracker.track(cut_up([0, 50, 100], people, cuts=[70])))
    selector = Selector(Wanted(FaceSelectorOptions(face_selector_mode=mode)), tracker.tracks())
    for chunk in chunks:
        selection = selector.select(chunk)
        rows = selection.rows
        assert (
            rows.dtype == np.int32 and len(set(rows.tolist())) == len(rows) and (np.diff(chunk.frame[rows]) >= 0).all()
        )
        selected = chunk.select(selection)
        for name in ('frame', 'track', 'landmarks', 'score', 'filled'):
            np.testing.assert_array_equal(getattr(selected, name), getattr(chunk, name)[rows])
        assert selected.values.keys() == chunk.values.keys() == {'light', 'free', 'traits'}
        for name, value in selected.values.items():
            np.testing.assert_array_equal(value, chunk.values[name][rows])
            assert value.dtype == chunk.values[name].dtype
        assert (selected.first, selected.count) == (chunk.first, chunk.count)
        np.testing.assert_array_equal(selected.cut, chunk.cut)
        if mode == 'many':
            assert sorted(rows.tolist()) == list(range(len(chunk.frame)))
        else:
            assert np.bincount(selected.frame - chunk.first).tolist() == [1] * chunk.count


def growing(start: int, stop: int, larger_from: int) -> list[tuple[int, int, Person]]:
    """Return rows of two people in all frames; the right one is larger at first, the left one from ``larger_from`` on.

    The difference is a tenth, which is too little for one person to replace the other within a shot.
    """
    small, large = 40, 44
    rows = []
    for frame in range(start, stop):
        sizes = (small, large) if frame < larger_from else (large, small)
        rows += [(frame, k, Person(x, 100, size)) for k, (x, size) in enumerate(zip((100, 300), sizes, strict=True))]
    return rows


@pytest.mark.parametrize('cut', [None, 5, 20, 30, 49, 50, 51, 70, 99])
def test_the_largest_faces_are_selected_again_at_every_cut(cut):
    """The cuts are near the ends of a chunk or between two chunks. The tracks continue, so only the cut matters."""
    inside = [[at for at in [cut] if at is not None and first < at < first + 50] for first in (0, 50)]
    chunks = [
        make_chunk(0, 50, growing(0, 50, 3), cuts=inside[0]),
        make_chunk(50, 50, growing(50, 100, 3), cuts=inside[1], thumbnails=(255 if cut == 50 else 100, 100)),
    ]
    linked = link(chunks, max_faces=1)
    found = joined(linked)
    assert found['frame'].tolist() == list(range(100))
    # The selection stays the same up to the cut.
    assert np.flatnonzero(is_other(found)).tolist() == list(range(100 if cut is None else cut))
    assert all(chunk.left_out.tolist() == [1] * 50 for chunk in linked)
    assert sum(int(chunk.cut.sum()) for chunk in linked) == (cut is not None)


@pytest.mark.parametrize('hole', [1, 4, 50])
def test_the_largest_faces_are_selected_again_after_frames_without_faces(hole):
    """The tracks continue after the gap, so only the gap matters."""
    tracker = Tracker(SKIN_ALONE)
    chunks = list(tracker.track(make_chunk(first, 50, growing(first, first + 50, 3)) for first in (0, 50, 100)))
    seen = [np.flatnonzero((chunk.frame < 40) | (chunk.frame >= 40 + hole)) for chunk in chunks]
    selector = Selector(Wanted(FaceSelectorOptions(max_faces=1)), tracker.tracks())
    linked = []
    for chunk, rows in zip(chunks, seen, strict=True):
        shown = chunk.select(Selection(rows.astype(np.int32)))
        linked.append(shown.select(selector.select(shown)))
    assert np.flatnonzero(is_other(joined(linked))).tolist() == list(range(40))


def test_faces_skipped_by_analyse_count_as_left_out():
    chunk = make_chunk(0, 3, [(0, 0, ONE), (0, 1, OTHER), (1, 0, ONE), (2, 0, ONE)])
    chunk = replace(chunk, left_out=np.array([2, 0, 3], np.int32))
    (many,) = link([chunk], max_faces=1)
    assert many.left_out.tolist() == [3, 0, 3] and many.left_out.dtype == np.int32
    (one,) = link([chunk], max_faces=1, face_selector_mode='one')
    assert len(one.left_out) == 0 and one.frame.tolist() == [0, 1, 2]


def test_a_chunk_without_faces_selects_none():
    (chunk,) = link([make_chunk(5, 3, [])])
    assert (chunk.first, chunk.count, len(chunk.frame), len(chunk.left_out)) == (5, 3, 0, 0)
