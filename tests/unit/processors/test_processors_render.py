from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import BACKGROUND, TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at
from fakes.linking import linked_face
from fakes.painted_faces import Canvas

from facefusion.faces.face import LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import OVAL
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_swapper.mesh_warp.render import FULL_SIZE, MeshWarp, Surface, _at_size, _grain, _look_up
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture, build_source
from facefusion.processors.face_swapper.mesh_warp.views import SourceView
from facefusion.processors.registration import SMALLEST_FACE

METER = SkinMeter(TOPOLOGY)
LIGHT_SKIN, DARK_SKIN = (120, 150, 200), (60, 80, 120)
PLACE = open_face(200, 190, 70)
CHEEK, OTHER_CHEEK = (50, 205, 203, 142, 118), (280, 425, 423, 371, 347)
CANVAS = (400, 400)
# The larger side of the mean face's box in eye distances.
EXTENT = float(np.ptp(face_at(0, 0, 1)[:, :2], axis=0).max())


@pytest.fixture(scope='module')
def source() -> SourceTexture:
    landmarks = open_face(250, 250, 100)
    return build_source([SourceView(draw_face(landmarks, face_texture(LIGHT_SKIN), 500, 500), landmarks)], METER)


@pytest.fixture(scope='module')
def warp(source) -> MeshWarp:
    return MeshWarp(source, METER)


def linked(frame: PixelFrame, landmarks: np.ndarray, track: int = 0) -> LinkedFace:
    return linked_face(METER, frame, landmarks, track)


def swapped(warp: MeshWarp, frame: PixelFrame, landmarks: np.ndarray, *nearer: LinkedFace):
    """Return the pixels before and after a swap, as signed numbers."""
    before = frame.pixels.astype(int)
    warp.render(frame, linked(frame, landmarks), nearer)
    return before, frame.pixels.astype(int)


def dark_face(seed: int = 5) -> PixelFrame:
    return draw_face(PLACE, face_texture(DARK_SKIN, seed=seed))


# Size


def strength(warp: MeshWarp, extent: float) -> float:
    """Return the change of a face whose box has ``extent`` pixels, in codes per pixel of the box."""
    landmarks = face_at(60, 60, extent / EXTENT)
    frame = draw_face(landmarks, face_texture(DARK_SKIN, seed=5), 120, 120)
    before, after = swapped(warp, frame, landmarks)
    return float(np.abs(after - before).sum()) / extent**2


def test_the_swap_of_a_growing_face_fades_in(warp):
    assert strength(warp, SMALLEST_FACE - 1) == 0
    assert strength(warp, SMALLEST_FACE - 0.1) == 0
    assert strength(warp, SMALLEST_FACE + 0.1) < 0.05
    full = np.mean([strength(warp, FULL_SIZE * SMALLEST_FACE + more) for more in (0, 1, 3, 8)])
    middle = strength(warp, (1 + FULL_SIZE) / 2 * SMALLEST_FACE)
    assert 0.25 * full < middle < 0.75 * full
    values = [strength(warp, extent) for extent in np.linspace(SMALLEST_FACE, FULL_SIZE * SMALLEST_FACE, 7)]
    # No step is larger than the steepest part of the fade.
    assert np.diff(values).max() < 0.4 * full


def test_a_face_too_small_leaves_the_frame_unchanged(warp):
    landmarks = face_at(60, 60, (SMALLEST_FACE - 1) / EXTENT)
    frame = draw_face(landmarks, face_texture(DARK_SKIN), 120, 120)
    swapped(warp, frame, landmarks)
    assert not frame.is_touched


def test_a_face_of_a_thousand_pixels_is_swapped(warp):
    landmarks = face_at(600, 600, 1000 / EXTENT)
    frame = draw_face(landmarks, face_texture(DARK_SKIN, seed=5), 1200, 1200)
    before, after = swapped(warp, frame, landmarks)
    for ring in (CHEEK, OTHER_CHEEK):
        cheek = ring_mask(landmarks, ring, (1200, 1200))
        np.testing.assert_allclose(after[cheek].mean(0), before[cheek].mean(0), atol=8)
        assert np.abs(after - before)[cheek].mean() > 1.5
    background = (before == np.array(BACKGROUND)).all(2)
    np.testing.assert_array_equal(after[background], before[background])


@pytest.mark.parametrize('extent', [40, 100, 190, 200, 700, 900])
def test_faces_of_all_sizes_look_alike(warp, extent):
    """The texture level and the raster size depend on the size of the face, but do not change how it looks."""

    def picture(size: int) -> np.ndarray:
        canvas = round(1.2 * size)
        landmarks = face_at(canvas / 2 - 0.5, canvas / 2 - 0.5, size / EXTENT)
        frame = draw_face(landmarks, face_texture(DARK_SKIN, seed=5), canvas, canvas)
        after = swapped(warp, frame, landmarks)[1].astype(np.uint8)
        return cv2.GaussianBlur(cv2.resize(after, (48, 48), interpolation=cv2.INTER_AREA), (0, 0), 1).astype(float)

    differ = np.abs(picture(extent) - picture(300))
    assert differ.mean() < 4 and np.quantile(differ, 0.99) < 25


