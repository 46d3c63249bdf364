from __future__ import annotations

import numpy as np
from fakes.drawn_face import TOPOLOGY
from fakes.face_chunks import face_at

from facefusion.faces.depth import find_nearer
from facefusion.faces.face import LinkedFace
from facefusion.faces.skin import TRAIT_COUNT

OPEN = np.full((64, 64), 255, np.uint8)


def covered(side: str) -> np.ndarray:
    visibility = OPEN.copy()
    half = np.s_[:, 32:] if side == 'right' else np.s_[:, :32]
    visibility[half] = 0
    return visibility


def skin(visibility: np.ndarray) -> dict[str, np.ndarray]:
    """Return the skin of a linked face with this visibility."""
    return {'light': np.zeros((32, 32, 4), np.float16), 'free': visibility, 'traits': np.zeros(TRAIT_COUNT, np.float32)}


def order(*faces: LinkedFace) -> list[tuple[int, set[int]]]:
    return [(face.track, {other.track for other in nearer}) for face, nearer in find_nearer(TOPOLOGY, faces)]


def test_separate_faces_have_none_in_front():
    left, right = LinkedFace(0, face_at(100, 100, 40), 0.9), LinkedFace(1, face_at(600, 100, 60), 0.9)
    assert order(right, left) == [(0, set()), (1, set())]


def test_larger_face_is_nearer_if_visibility_is_equal():
    small = LinkedFace(0, face_at(160, 100, 50), 0.9, values=skin(OPEN))
    large = LinkedFace(1, face_at(100, 100, 60), 0.9, values=skin(OPEN))
    assert order(large, small) == [(0, {1}), (1, set())]
    assert order(LinkedFace(0, small.landmarks, 0.9), LinkedFace(1, large.landmarks, 0.9)) == [(0, {1}), (1, set())]


def test_covered_face_is_behind_at_any_size():
    small = LinkedFace(0, face_at(160, 100, 50), 0.9, values=skin(OPEN))
    large = LinkedFace(1, face_at(100, 100, 60), 0.9, values=skin(covered('right')))
    assert order(large, small) == [(1, {0}), (0, set())]
    large_free = LinkedFace(1, large.landmarks, 0.9, values=skin(OPEN))
    assert order(LinkedFace(0, small.landmarks, 0.9, values=skin(covered('left'))), large_free) == [
        (0, {1}),
        (1, set()),
    ]


def test_three_faces_are_ordered_from_far_to_near():
    back = LinkedFace(0, face_at(100, 100, 60), 0.9, values=skin(covered('right')))
    middle = LinkedFace(1, face_at(160, 100, 55), 0.9, values=skin(covered('right')))
    front = LinkedFace(2, face_at(220, 100, 50), 0.9, values=skin(OPEN))
    assert [track for track, _ in order(front, middle, back)] == [0, 1, 2]


def test_cycle_of_faces_has_an_order():
    faces = [
        LinkedFace(k, face_at(100 + 5 * k, 100, 50), 0.9, values=skin(covered(('left', 'right')[k % 2])))
        for k in range(5)
    ]
    assert sorted(track for track, _ in order(*faces)) == [0, 1, 2, 3, 4]
