from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, face_texture
from fakes.face_chunks import MEAN_SHAPE, face_at

from facefusion.faces.atlas import AtlasGrid, AtlasMasks, shrink
from facefusion.faces.coverage import Coverage, CoverageFinder
from facefusion.faces.skin import to_ycc
from facefusion.faces.topology import vertex_normals

FACE = face_at(200, 200, 90)
NORMALS = vertex_normals(TOPOLOGY, FACE)
GRIDS = {size: AtlasGrid(TOPOLOGY, size) for size in (64, 128)}
MASKS = {size: AtlasMasks(TOPOLOGY, grid) for size, grid in GRIDS.items()}
FINDERS = {size: CoverageFinder(TOPOLOGY, MASKS[size], GRIDS[size]) for size in GRIDS}
SKIN, HAIR = (110, 140, 190), (30, 35, 45)
sizes = pytest.mark.parametrize('size', [64, 128])


def unrolled(light: float = 1.0) -> np.ndarray:
    """Return a drawn face with all features, lit from the camera, in atlas layout: BGR float32 [128,128,3]."""
    facing = GRIDS[128].spread(np.clip(-NORMALS[:, 2], 0, 1))
    return shrink(face_texture(SKIN).astype(np.float32), 128) * (0.5 + 0.5 * facing[..., None]) * np.float32(light)


def covered(
    rows: tuple[float, float], columns: tuple[float, float], colour: tuple[float, ...] = HAIR, light: float = 1.0
) -> np.ndarray:
    """Return the face with a rectangle of another colour; ``rows`` and ``columns`` are in texels of 128."""
    atlas = unrolled(light)
    atlas[slice(*rows), slice(*columns)] = np.array(colour) * light
    return atlas


def find(atlas: np.ndarray, size: int = 128, normals: np.ndarray = NORMALS, **options) -> Coverage:
    return FINDERS[size].find(shrink(to_ycc(atlas), size), MASKS[size].skin, normals, **options)


