from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at
from fakes.linking import linked_face

from facefusion.faces.face import LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.skin import SkinMeter, SkinTraits
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, NOSE, OUTER_LIPS, OVAL
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_swapper.mesh_warp.opacity import CLOSED_EYE, LEVELS, MIN_TURNED, Opacity
from facefusion.processors.face_swapper.mesh_warp.render import MeshWarp
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture, build_source
from facefusion.processors.face_swapper.mesh_warp.views import SourceView

METER = SkinMeter(TOPOLOGY)
LIGHT_SKIN, DARK_SKIN = (120, 150, 200), (60, 80, 120)
PLACE = open_face(200, 190, 70)
FRONTAL, OPEN = face_at(200, 190, 70), np.ones((64, 64), np.float32)
TRAITS = SkinTraits(1, 0.1, 0.05, 0.8, 0, 0, 0, 0, 0, 1, 1, 1)
NOSE_TIP, FOREHEAD, CHIN, CHEEK_LEFT, CHEEK_RIGHT = 4, 151, 199, 50, 280
LID_LEFT, LID_RIGHT = 145, 374
CHEEK = (50, 205, 203, 142, 118)


@pytest.fixture(scope='module')
def source() -> SourceTexture:
    landmarks = open_face(250, 250, 100)
    return build_source([SourceView(draw_face(landmarks, face_texture(LIGHT_SKIN), 500, 500), landmarks)], METER)


def at(atlas: np.ndarray, *vertices: int) -> np.ndarray:
    columns, rows = np.clip((TOPOLOGY.atlas[list(vertices)] * len(atlas)).astype(int), 0, len(atlas) - 1).T
    return atlas[rows, columns]


def moving(source: SourceTexture, landmarks: np.ndarray = FRONTAL, turned: float = 0.0, **traits: float) -> np.ndarray:
    opacity = Opacity(source, METER, FaceMaskOptions()).moving(landmarks, OPEN, TRAITS._replace(**traits), turned)
    assert opacity.shape == (128, 128) and opacity.dtype == np.float32
    assert opacity.min() >= 0 and opacity.max() <= 1
    return opacity


def linked(frame: PixelFrame, landmarks: np.ndarray, **traits: float) -> LinkedFace:
    return linked_face(METER, frame, landmarks, **traits)


def changed(source: SourceTexture, frame: PixelFrame, landmarks: np.ndarray = PLACE, **options) -> np.ndarray:
    """Return the change of each pixel by a swap, float [h,w]."""
    before = frame.read(frame.window).astype(int)
    MeshWarp(source, METER, FaceMaskOptions(**options)).render(frame, linked(frame, landmarks))
    return np.abs(frame.read(frame.window).astype(int) - before).mean(2)


def dark_face() -> PixelFrame:
    return draw_face(PLACE, face_texture(DARK_SKIN, seed=5))


# Mask options


def test_padding_leaves_that_side_of_the_face_unchanged(source):
    top = changed(source, dark_face(), face_mask_padding=(50, 0, 0, 0))
    right = changed(source, dark_face(), face_mask_padding=(0, 50, 0, 0))
    low, high = PLACE[:, :2].min(0), PLACE[:, :2].max(0)
    middle_x, middle_y = ((low + high) / 2).astype(int)
    # Atlas and image differ in geometry, so the edge is only near the middle.
    assert top[: middle_y - 30].max() == 0 and top[middle_y + 30 :].max() > 3
    assert right[:, middle_x + 20 :].max() == 0 and right[:, : middle_x - 20].max() > 3


def test_the_area_mouth_changes_only_the_mouth(source):
    change = changed(source, dark_face(), face_mask_types=('area',), face_mask_areas=('mouth',))
    lips = ring_mask(PLACE, OUTER_LIPS, (400, 400))
    near = cv2.dilate(lips.astype(np.uint8), np.ones((41, 41), np.uint8)) > 0
    assert change[~near].max() == 0
    assert change[lips & ~ring_mask(PLACE, INNER_LIPS, (400, 400))].mean() > 1


