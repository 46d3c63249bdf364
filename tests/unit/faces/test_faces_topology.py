from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces import topology as shape
from facefusion.faces.topology import VERTEX_COUNT, eye_distance, load_topology, shape_residual, vertex_normals

TOPOLOGY = load_topology()
RINGS = {
    name: getattr(shape, name)
    for name in ('OVAL', 'OUTER_LIPS', 'INNER_LIPS', 'EYE_IMAGE_LEFT', 'EYE_IMAGE_RIGHT', 'BROW_IMAGE_LEFT')
}


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    return (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    )


def edges(triangles: np.ndarray) -> list[frozenset[int]]:
    return [frozenset((t[a], t[b])) for t in triangles.tolist() for a, b in ((0, 1), (1, 2), (2, 0))]


def test_tables_have_the_documented_shapes():
    assert TOPOLOGY.triangles.shape == (898, 3) and TOPOLOGY.surface.shape == (852, 3)
    assert (
        TOPOLOGY.mirror.shape == (468,) and TOPOLOGY.mean_shape.shape == (468, 3) and TOPOLOGY.atlas.shape == (468, 2)
    )
    assert TOPOLOGY.fans.shape[0] == 468 and len(TOPOLOGY.rigid) > 50
    for table, kind in (
        (TOPOLOGY.triangles, np.int32),
        (TOPOLOGY.mean_shape, np.float32),
        (TOPOLOGY.atlas, np.float32),
    ):
        assert table.dtype == kind


def test_triangles_face_the_front_except_for_folded_lip_corners():
    """Triangles of the mesh keep their orientation on faces; those of the filled holes are oriented in the atlas."""
    a, b, c = (TOPOLOGY.atlas[TOPOLOGY.triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])
    assert (area[852:] < 0).all()
    assert (area[:852] < 0).sum() >= 852 - 8
    np.testing.assert_array_equal(TOPOLOGY.triangles[:852], TOPOLOGY.surface)


def test_filled_surface_has_no_holes():
    """Each inner edge belongs to two triangles; the edges of only one triangle form the outline of the face."""
    counts: dict[frozenset[int], int] = {}
    for edge in edges(TOPOLOGY.triangles):
        counts[edge] = counts.get(edge, 0) + 1
    assert set(counts.values()) == {1, 2}
    outline = {frozenset(pair) for pair in zip(shape.OVAL, (*shape.OVAL[1:], shape.OVAL[0]), strict=True)}
    assert {edge for edge, count in counts.items() if count == 1} == outline
    assert len({frozenset(triangle) for triangle in TOPOLOGY.triangles.tolist()}) == 898
    assert set(TOPOLOGY.triangles.ravel().tolist()) == set(range(VERTEX_COUNT))


def test_atlas_is_not_folded():
    """The triangles cover the area of the outline, except for a few slivers at the mouth corners."""
    a, b, c = (TOPOLOGY.atlas[TOPOLOGY.triangles[:, k]].astype(float) for k in range(3))
    total = np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])).sum() / 2
    x, y = TOPOLOGY.atlas[list(shape.OVAL)].astype(float).T
    enclosed = abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2
    assert enclosed <= total < enclosed * 1.0005
    assert TOPOLOGY.atlas.min() > 0 and TOPOLOGY.atlas.max() < 1


def test_mirror_is_its_own_inverse_and_mirrors_the_shapes():
    mirror = TOPOLOGY.mirror
    np.testing.assert_array_equal(mirror[mirror], np.arange(468))
    np.testing.assert_allclose(TOPOLOGY.atlas[mirror], TOPOLOGY.atlas * [-1, 1] + [1, 0], atol=2e-3)
    flipped = TOPOLOGY.mean_shape[mirror] * [-1, 1, 1]
    np.testing.assert_allclose(flipped - flipped.mean(0), TOPOLOGY.mean_shape - TOPOLOGY.mean_shape.mean(0), atol=1e-3)
    assert mirror[33] == 263 and mirror[61] == 291 and mirror[1] == 1
    assert [int(mirror[v]) for v in shape.EYE_IMAGE_LEFT] == list(shape.EYE_IMAGE_RIGHT)
    assert [int(mirror[v]) for v in shape.BROW_IMAGE_LEFT] == list(shape.BROW_IMAGE_RIGHT)


