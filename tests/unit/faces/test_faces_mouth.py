from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture, open_face, ring_mask
from fakes.face_chunks import face_at, reduced

from facefusion.faces.best_views import MOST_VIEWS, RankedViews
from facefusion.faces.face import Face
from facefusion.faces.measurement_types import FaceView, best_of
from facefusion.faces.mouth import (
    CLOSED_VIEWS,
    MOUTH_REST,
    MOUTH_SIZE,
    MOUTH_SKIN,
    MOUTH_TEETH,
    OPEN_VIEWS,
    TEETH_AREA,
    TEETH_SCALE,
    TEETH_SIZE,
    MouthSkinMeter,
    RestMeter,
    TeethMeter,
    opening_of,
)
from facefusion.faces.mouth_shape import head_pose, in_head, lip_gap
from facefusion.faces.topology import INNER_LIPS
from facefusion.media.frame import PixelFrame

SKIN = (120, 150, 200)
TEETH = (215, 225, 230)


def mouth_at(gap: float, size: float = 70, turned: float = 0.0) -> np.ndarray:
    """Return the mean shape with this gap between the lips in eye distances, turned to the side by radians."""
    mesh = face_at(0, 0, 1)
    lower = [95, 88, 178, 87, 14, 317, 402, 318, 324]
    upper = [191, 80, 81, 82, 13, 312, 311, 310, 415]
    arch = 1 - (mesh[upper, 0] / 0.39) ** 2
    mesh[lower, 1] = mesh[upper, 1] + gap * arch
    turn = np.array([[np.cos(turned), 0, np.sin(turned)], [0, 1, 0], [-np.sin(turned), 0, np.cos(turned)]])
    return (mesh @ turn.T * size + [200, 190, 0]).astype(np.float32)


def view(landmarks: np.ndarray, teeth: bool = False, light: float = 1.0) -> FaceView:
    frame = draw_face(landmarks, face_texture(SKIN))
    if teeth:
        inside = ring_mask(landmarks, INNER_LIPS, (400, 400))
        below = np.arange(400)[:, None] > landmarks[13, 1] + 9
        frame.pixels[inside & ~below] = TEETH
    return FaceView(PixelFrame((frame.pixels * light).astype(np.uint8)), landmarks)


def test_the_opening_is_the_gap_in_eye_distances():
    for gap in (0.0, 0.1, 0.3):
        assert opening_of(mouth_at(gap)) == pytest.approx(gap, rel=0.15, abs=0.02)


def test_views_with_closed_lips_and_views_with_visible_teeth_are_ranked_separately():
    views = RankedViews([CLOSED_VIEWS, OPEN_VIEWS])
    gaps = [0.3, 0.0, 0.12, 0.01, 0.6, 0.1, 0.02, 0.0, 0.09]
    for number, gap in enumerate(gaps):
        landmarks = mouth_at(gap)
        views.offer(PixelFrame(np.full((400, 400, 3), number, np.uint8)), 0, Face(landmarks, 0.9, 0.05, 0.9))
    closed, weight = views.of(CLOSED_VIEWS, 0)
    wide, _ = views.of(OPEN_VIEWS, 0)
    assert len(closed) == len(wide) == MOST_VIEWS and weight > 0
    assert {int(each.frame.pixels[0, 0, 0]) for each in closed} == {1, 7, 3}
    assert {int(each.frame.pixels[0, 0, 0]) for each in wide} == {2, 5, 8}


@pytest.mark.parametrize('ranking', [CLOSED_VIEWS, OPEN_VIEWS])
def test_frontal_and_large_views_are_better(ranking):
    gap = 0.0 if ranking is CLOSED_VIEWS else 0.12
    quality = [
        ranking.quality(Face(mesh, 0.9, 0.05, 0.9))
        for mesh in (mouth_at(gap), mouth_at(gap, turned=0.6), mouth_at(gap, size=30))
    ]
    assert quality[0] > 1.5 * quality[1] > 0 and quality[0] > 2 * quality[2] > 0