@pytest.mark.parametrize('size', [32, 64, 128, 512, 1024])
def test_an_atlas_of_any_size_is_looked_up_at_the_same_position(size):
    u, v = (plane.astype(np.float32) for plane in np.meshgrid(np.arange(40, 980, 7.3), np.arange(40, 980, 11.1)))
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    atlas = np.dstack(np.meshgrid(centres, centres))
    found = _look_up(atlas, Surface(u, v, np.ones_like(u), 100.0))
    np.testing.assert_allclose(found, (np.dstack([u, v]) + 0.5) / 1024, atol=1e-3)


@pytest.mark.parametrize('extent', [33, 45, 64, 90, 128, 200, 300, 513, 1000])
@pytest.mark.parametrize(('softer', 'least', 'most'), [(0.35, 0.78, 1.58), (-0.5, 1.41, 2.83)])
def test_texels_are_about_as_large_as_pixels(extent, softer, least, most):
    pyramid = [np.zeros((1024 >> level, 1), np.uint8) for level in range(7)]
    assert least < len(_at_size(pyramid, extent, softer)) / extent < most or extent > 700


def test_faces_beyond_the_pyramid_use_its_ends():
    pyramid = [np.zeros((1024 >> level, 1), np.uint8) for level in range(3)]
    assert len(_at_size(pyramid, 5000, 0.35)) == 1024 and len(_at_size(pyramid, 0.1, 0.35)) == 256


# The edge of the image


@pytest.mark.parametrize('x', [0, 40, 350])
def test_a_face_cut_off_by_the_edge_is_swapped_like_a_complete_one(warp, x):
    """The image is cut off at column x from the left."""
    whole, face = dark_face(), linked(dark_face(), PLACE)
    cut = PixelFrame(np.ascontiguousarray(whole.pixels[:, x:]))
    before = cut.pixels.astype(int)
    shifted = LinkedFace(0, PLACE - np.array([x, 0, 0], np.float32), 0.9, values=face.values)
    warp.render(whole, face)
    warp.render(cut, shifted)
    differ = np.abs(cut.pixels.astype(int) - whole.pixels[:, x:])
    # The rasters of the cut-off face and the complete one differ.
    assert differ.mean() < 0.2 and np.quantile(differ, 0.999) <= 12
    assert cut.is_touched == bool((cut.pixels != before).any())


@pytest.mark.parametrize('place', [(-150, 200), (560, 200), (200, -170), (200, 590)], ids=str)
def test_a_face_wholly_outside_changes_nothing(warp, place):
    frame, inside = dark_face(), linked(dark_face(), PLACE)
    face = LinkedFace(0, face_at(*place, 70), 0.9, values=inside.values)
    before = frame.pixels.copy()
    warp.render(frame, face)
    assert not frame.is_touched
    np.testing.assert_array_equal(frame.pixels, before)


# Grain


def fine_level(pixels: np.ndarray, mask: np.ndarray) -> float:
    """Return the standard deviation of the detail finer than a Gaussian of one pixel."""
    values = pixels.astype(np.float32)
    return float((values - cv2.GaussianBlur(values, (0, 0), 1.0))[mask].std())


def noisy(frame: PixelFrame, sigma: float) -> PixelFrame:
    noise = np.random.default_rng(0).normal(0, sigma, frame.pixels.shape)
    return PixelFrame(np.clip(np.round(frame.pixels + noise), 0, 255).astype(np.uint8))


@pytest.mark.parametrize('sigma', [4, 8, 16])
@pytest.mark.parametrize('ring', [CHEEK, OTHER_CHEEK], ids=['left', 'right'])
def test_skin_keeps_the_noise_of_the_target(warp, sigma, ring):
    before, after = swapped(warp, noisy(dark_face(), sigma), PLACE)
    cheek = ring_mask(PLACE, ring, CANVAS)
    assert fine_level(after, cheek) == pytest.approx(fine_level(before, cheek), rel=0.3)


def plain_texture() -> np.ndarray:
    return np.full((256, 256, 3), DARK_SKIN, np.uint8)


def test_a_clean_target_gets_no_noise(warp):
    """On a target without any detail, the result has only the source's own detail."""
    cheek = ring_mask(PLACE, CHEEK, CANVAS)
    _, onto_plain = swapped(warp, draw_face(PLACE, plain_texture()), PLACE)
    assert fine_level(onto_plain, cheek) < 1.5