def test_the_region_of_the_lips_changes_only_the_lips(source):
    options = {'face_mask_types': ('region',), 'face_mask_regions': ('upper-lip', 'lower-lip')}
    change = changed(source, dark_face(), **options)
    lips = ring_mask(PLACE, OUTER_LIPS, (400, 400))
    near = cv2.dilate(lips.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert change[~near].max() == 0
    assert change[lips & ~ring_mask(PLACE, INNER_LIPS, (400, 400))].mean() > 1


def test_a_region_that_is_not_chosen_stays_unchanged(source):
    change = changed(source, dark_face(), face_mask_types=('region',), face_mask_regions=('skin',))
    assert change[ring_mask(PLACE, NOSE, (400, 400), 6)].max() == 0
    assert change[ring_mask(PLACE, CHEEK, (400, 400))].mean() > 1


def test_no_region_at_all_changes_nothing(source):
    frame = dark_face()
    assert changed(source, frame, face_mask_types=('region',), face_mask_regions=()).max() == 0
    assert not frame.is_touched


def test_a_wider_blur_fades_further_into_the_face(source):
    """The position of half opacity moves inwards in proportion to the width."""
    depths = []
    for blur in (0.0, 0.3, 0.6, 1.0):
        row = Opacity(source, METER, FaceMaskOptions(face_mask_blur=blur)).fixed[0][300]
        edge = int(np.flatnonzero(row >= 128)[0])
        depths.append(edge)
        # The edge is smooth: opacity never changes from 0 to 1 within a texel.
        assert np.abs(np.diff(row.astype(int))).max() < 140
    assert depths == sorted(depths)
    assert depths[2] - depths[1] == pytest.approx(0.05 * 512 / 2, abs=4)
    # Without a box the blur option has no effect.
    plain, none = (
        Opacity(source, METER, FaceMaskOptions(face_mask_types=types, face_mask_blur=blur)).fixed[0]
        for types, blur in ((('box',), 0.3), ((), 1.0))
    )
    np.testing.assert_array_equal(plain, none)


def covered_frame() -> PixelFrame:
    """Return a face with a dark hand over the cheek at the left of the image."""
    frame = draw_face(PLACE, face_texture(LIGHT_SKIN))
    frame.pixels[170:280, 60:165] = (20, 25, 30)
    return frame


def test_without_occlusion_a_covered_face_is_painted(source):
    hand = np.zeros((400, 400), bool)
    hand[180:265, 60:150] = True
    hand &= ring_mask(PLACE, OVAL, (400, 400), 10)
    assert hand.sum() > 500
    assert changed(source, covered_frame())[hand].mean() < 0.5
    assert changed(source, covered_frame(), face_mask_types=('box',))[hand].mean() > 20


def test_without_occlusion_a_fringe_is_painted_over(source):
    for types, least, most in ((('box', 'occlusion'), 0, 0.05), (('box',), 0.95, 1)):
        opacity = Opacity(source, METER, FaceMaskOptions(face_mask_types=types))
        forehead = at(opacity.moving(FRONTAL, OPEN, TRAITS._replace(forehead=0.2), 0.0), FOREHEAD)[0]
        assert least <= forehead <= most


# Unchanged parts


def test_eyes_and_mouth_are_transparent_and_skin_is_opaque(source):
    fixed = Opacity(source, METER, FaceMaskOptions()).fixed
    assert len(fixed) == LEVELS and [len(level) for level in fixed] == [512, 256, 128, 64]
    for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS):
        column, row = (TOPOLOGY.atlas[list(ring)].mean(0) * 512).astype(int)
        assert fixed[0][row, column] == 0
    assert at(fixed[0], NOSE_TIP, FOREHEAD, CHIN, CHEEK_LEFT, CHEEK_RIGHT).min() > 225
    assert not fixed[0][0].any() and not fixed[0][:, 0].any()


@pytest.mark.parametrize('extent', [40, 56, 80, 160])
def test_small_faces_have_transparent_eyes(source, extent):
    """In a face of 40 pixels an eye has 6 by 3 pixels, and painting it would replace the gaze with the source's."""
    unit = float(np.ptp(face_at(0, 0, 1)[:, :2], axis=0).max())
    for shift in np.linspace(0, 0.75, 4):
        landmarks = face_at(100 + shift, 100 - shift / 2, extent / unit)
        warp = MeshWarp(source, METER)
        surface = warp._surface(landmarks, PixelFrame(np.zeros((200, 200, 3), np.uint8)).window)
        opacity = warp._blend_opacity(surface, np.ones((128, 128), np.float32))
        for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT):
            column, row = np.round(landmarks[list(ring), :2].mean(0)).astype(int)
            assert opacity[row, column] < (0.35 if extent < 56 else 0.2)
        column, row = np.round(landmarks[CHEEK_LEFT, :2]).astype(int)
        assert opacity[row, column] > 0.9