def test_landmarks_without_a_mesh_have_no_views():
    for ranking in (CLOSED_VIEWS, OPEN_VIEWS):
        assert ranking.quality(Face(reduced(mouth_at(0), 68), 0.9, 0.05, 0.9)) == 0


def test_the_rest_is_the_mean_of_the_closed_views_in_head_coordinates():
    views = [FaceView(None, mouth_at(gap, turned=turned)) for gap, turned in ((0.0, 0.2), (0.01, -0.1), (0.2, 0))]
    rest = RestMeter(TOPOLOGY).measure(views)
    assert rest.shape == MOUTH_REST.shape and lip_gap(rest) < 0.02
    plain = mouth_at(0.005)
    np.testing.assert_allclose(rest, in_head(head_pose(TOPOLOGY, plain), plain), atol=0.02)
    assert lip_gap(RestMeter(TOPOLOGY).measure(views[2:])) == pytest.approx(0.2, abs=0.02)


def test_the_skin_of_the_mouth_does_not_depend_on_the_place_of_the_face():
    meter = MouthSkinMeter(TOPOLOGY)
    here, there = mouth_at(0), mouth_at(0) + np.array([40, -25, 0], np.float32)
    first, second = (meter.measure([view(each)]) for each in (here, there))
    assert first.shape == MOUTH_SKIN.shape == (MOUTH_SIZE[1], MOUTH_SIZE[0], 3) and first.dtype == np.uint8
    assert np.abs(first.astype(int) - second).mean() < 3


def test_teeth_of_an_open_mouth_are_found_relative_to_the_skin():
    meter = TeethMeter(TOPOLOGY)
    landmarks = mouth_at(0.22)
    bright, dark = (meter.measure([view(landmarks, teeth=True, light=light)]) for light in (1.0, 0.35))
    assert bright.shape == MOUTH_TEETH.shape == (TEETH_SIZE[1], TEETH_SIZE[0], 4)
    solid = bright[..., 3] > 200
    x0, y0, width, height = TEETH_AREA
    rows, columns = np.nonzero(solid)
    middle = x0 + width * (columns.mean() + 0.5) / TEETH_SIZE[0]
    lowest = y0 + height * (rows.max() + 0.5) / TEETH_SIZE[1]
    shape = in_head(head_pose(TOPOLOGY, landmarks), landmarks)
    assert solid.mean() > 0.1 and abs(middle) < 0.03 and lowest == pytest.approx(shape[13, 1] + 9 / 70, abs=0.04)
    # The colour is relative, so that it is the same in the dark.
    both = solid & (dark[..., 3] > 200)
    assert both.sum() > 0.8 * solid.sum()
    assert np.abs(bright[both][:, :3].astype(int) - dark[both][:, :3]).mean() < 8


@pytest.mark.parametrize(
    'landmarks', [mouth_at(0.0), mouth_at(0.22), open_face(200, 190, 70)], ids=['closed', 'a', 'b']
)
def test_mouths_without_visible_teeth_have_none(landmarks):
    assert not TeethMeter(TOPOLOGY).measure([view(landmarks)])[..., 3].any()


def test_red_insides_are_no_teeth():
    landmarks = mouth_at(0.22)
    seen = view(landmarks)
    cv2.fillPoly(seen.frame.pixels, [landmarks[list(INNER_LIPS), :2].astype(np.int32)], (90, 100, 220))
    assert not TeethMeter(TOPOLOGY).measure([seen])[..., 3].any()


@pytest.mark.parametrize(('skin', 'low', 'high'), [((120, 150, 200), 0.7, 1.1), ((35, 48, 75), 2.0, 3.2)])
def test_without_teeth_their_brightness_is_that_of_the_eyes(skin, low, high):
    landmarks = mouth_at(0.0)
    found = TeethMeter(TOPOLOGY).measure([FaceView(draw_face(landmarks, face_texture(skin)), landmarks)])
    assert not found[..., 3].any() and low < found[0, 0, 0] / TEETH_SCALE < high


def test_the_best_chunk_decides():
    values = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    found = best_of(values, np.array([0.1, 2.0, 1.0], np.float32))
    assert found.dtype == np.uint8 and found.tolist() == values[1].tolist()