def test_grain_is_noise_without_edges():
    ramp = np.repeat(np.tile(np.linspace(20, 200, 64), (64, 1))[..., None], 3, 2).astype(np.uint8)
    assert np.abs(_grain(ramp)).max() <= 1
    assert not _grain(np.full((64, 64, 3), 90, np.uint8)).any()
    noise = np.random.default_rng(0).normal(0, 5, (64, 64, 3))
    flat = np.clip(120 + noise, 0, 255).astype(np.uint8)
    edge = flat.copy()
    edge[:, 32:] //= 4
    assert _grain(flat).std() == pytest.approx(5, rel=0.3)
    # The limit depends on the noise. Without it, an edge of 90 codes would add 30.
    assert np.abs(_grain(edge)[:, 29:35]).max() < 4 * 5
    assert abs(float(_grain(flat).mean())) < 0.2


# Objects in front


@pytest.mark.parametrize('colour', [(12, 14, 18), (235, 240, 240)], ids=['dark', 'bright'])
@pytest.mark.parametrize('width', [4, 7])
def test_a_line_over_the_cheek_stays_in_front(warp, colour, width):
    """In a real image the line may be a strand of hair or the cable of a headset."""
    cheek = PLACE[[50, 205], :2].mean(0)
    canvas = Canvas(dark_face())
    canvas.line(cheek + np.array([[-20, -18], [-8, 24]]), colour, width)
    frame = canvas.frame()
    line = np.abs(frame.pixels.astype(int) - np.array(colour)).max(2) < 3
    line &= ring_mask(PLACE, OVAL, CANVAS, 12)
    assert line.sum() > 60
    before, after = swapped(warp, frame, PLACE)
    change = np.abs(after - before)[line]
    assert np.quantile(change, 0.98) <= 10 and change.mean() < 2.5
    beside = ring_mask(PLACE, OTHER_CHEEK, CANVAS)
    assert np.abs(after - before)[beside].mean() > 1


def test_without_occlusion_a_line_over_the_cheek_is_painted_over(source):
    cheek = PLACE[[50, 205], :2].mean(0)
    canvas = Canvas(dark_face())
    canvas.line(cheek + np.array([[-5, -20], [0, 20]]), (235, 240, 240), 4)
    frame = canvas.frame()
    line = (frame.pixels > 200).all(2) & ring_mask(PLACE, OVAL, CANVAS, 12)
    before, after = swapped(MeshWarp(source, METER, FaceMaskOptions(face_mask_types=('box',))), frame, PLACE)
    assert np.abs(after - before)[line].mean() > 50


def test_nothing_is_painted_on_a_nearer_face(warp):
    """Where two faces overlap, the far one ends at the outline of the near one."""
    near = face_at(255, 200, 60)
    frame = dark_face()
    index = draw_face(near, face_texture(LIGHT_SKIN)).pixels
    covers = (index != np.array(BACKGROUND)).any(2)
    frame.pixels[covers] = index[covers]
    other = linked(frame, near, track=1)
    alone = PixelFrame(frame.pixels.copy())
    before, after = swapped(warp, frame, PLACE, other)
    inside = ring_mask(near, OVAL, CANVAS, 4)
    assert inside.sum() > 3000
    assert np.abs(after - before)[inside].max() <= 2
    far_cheek = ring_mask(PLACE, CHEEK, CANVAS) & ~(
        cv2.dilate(inside.astype(np.uint8), np.ones((21, 21), np.uint8)) > 0
    )
    _, freely = swapped(warp, alone, PLACE)
    np.testing.assert_array_equal(after[far_cheek], freely[far_cheek])
    assert np.abs(after - before)[far_cheek].mean() > 1


def test_a_face_hidden_by_another_leaves_the_frame_unchanged(warp):
    frame = dark_face()
    before = frame.pixels.copy()
    warp.render(frame, linked(frame, PLACE), [linked(frame, face_at(200, 200, 170))])
    assert not frame.is_touched
    np.testing.assert_array_equal(frame.pixels, before)


# Colour


@pytest.mark.parametrize('light', [1.0, 0.25])
def test_a_monochrome_picture_stays_monochrome(warp, light):
    grey = cv2.cvtColor(dark_face().pixels, cv2.COLOR_BGR2GRAY)
    grey = (grey * light).astype(np.uint8)
    before, after = swapped(warp, PixelFrame(np.ascontiguousarray(np.repeat(grey[..., None], 3, 2))), PLACE)
    assert np.ptp(after, axis=2).max() <= 1
    assert np.abs(after - before)[ring_mask(PLACE, CHEEK, CANVAS)].mean() > 1 * light


@pytest.mark.parametrize('code', [0, 255])
def test_a_black_or_white_target_does_not_overflow(warp, code):
    """Neither zero nor maximum light wraps around."""
    frame = PixelFrame(np.full((400, 400, 3), code, np.uint8))
    before, after = swapped(warp, frame, PLACE)
    assert np.abs(after - before).max() < 160
    skin = ring_mask(PLACE, CHEEK, CANVAS)
    assert np.abs(after - before)[skin].mean() < 60