def test_the_lids_of_a_closed_eye_stay_those_of_the_target(source):
    both, left = moving(source), moving(source, eye_image_left=0.0)
    assert at(both, LID_LEFT, LID_RIGHT).min() > 0.9
    assert at(left, LID_LEFT)[0] < 1 - CLOSED_EYE + 0.1
    assert at(left, LID_RIGHT)[0] == at(both, LID_RIGHT)[0]
    assert at(left, CHEEK_LEFT, NOSE_TIP, FOREHEAD).min() > 0.9
    half = moving(source, eye_image_left=0.5)
    assert at(left, LID_LEFT)[0] < at(half, LID_LEFT)[0] < at(both, LID_LEFT)[0]


def test_a_closed_eye_changes_less_in_the_picture(source):
    changes = []
    for openness in (1.0, 0.0):
        frame = dark_face()
        before = frame.read(frame.window).astype(int)
        face = linked(frame, PLACE, eye_image_left=openness, eye_image_right=openness)
        MeshWarp(source, METER).render(frame, face)
        lids = ring_mask(PLACE, (226, 31, 228, 229, 230, 231, 232, 233, 244, 190, 56, 28, 27, 29, 30), (400, 400))
        changes.append(np.abs(frame.read(frame.window).astype(int) - before)[lids].mean())
    assert changes[1] < 0.6 * changes[0]


def test_a_fringe_on_source_or_target_protects_only_the_forehead(source):
    opacity = moving(source, forehead=0.2)
    assert at(opacity, FOREHEAD)[0] < 0.05
    assert at(opacity, NOSE_TIP, CHEEK_LEFT, CHEEK_RIGHT, CHIN).min() > 0.9
    np.testing.assert_array_equal(moving(source, forehead=0.9), moving(source, forehead=1.0))


def rotated(degrees: float) -> np.ndarray:
    """Return the landmarks of a head that looks to the left of the image for positive degrees."""
    angle = np.radians(degrees)
    matrix = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    return (face_at(0, 0, 70) @ matrix.T + [200, 190, 0]).astype(np.float32)


def test_skin_that_is_seen_edge_on_fades(source):
    """The cheek that turns away fades, but the one that turns towards the camera does not."""
    away = [float(at(moving(source, rotated(degrees)), CHEEK_LEFT)[0]) for degrees in (0, 30, 45, 60, 85)]
    towards = [float(at(moving(source, rotated(degrees)), CHEEK_RIGHT)[0]) for degrees in (0, 30, 45, 60)]
    assert away == sorted(away, reverse=True)
    assert away[0] > 0.95 and 0.3 < away[1] < 0.9 and away[3] < 0.05
    assert min(towards) > 0.95


@pytest.mark.parametrize('degrees', [-50, 0, 30])
def test_opacity_is_within_0_and_1_under_the_nose(source, degrees):
    """Some triangles of the mesh under the nose are narrower than a texel. ``moving`` also asserts the limits."""
    under = at(moving(source, rotated(degrees)), 2, 97, 326, 164)
    assert under.max() <= 1 and (degrees or under.min() > 0.5)


def test_a_fully_turned_face_shows_a_quarter_of_the_target(source):
    np.testing.assert_allclose(moving(source, turned=1.0), MIN_TURNED * moving(source), atol=1e-6)


def test_objects_over_the_target_are_not_painted(source):
    visibility = OPEN.copy()
    visibility[:, :32] = 0
    opacity = Opacity(source, METER, FaceMaskOptions()).moving(FRONTAL, visibility, TRAITS, 0.0)
    assert at(opacity, CHEEK_LEFT)[0] == 0 and at(opacity, CHEEK_RIGHT)[0] > 0.95
    assert visibility.min() == 0 and visibility.max() == 1


def test_the_sources_own_opacity_is_not_changed(source):
    before = source.opacity.copy()
    moving(source, forehead=0.1, eye_image_left=0.0, turned=1.0)
    np.testing.assert_array_equal(source.opacity, before)