def inside(visibility: np.ndarray, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Return the values over the mesh within a rectangle in texels of 128."""
    unit = len(visibility) / 128
    part = np.s_[round(rows[0] * unit) : round(rows[1] * unit), round(columns[0] * unit) : round(columns[1] * unit)]
    return visibility[part][GRIDS[len(visibility)].inside[part] > 0]


# A hand over the cheek at image left that reaches beyond the outline, and a strand of hair from the top.
HAND = partial(covered, (60, 95), (0, 32))
STRAND = partial(covered, (0, 34), (58, 66))


@sizes
@pytest.mark.parametrize('light', [1.0, 0.3])
def test_bare_face_is_uncovered(size, light):
    found = find(unrolled(light), size)
    assert found.visibility.shape == (size, size) and found.visibility.dtype == np.float32
    assert found.visibility.min() > 0.9 and found.forehead > 0.95


@sizes
@pytest.mark.parametrize('colour', [HAIR, (60, 160, 60), (240, 240, 240), (40, 40, 200)], ids=str)
@pytest.mark.parametrize('light', [1.0, 0.3])
def test_patch_from_outside_covers_and_the_rest_is_visible(size, colour, light):
    visibility = find(HAND(colour, light), size).visibility
    assert inside(visibility, (64, 91), (0, 28)).max() < 0.2
    assert inside(visibility, (60, 95), (45, 128)).min() > 0.95
    assert visibility.min() >= 0 and visibility.max() <= 1


@sizes
@pytest.mark.parametrize('columns', [(22, 34), (58, 70)], ids=['cheek', 'nose'])
def test_patch_in_the_middle_belongs_to_the_face(size, columns):
    """Only patches that reach the outline are coverage; others are moles, scars or shadows."""
    patch = covered((74, 84), columns)
    assert find(patch, size).visibility.min() > 0.9


@sizes
def test_specks_at_the_outline_are_ignored(size):
    """Specks are patches of fewer than 20 texels of 128."""
    assert find(covered((70, 73), (0, 7), (5, 5, 5)), size).visibility.min() > 0.9
    assert find(covered((70, 75), (0, 8), (5, 5, 5)), size).visibility.min() < 0.1


@sizes
def test_eyes_brows_and_lips_are_not_foreign(size):
    """Eyes differ from skin on every face, so a dark bar over them is found only around and between them."""
    visibility = find(covered((36, 56), (0, 128), (10, 12, 15)), size).visibility
    assert inside(visibility, (40, 52), (0, 16)).max() < 0.2 and inside(visibility, (46, 52), (61, 67)).max() < 0.2
    eyes = MASKS[size].lids_image_left + MASKS[size].lids_image_right > 0.99
    assert visibility[eyes].mean() > 0.6


def test_both_sizes_give_the_same_coverage():
    """Targets are measured at 64, sources at 128."""
    for atlas in (unrolled(), HAND(), covered((0, 30), (0, 128)), covered((85, 128), (60, 128))):
        fine, coarse = find(atlas, 128), find(atlas, 64)
        differ = np.abs(shrink(fine.visibility, 64) - coarse.visibility) * GRIDS[64].inside
        assert differ.sum() / GRIDS[64].inside.sum() < 0.03
        assert fine.forehead == pytest.approx(coarse.forehead, abs=0.06)


@sizes
def test_grow_extends_coverage(size):
    edges = []
    for grow in (3, 9, 15):
        row = find(HAND(), size, grow=grow).visibility[round(76 * size / 128), : size // 2]
        edges.append(float(np.flatnonzero(row < 0.5)[-1]) * 128 / size)
    # Growth by a square of 15 texels extends 6 texels farther than growth by a square of 3.
    assert edges[0] == pytest.approx(32, abs=3)
    assert edges[1] - edges[0] == pytest.approx(3, abs=1.1)
    assert edges[2] - edges[0] == pytest.approx(6, abs=2.1)


@sizes
def test_lower_threshold_finds_more(size):
    """The patch has nearly the colour of the skin."""
    pale = HAND((1.2 * SKIN[0], SKIN[1], SKIN[2] / 1.2))
    shares = [float(inside(find(pale, size, threshold=t).visibility, (64, 91), (0, 28)).mean()) for t in (0.4, 3.0)]
    assert shares[0] < 0.2 and shares[1] > 0.9


@sizes
def test_strand_is_found_and_fringe_lowers_the_share_of_the_forehead(size):
    strand = find(STRAND(), size)
    assert inside(strand.visibility, (14, 28), (60, 64)).max() < 0.2
    assert inside(strand.visibility, (14, 34), (80, 128)).min() > 0.9
    fringe = find(covered((0, 34), (0, 128)), size)
    assert fringe.forehead < 0.2 < 0.6 < strand.forehead < 0.97


@sizes
@pytest.mark.parametrize('side', [-1, 1])
def test_light_from_one_side_is_no_coverage(size, side):
    """Shading that follows the normals counts as light, however dark it is."""
    lit = 0.6 - 0.3 * side * GRIDS[128].spread(NORMALS[:, 0])
    found = find(unrolled() * lit[..., None], size)
    assert found.visibility.min() > 0.9


@sizes
def test_hardly_visible_face_counts_as_uncovered(size):
    nothing = np.zeros((size, size), np.float32)
    found = FINDERS[size].find(shrink(to_ycc(HAND()), size), nothing, NORMALS)
    assert (found.visibility == 1).all() and found.forehead == 1


@sizes
@pytest.mark.parametrize('code', [8, 128, 255])
def test_plain_image_is_uncovered(size, code):
    """The image has neither noise nor colour nor light."""
    found = find(np.full((128, 128, 3), code, np.float32), size)
    assert found.visibility.min() > 0.99 and found.forehead == 1


def test_coverage_does_not_depend_on_other_faces():
    before = find(HAND())
    find(unrolled(), normals=vertex_normals(TOPOLOGY, MEAN_SHAPE * np.float32(3)))
    again = find(HAND())
    np.testing.assert_array_equal(before.visibility, again.visibility)
    assert before.forehead == again.forehead
