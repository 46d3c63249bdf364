"""Tests of crossings: pairs of overlapping boxes."""

from __future__ import annotations

import time

import numpy as np
import pytest

from facefusion.faces.crossings import APART, CROSSED, Crossings, shared_parts


def box(x: float, size: float = 100.0) -> np.ndarray:
    return np.array([x, 0, x + size, size], np.float32)


def test_shared_part_is_a_fraction_of_the_smaller_box():
    found = shared_parts([box(0), box(50), np.array([10, 10, 30, 30], np.float32), box(500)])
    np.testing.assert_allclose(found[0], [1, 0.5, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found, found.T)
    assert shared_parts([]).shape == (0, 0)


def test_a_crossing_ends_when_the_boxes_have_separated():
    crossings, ended = Crossings(), []
    for x in (0, 50, 75, 90, 96, 200):
        ended.append(crossings.update(['a', 'b'], [box(0), box(x)]))
    assert ended == [[], [], [], [], ['a', 'b'], []]
    assert 'a' not in crossings


def test_boxes_side_by_side_do_not_cross():
    crossings = Crossings()
    assert 100 * (1 - CROSSED) < 85 < 100 * (1 - APART)
    assert crossings.update(['a', 'b'], [box(0), box(85)]) == []
    assert 'a' not in crossings and crossings.update(['a', 'b'], [box(0), box(200)]) == []


@pytest.mark.parametrize('gone', ['a', 'b'])
def test_a_crossing_ends_when_one_face_is_gone(gone):
    crossings = Crossings()
    crossings.update(['a', 'b', 'c'], [box(0), box(30), box(400)])
    left = [key for key in 'abc' if key != gone]
    assert crossings.update(left, [box(0), box(400)]) == [key for key in left if key != 'c']


def test_a_cut_forgets_all_crossings():
    crossings = Crossings()
    crossings.update(['a', 'b'], [box(0), box(30)])
    crossings.clear()
    assert crossings.update(['a', 'b'], [box(0), box(300)]) == []


def test_two_hundred_faces_take_little_time():
    crossings, boxes = Crossings(), [box(30.0 * k, 28) for k in range(200)]
    start = time.process_time()
    for _ in range(20):
        crossings.update(list(range(200)), boxes)
    assert time.process_time() - start < 2
