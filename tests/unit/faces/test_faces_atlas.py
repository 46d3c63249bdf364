from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from fakes.face_chunks import MEAN_SHAPE, face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, median, quantile, smooth_step
from facefusion.faces.raster import (
    OUTSIDE,
    atlas_coordinates,
    paint_triangles,
    project_coordinates,
    visible_triangles,
)
from facefusion.faces.topology import INNER_LIPS, load_topology, signed_areas

TOPOLOGY = load_topology()
SIZE = 64
GRID = AtlasGrid(TOPOLOGY, SIZE)
MASKS = AtlasMasks(TOPOLOGY, AtlasGrid(TOPOLOGY, 128))
affine = st.tuples(*[st.floats(-200, 200)] * 6)


def turned(degrees: float, size: float = 60) -> np.ndarray:
    """Return the mean shape with the head turned to the side, float32 [468,3]."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return ((MEAN_SHAPE - MEAN_SHAPE.mean(0)) @ matrix.T * size + [150, 150, 0]).astype(np.float32)


@given(affine)
@settings(max_examples=25, deadline=None)
def test_maps_reproduce_an_affine_function(coefficients):
    matrix = np.array(coefficients, np.float64).reshape(2, 3)
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[:, :2] = TOPOLOGY.atlas @ matrix[:, :2].T + matrix[:, 2]
    map_x, map_y = GRID.maps(landmarks)
    rows, columns = np.nonzero(GRID.inside)
    texels = (np.stack([columns, rows], 1) + 0.5) / SIZE
    expected = texels @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(np.stack([map_x[rows, columns], map_y[rows, columns]], 1), expected, atol=0.05)
    assert map_x.dtype == map_y.dtype == np.float32


def test_maps_outside_the_mesh_stay_in_the_face():
    """Sampling then reads only the part of the frame that shows the face."""
    face = face_at(200, 200, 50)
    map_x, map_y = GRID.maps(face)
    outside = GRID.inside == 0
    assert 0.2 < outside.mean() < 0.5
    for part, axis in ((map_x, 0), (map_y, 1)):
        assert part.min() > face[:, axis].min() - 1 and part.max() < face[:, axis].max() + 1
        assert len(np.unique(part[outside])) == 1


def test_spread_values_have_their_shape():
    assert GRID.spread(np.ones(468, np.float32)).shape == (SIZE, SIZE)
    assert GRID.spread(np.ones((468, 4), np.float32)).shape == (SIZE, SIZE, 4)
    assert not GRID.spread(np.ones(468, np.float32))[GRID.inside == 0].any()
    np.testing.assert_allclose(GRID.spread(np.ones(468, np.float32))[GRID.inside > 0], 1, atol=1e-5)


def test_masks_are_shares_inside_the_mesh():
    for name in ('skin', 'skin_to_rim', 'centre', 'protected', 'lips', 'lips_soft', 'below_forehead', 'forehead'):
        mask = np.asarray(getattr(MASKS, name), np.float32)
        assert mask.shape == (128, 128) and mask.min() >= 0 and mask.max() <= 1 + 1e-5 and mask.max() > 0.9, name
    inside = AtlasGrid(TOPOLOGY, 128).inside > 0
    assert not MASKS.skin[~inside].any() and not MASKS.lips[~inside].any()
    # The skin excludes lips, eyes and brows; the rim distance grows from the outline inwards.
    assert not MASKS.skin[MASKS.lips > 0].any()
    assert not MASKS.skin[MASKS.polygon(INNER_LIPS) > 0].any()
    assert MASKS.rim[64, 64] > 0.2 and MASKS.rim[~inside].max() == 0
    assert MASKS.protected[MASKS.lips > 0].min() > 0.5


def test_masks_are_symmetric():
    for name in ('skin', 'centre', 'lips', 'protected'):
        mask = np.asarray(getattr(MASKS, name))
        assert np.abs(mask - mask[:, ::-1]).mean() < 0.03, name


@given(st.floats(-3, 4, width=32))
def test_smooth_step_is_monotonic_from_0_to_1(x):
    values = smooth_step(np.array([x, x + 0.1], np.float32))
    assert 0 <= values[0] <= values[1] <= 1
    assert smooth_step(np.array([-1, 0, 0.5, 1, 2], np.float32)).tolist() == [0, 0, 0.5, 1, 1]


def test_nearer_triangle_is_visible():
    far_and_near = replace(TOPOLOGY, triangles=np.array([[0, 1, 2], [3, 4, 5]], np.int32))
    points = np.array([[0, 0], [0, 40], [40, 0], [5, 5], [5, 25], [25, 5]], np.float32)
    assert (signed_areas(points[far_and_near.triangles]) < 0).all()
    for depth, seen in (([5, 5, 5, 1, 1, 1], 1), ([1, 1, 1, 5, 5, 5], 0)):
        index = paint_triangles(far_and_near, points, np.array(depth, np.float32), 50, 50)
        assert index[10, 10] == seen and index[2, 2] == 0 and index[45, 45] == -1
        assert index.dtype == np.int32 and index.shape == (50, 50)


def test_back_faces_and_slivers_are_not_painted():
    points = np.array([[0, 0], [40, 0], [0, 40], [5, 45], [5.01, 49], [6, 45]], np.float32)
    mesh = replace(TOPOLOGY, triangles=np.array([[0, 1, 2], [3, 4, 4]], np.int32))
    assert (paint_triangles(mesh, points, np.zeros(6, np.float32), 50, 50) == -1).all()


def test_atlas_coordinates_invert_the_atlas():
    size = 128
    points = (TOPOLOGY.atlas * size - 0.5).astype(np.float32)
    index = paint_triangles(TOPOLOGY, points, np.zeros(468, np.float32), size, size)
    u, v = atlas_coordinates(TOPOLOGY, index, points, size)
    rows, columns = np.nonzero(index >= 0)
    np.testing.assert_allclose(u[rows, columns], columns, atol=0.02)
    np.testing.assert_allclose(v[rows, columns], rows, atol=0.02)
    assert (u[index < 0] == OUTSIDE).all() and (v[index < 0] == OUTSIDE).all()


def test_atlas_coordinates_map_back_to_pixels():
    """The raster maps a pixel to a texel, and the grid maps that texel to the same pixel."""
    face = face_at(150, 150, 60)
    index = paint_triangles(TOPOLOGY, face[:, :2], face[:, 2], 300, 300)
    u, v = atlas_coordinates(TOPOLOGY, index, face[:, :2], 256)
    map_x, map_y = AtlasGrid(TOPOLOGY, 256).maps(face)
    rows, columns = np.nonzero((index >= 0) & (u > 30) & (u < 226) & (v > 40) & (v < 216))
    at = np.round(v[rows, columns]).astype(int), np.round(u[rows, columns]).astype(int)
    away = np.hypot(map_x[at] - columns, map_y[at] - rows)
    assert np.median(away) < 0.8 and np.quantile(away, 0.99) < 2


def test_coordinates_scale_with_the_size_of_the_atlas():
    face = face_at(150, 150, 60)
    index = paint_triangles(TOPOLOGY, face[:, :2], face[:, 2], 300, 300)
    small, large = (atlas_coordinates(TOPOLOGY, index, face[:, :2], size)[0] for size in (128, 512))
    covered = index >= 0
    np.testing.assert_allclose((large[covered] + 0.5) / 4, small[covered] + 0.5, atol=0.01)


@pytest.mark.parametrize('degrees', [0, 25, -50, 75])
@pytest.mark.parametrize('shift', [0, -110])
def test_the_depth_buffer_and_the_painted_order_show_the_same_surface(degrees, shift):
    """Compare the two ways to rasterise; the shifted face is cut off by the edges of the image."""
    face = turned(degrees) + np.float32([shift, shift, 0])
    points, depth = face[:, :2], face[:, 2]
    index = paint_triangles(TOPOLOGY, points, depth, 300, 260)
    expected = np.dstack(atlas_coordinates(TOPOLOGY, index, points, 512))
    found = np.dstack(project_coordinates(TOPOLOGY, points, depth, TOPOLOGY.texels(512), 300, 260))
    assert found.dtype == np.float32 and found.shape == (260, 300, 2)
    shown = found[..., 0] > OUTSIDE / 2
    # The painted triangles include the pixels on their outline.
    assert (index >= 0)[shown].all()
    inside = cv2.erode((index >= 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert shown[inside].mean() > 0.998
    away = np.abs(found - expected).max(2)[inside & shown]
    assert np.median(away) < 0.01 and (away > 1.5).mean() < 0.025


def test_the_nearer_triangle_hides_the_farther_one_in_the_depth_buffer():
    far_and_near = replace(TOPOLOGY, triangles=np.array([[0, 1, 2], [3, 4, 5]], np.int32))
    points = np.array([[0, 0], [0, 40], [40, 0], [5, 5], [5, 25], [25, 5]], np.float32)
    values = np.repeat(np.array([[1, 2], [3, 4]], np.float32), 3, 0)
    for depth, seen in (([5, 5, 5, 1, 1, 1], (3, 4)), ([1, 1, 1, 5, 5, 5], (1, 2)), ([9] * 6, None)):
        u, v = project_coordinates(far_and_near, points, np.array(depth, np.float32), values, 50, 50)
        if seen is not None:
            assert (u[10, 10], v[10, 10]) == pytest.approx(seen, abs=1e-3)
        assert (u[2, 2], v[2, 2]) == pytest.approx((1, 2), abs=1e-3)
        assert u[45, 45] == v[45, 45] == OUTSIDE


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30))
def test_the_median_is_that_of_numpy(values):
    vector = np.array(values, np.float32)
    assert median(vector) == pytest.approx(float(np.median(vector)), abs=1e-4)
    for share in (0, 0.1, 0.7, 1):
        expected = float(np.quantile(vector, share))
        assert quantile(np.sort(vector), share) == pytest.approx(expected, abs=1e-4)


def test_frontal_face_is_fully_visible_and_turned_face_on_one_side():
    assert visible_triangles(TOPOLOGY, turned(0)).mean() > 0.9
    centre = TOPOLOGY.atlas[TOPOLOGY.triangles].mean(1)[:, 0]
    for degrees in (55, -55):
        seen = visible_triangles(TOPOLOGY, turned(degrees))
        left, right = seen[centre < 0.3].mean(), seen[centre > 0.7].mean()
        assert max(left, right) > 0.9 and min(left, right) < 0.5, (degrees, left, right)
    left_turn, right_turn = (visible_triangles(TOPOLOGY, turned(degrees))[centre < 0.3].mean() for degrees in (55, -55))
    assert abs(left_turn - right_turn) > 0.4


@pytest.mark.parametrize('scale', [0.1, 1, 20])
def test_visibility_does_not_depend_on_size_and_position(scale):
    face = turned(35)
    moved = (face * scale + [700, -300, 90]).astype(np.float32)
    assert np.mean(visible_triangles(TOPOLOGY, face) != visible_triangles(TOPOLOGY, moved)) < 0.02
