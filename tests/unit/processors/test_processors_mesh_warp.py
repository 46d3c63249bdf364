from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from fakes.drawn_face import BACKGROUND, TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at
from fakes.linking import linked_face

from facefusion.errors import InternalError
from facefusion.faces.atlas import AtlasGrid
from facefusion.faces.face import LinkedFace
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, OVAL
from facefusion.media.frame import PixelFrame, Window
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import MIP_LEVELS, build_source
from facefusion.processors.face_swapper.mesh_warp.views import TEXTURE_SIZE, SourceView

METER = SkinMeter(TOPOLOGY)
LIGHT_SKIN, DARK_SKIN = (120, 150, 200), (60, 80, 120)
PLACE = open_face(200, 190, 70)


def linked(frame: PixelFrame, landmarks: np.ndarray) -> LinkedFace:
    return linked_face(METER, frame, landmarks)


@pytest.fixture(scope='module')
def warp():
    """A swapper whose source is a light face, drawn somewhat larger than the target."""
    landmarks = open_face(250, 250, 100)
    return MeshWarp(
        build_source([SourceView(draw_face(landmarks, face_texture(LIGHT_SKIN), 500, 500), landmarks)], METER), METER
    )


def turned(degrees: float, size: float, at: float) -> np.ndarray:
    """Return the mean shape after a turn of the head to the side, float32 [468,3]."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (face_at(0, 0, size) @ matrix.T + [at, at, 0]).astype(np.float32)


def swapped(warp: MeshWarp, frame: PixelFrame, landmarks: np.ndarray):
    """Return the pixels before and after a swap, as signed numbers."""
    before = frame.read(frame.window).astype(int)
    warp.render(frame, linked(frame, landmarks))
    return before, frame.read(frame.window).astype(int)


def test_a_face_swapped_with_itself_changes_little(warp):
    frame = draw_face(PLACE, face_texture(LIGHT_SKIN))
    before, after = swapped(warp, frame, PLACE)
    inside = ring_mask(PLACE, OVAL, (400, 400), 4)
    change = np.abs(after - before)[inside]
    assert frame.is_touched and change.max() > 0
    assert change.mean() < 5 and abs((after - before)[inside].mean()) < 3


def test_another_skin_has_the_targets_light_and_its_own_texture(warp):
    dark = draw_face(PLACE, face_texture(DARK_SKIN, seed=5))
    before, after = swapped(warp, dark, PLACE)
    cheek = ring_mask(PLACE, (50, 205, 203, 142, 118), (400, 400))
    # The mean equals the target's within a few codes, although the source is twice as bright.
    np.testing.assert_allclose(after[cheek].mean(0), before[cheek].mean(0), atol=8)
    # The mottle follows the source's texture, not the target's.
    source = draw_face(PLACE, face_texture(LIGHT_SKIN)).pixels.astype(float)

    def detail(pixels):
        luma = pixels.astype(np.float32).mean(-1)
        return (luma - cv2.GaussianBlur(luma, (0, 0), 6))[cheek]

    def alike(a, b):
        return float(np.corrcoef(detail(a), detail(b))[0, 1])

    assert alike(after, source) > 0.6 and alike(after, before) < 0.5


@pytest.mark.parametrize('seed', [1, 9])
def test_eyes_and_open_mouth_stay_the_targets_own_pixels(warp, seed):
    frame = draw_face(PLACE, face_texture(DARK_SKIN, seed=seed))
    before, after = swapped(warp, frame, PLACE)
    for ring, shrink, least in ((EYE_IMAGE_LEFT, 2, 50), (EYE_IMAGE_RIGHT, 2, 50), (INNER_LIPS, 3, 400)):
        inside = ring_mask(PLACE, ring, (400, 400), shrink)
        assert inside.sum() > least
        np.testing.assert_array_equal(after[inside], before[inside])
    skin = ring_mask(PLACE, (50, 205, 203, 142, 118), (400, 400))
    assert np.abs(after - before)[skin].mean() > 1


def test_nothing_outside_of_the_face_changes(warp):
    frame = draw_face(PLACE, face_texture(DARK_SKIN))
    before, after = swapped(warp, frame, PLACE)
    hull = np.zeros((400, 400), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.round(PLACE[:, :2]).astype(np.int32)), 1)
    outside = cv2.dilate(hull, np.ones((5, 5), np.uint8)) == 0
    np.testing.assert_array_equal(after[outside], before[outside])


def test_there_is_no_seam_at_the_outline(warp):
    """The swap fades towards the outline, so the outermost ring changes less than the middle of the face."""
    frame = draw_face(PLACE, face_texture(DARK_SKIN, seed=4))
    before, after = swapped(warp, frame, PLACE)
    face = ring_mask(PLACE, OVAL, (400, 400))
    rim = face & ~ring_mask(PLACE, OVAL, (400, 400), 3)
    assert np.abs(after - before)[rim].mean() < 0.5


def test_a_far_cheek_has_no_hard_edge(warp):
    """The swap also fades at the silhouette of a turned face, which lies in the middle of the texture."""
    landmarks = turned(45, 70, 200)
    frame = draw_face(landmarks, face_texture(DARK_SKIN, seed=4))
    before, after = swapped(warp, frame, landmarks)
    face = (before != np.array(BACKGROUND)).any(2).astype(np.uint8)
    rim = (face > 0) & (cv2.erode(face, np.ones((5, 5), np.uint8)) == 0)
    assert np.abs(after - before)[rim].mean() < 0.3


@pytest.mark.parametrize('size', [60, 170])
def test_the_texture_is_at_the_position_of_the_face(warp, size):
    """The atlas (texel to pixel) and the surface (pixel to texel) agree, even for large faces."""
    landmarks = face_at(300, 300, size)
    window = Window(0, 0, 600, 600)
    surface = warp._surface(landmarks, window)
    map_x, map_y = AtlasGrid(TOPOLOGY, TEXTURE_SIZE).maps(landmarks)
    texels = np.stack(np.meshgrid(np.arange(300, 724, 20), np.arange(300, 724, 20)), -1).reshape(-1, 2)
    x, y = (plane[texels[:, 1], texels[:, 0]][None] for plane in (map_x, map_y))
    found = np.stack([cv2.remap(part, x, y, cv2.INTER_LINEAR)[0] for part in (surface.u, surface.v)], 1)
    texels_a_pixel = TEXTURE_SIZE / surface.extent
    bias = np.median(found - texels, axis=0) / texels_a_pixel
    assert np.abs(bias).max() < 0.1


def test_an_object_over_the_face_is_not_painted_over(warp):
    frame = draw_face(PLACE, face_texture(LIGHT_SKIN))
    frame.pixels[170:280, 60:165] = (20, 25, 30)
    before, after = swapped(warp, frame, PLACE)
    hand = np.zeros((400, 400), bool)
    hand[180:265, 60:150] = True
    change = np.abs(after - before)[hand]
    assert change.mean() < 0.1 and np.quantile(change, 0.99) <= 1
    other_cheek = ring_mask(PLACE, (280, 425, 423, 371, 347), (400, 400))
    assert np.abs(after - before)[other_cheek].mean() > 0.5


@pytest.mark.parametrize(
    'landmarks',
    [
        face_at(10, 200, 70),
        face_at(395, 395, 70),
        face_at(200, -20, 70),
        face_at(200, 200, 400),
        face_at(200, 200, 6),
        face_at(200, 200, 1),
        face_at(900, 900, 70),
        face_at(-300, 200, 70),
    ],
    ids=['left', 'corner', 'above', 'larger than the picture', 'tiny', 'a speck', 'far away', 'far left'],
)
def test_faces_at_the_edge_and_of_any_size_are_rendered_or_unchanged(warp, landmarks):
    frame = PixelFrame(np.full((400, 400, 3), (100, 130, 170), np.uint8))
    before, after = swapped(warp, frame, landmarks)
    assert after.shape == before.shape
    low, high = landmarks[:, :2].min(0) - 5, landmarks[:, :2].max(0) + 5
    y, x = np.mgrid[:400, :400]
    outside = (x < low[0]) | (x > high[0]) | (y < low[1]) | (y > high[1])
    np.testing.assert_array_equal(after[outside], before[outside])


def test_a_face_without_measured_skin_is_a_bug(warp):
    frame = draw_face(PLACE, face_texture(DARK_SKIN))
    with pytest.raises(InternalError) as caught:
        warp.render(frame, LinkedFace(0, PLACE, 0.9))
    assert caught.value.reference == 'skin-not-measured' and not frame.is_touched


def test_rendering_stores_no_state(warp):
    """Earlier and parallel renderings do not change the result for a frame."""

    def render(seed: int) -> np.ndarray:
        frame = draw_face(PLACE, face_texture(DARK_SKIN, seed=seed))
        return swapped(warp, frame, PLACE)[1]

    first = [render(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(render, [3, 2, 1, 0]))
    for a, b in zip(first, reversed(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_source_is_a_texture_with_mips_and_shares():
    landmarks = face_at(250, 250, 100)
    source = build_source([SourceView(draw_face(landmarks, face_texture(LIGHT_SKIN), 500, 500), landmarks)], METER)
    assert [mip.shape for mip in source.mips] == [(TEXTURE_SIZE >> k, TEXTURE_SIZE >> k, 3) for k in range(MIP_LEVELS)]
    assert all(mip.dtype == np.uint8 for mip in source.mips)
    for part in (source.weight, source.opacity):
        assert part.shape == (128, 128) and part.min() >= 0 and part.max() <= 1
    assert source.traits.forehead > 0.9 and source.opacity[70, 64] > 0.95
    # Skin in the texture has the drawn colour.
    middle = source.mips[0][560:600, 300:340].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(middle / middle.sum(), np.array(LIGHT_SKIN) / sum(LIGHT_SKIN), atol=0.02)


def test_the_far_side_is_filled_from_the_near_one():
    landmarks = turned(60, 100, 250)
    source = build_source([SourceView(draw_face(landmarks, face_texture(LIGHT_SKIN), 500, 500), landmarks)], METER)
    texture = source.mips[0].astype(float)
    hidden, seen = texture[520:620, 80:280], texture[520:620, 1024 - 280 : 1024 - 80]
    for side in (hidden, seen):
        mean = side.mean((0, 1))
        np.testing.assert_allclose(mean / mean.sum(), np.array(LIGHT_SKIN) / sum(LIGHT_SKIN), atol=0.02)
    # The far side has the mirrored skin of the near side and counts as visible.
    assert np.corrcoef(hidden[..., 1].ravel(), seen[:, ::-1, 1].ravel())[0, 1] > 0.85
    assert source.weight[66:77, 12:34].min() > 0.9
