from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.faces.face import Face, box_overlap, landmark_box
from facefusion.faces.options import ORDERS, FaceSelectorOptions
from facefusion.faces.select import KEEP_PLACE, limit_faces, order_faces

box = st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2).map(
    lambda values: [values[0], values[1], values[0] + values[2], values[1] + values[3]]
)
faces = st.lists(st.tuples(box, st.integers(0, 100)), min_size=1, max_size=8)
KEYS = {
    'left-right': lambda box, score: box[0],
    'right-left': lambda box, score: -box[0],
    'top-bottom': lambda box, score: box[1],
    'bottom-top': lambda box, score: -box[1],
    'small-large': lambda box, score: (box[2] - box[0]) * (box[3] - box[1]),
    'large-small': lambda box, score: -(box[2] - box[0]) * (box[3] - box[1]),
    'best-worst': lambda box, score: -score,
    'worst-best': lambda box, score: score,
}


def ordered(found, order):
    boxes = np.array([box for box, _ in found], np.float32)
    scores = np.array([score for _, score in found], np.float32)
    return order_faces(boxes, scores, order)


def test_all_orders_are_tested():
    assert set(KEYS) == set(ORDERS)


@pytest.mark.parametrize('order', ORDERS)
@given(found=faces)
def test_orders_are_stable_sorts_by_their_key(order, found):
    expected = sorted(range(len(found)), key=lambda index: KEYS[order](*found[index]))
    assert ordered(found, order) == expected


def test_the_default_order_has_the_largest_face_first():
    default = FaceSelectorOptions().face_selector_order
    assert ordered([([0, 0, 5, 5], 90), ([9, 9, 30, 30], 50)], default) == [1, 0]


@given(box, box)
def test_overlap_is_symmetric_and_a_share(a, b):
    assert box_overlap(a, b) == box_overlap(b, a)
    assert 0 <= box_overlap(a, b) <= 1
    assert box_overlap(a, a) == 1


@pytest.mark.parametrize(
    ('other', 'overlap'),
    [([0, 0, 10, 10], 1), ([5, 0, 15, 10], 1 / 3), ([10, 0, 20, 10], 0), ([2, 2, 7, 7], 0.25), ([3, 3, 3, 9], 0)],
)
def test_overlap_is_intersection_over_union(other, overlap):
    assert box_overlap(np.array([0, 0, 10, 10], np.float32), np.array(other, np.float32)) == pytest.approx(overlap)


def test_box_encloses_the_landmarks():
    landmarks = np.random.default_rng(1).random((3, 468, 3)).astype(np.float32)
    boxes = landmark_box(landmarks)
    assert boxes.shape == (3, 4) and boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes[1, :2], landmarks[1, :, :2].min(0))
    np.testing.assert_array_equal(Face(landmarks[1], 1.0, 0.0, 1.0).box, boxes[1])


def squares(*sides: float) -> np.ndarray:
    return np.array([[10, 20, 10 + side / 2, 20 + side] for side in sides], np.float32)


def test_largest_faces_are_selected():
    assert limit_faces(squares(40, 90, 20, 60), [0, 1, 2, 3], (), 2) == [1, 3]
    assert limit_faces(squares(40, 90), [0, 1], (), 2) == [0, 1]
    assert limit_faces(squares(50, 50, 50), [4, 5, 6], (), 2) == [0, 1]


def test_previous_face_is_preferred_to_equals():
    assert limit_faces(squares(50, 52), [0, 1], {0}, 1) == [0]
    assert limit_faces(squares(50, 50 * KEEP_PLACE + 1), [0, 1], {0}, 1) == [1]
    # Two faces whose sizes oscillate do not take turns.
    kept: set[int] = set()
    for frame in range(60):
        sides = squares(50 + 5 * np.sin(frame), 50 + 5 * np.cos(frame))
        (chosen,) = limit_faces(sides, [3, 8], kept, 1)
        kept = {(3, 8)[chosen]}
        assert kept == {8}