@pytest.mark.parametrize('name', RINGS)
def test_rings_are_closed_chains_of_different_vertices(name):
    ring = RINGS[name]
    assert len(set(ring)) == len(ring)
    known = set(edges(TOPOLOGY.surface))
    assert all(frozenset(pair) in known for pair in zip(ring, (*ring[1:], ring[0]), strict=True))


def test_rings_are_at_the_named_positions():
    centre = {name: TOPOLOGY.atlas[list(ring)].mean(0) for name, ring in RINGS.items()}
    assert centre['EYE_IMAGE_LEFT'][0] < 0.5 < centre['EYE_IMAGE_RIGHT'][0]
    assert centre['BROW_IMAGE_LEFT'][1] < centre['EYE_IMAGE_LEFT'][1] < centre['OUTER_LIPS'][1]


def test_mean_shape_has_eye_distance_one_and_faces_the_camera():
    assert eye_distance(TOPOLOGY.mean_shape) == pytest.approx(1, abs=0.01)
    assert TOPOLOGY.mean_shape[1, 2] < TOPOLOGY.mean_shape[[234, 454], 2].min()
    assert TOPOLOGY.mean_shape[10, 1] < TOPOLOGY.mean_shape[152, 1]


def test_normals_are_unit_and_turn_with_the_face():
    normals = vertex_normals(TOPOLOGY, TOPOLOGY.mean_shape)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-5)
    assert (normals[:, 2] < 0).mean() > 0.95 and normals[5, 2] < -0.7
    assert normals[234, 0] < -0.5 and normals[454, 0] > 0.5
    turned = rotation(0.5, -0.2, 0.3).astype(np.float32)
    moved = vertex_normals(TOPOLOGY, TOPOLOGY.mean_shape @ turned.T * 55)
    np.testing.assert_allclose(moved, normals @ turned.T, atol=1e-4)


@given(st.floats(5, 900), st.tuples(*[st.floats(-1.2, 1.2)] * 3), st.tuples(st.floats(0, 4000), st.floats(0, 4000)))
@settings(max_examples=50)
def test_mean_shape_fits_itself_at_any_position(size, turns, place):
    moved = (TOPOLOGY.mean_shape @ rotation(*turns).T * size + [*place, 0]).astype(np.float32)
    assert shape_residual(TOPOLOGY, moved) < 1e-3


def test_residual_is_low_for_expressions_and_high_for_noise_and_mirrors():
    open_mouth = TOPOLOGY.mean_shape.copy()
    open_mouth[[14, 17, 87, 317, 84, 314, 152], 1] += 0.3
    assert shape_residual(TOPOLOGY, open_mouth) < 0.01
    random = np.random.default_rng(3)
    for _ in range(5):
        assert shape_residual(TOPOLOGY, random.normal(0, 50, (468, 3)).astype(np.float32)) > 0.5
    flat = TOPOLOGY.mean_shape * [1, 1, 0]
    assert shape_residual(TOPOLOGY, flat.astype(np.float32)) > 0.12
    for inside_out in ([-1, 1, 1], [1, 1, -1]):
        assert shape_residual(TOPOLOGY, (TOPOLOGY.mean_shape * inside_out).astype(np.float32)) > 0.12


@pytest.mark.parametrize('landmarks', [np.zeros((468, 3)), np.full((468, 3), np.inf), np.full((468, 3), np.nan)])
def test_degenerate_points_do_not_fit(landmarks):
    with np.errstate(invalid='ignore'):
        assert shape_residual(TOPOLOGY, landmarks.astype(np.float32)) == float('inf')
