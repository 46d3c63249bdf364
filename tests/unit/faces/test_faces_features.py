from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.drawn_face import TOPOLOGY, draw_face, face_texture
from fakes.face_chunks import face_at

from facefusion.faces.features import load_mean_look, look
from facefusion.faces.skin import SkinMeter
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT

METER = SkinMeter(TOPOLOGY)
FACE = face_at(200, 200, 70)
SKIN = (110, 140, 190)


def eye_free(sample, ring) -> float:
    """Return the visibility of the middle of an eye, 0..255."""
    x, y = (TOPOLOGY.atlas[list(ring)].mean(0) * 64).astype(int)
    return float(sample['free'][y - 2 : y + 3, x - 2 : x + 3].mean())


def cover(frame, ring):
    """Cover an eye and its brow with the colour of the skin, like a hand."""
    low, high = FACE[list(ring), :2].min(0) - 45, FACE[list(ring), :2].max(0) + 45
    x0, y0, x1, y1 = (int(v) for v in (*low, *high))
    frame.pixels[y0:y1, x0:x1] = np.array(SKIN, np.float32) * 0.93


def test_mean_look_is_symmetric_and_dark_at_eyes_and_mouth():
    mean = load_mean_look()
    assert mean.shape == (64, 64)
    np.testing.assert_allclose(mean, mean[:, ::-1], atol=0.002)
    for vertex in (159, 386, 13):
        x, y = (TOPOLOGY.atlas[vertex] * 64).astype(int)
        assert mean[y - 1 : y + 2, x - 1 : x + 2].min() < -0.1


@pytest.mark.parametrize('light', [0.25, 1.0, 1.25])
def test_features_are_visible_in_any_light(light):
    texture = np.clip(face_texture(SKIN) * light, 0, 255).astype(np.uint8)
    sample = METER.measure(draw_face(FACE, texture), FACE)
    assert min(eye_free(sample, ring) for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT)) > 200


@pytest.mark.parametrize('hidden', [0, 1])
def test_eye_behind_skin_is_hidden_and_the_other_is_not(hidden):
    rings = (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT)
    frame = draw_face(FACE, face_texture(SKIN))
    cover(frame, rings[hidden])
    sample = METER.measure(frame, FACE)
    assert eye_free(sample, rings[hidden]) < 60 and eye_free(sample, rings[1 - hidden]) > 200


def test_look_of_an_even_image_is_zero():
    assert np.abs(look(np.full((64, 64), 90, np.float32))).max() < 1e-5


def test_mask_hides_the_mouth_and_its_surroundings():
    frame = draw_face(FACE, face_texture(SKIN))
    low = int(FACE[[61, 291], 1].mean())
    frame.pixels[low - 35 : low + 60, 120:280] = (225, 210, 175)
    visibility = METER.measure(frame, FACE)['free']
    x, y = (TOPOLOGY.atlas[13] * 64).astype(int)
    assert visibility[y - 3 : y + 8, x - 8 : x + 9].max() < 60 and visibility[18:22, 18:22].min() > 200


def test_black_lenses_hide_the_eyes():
    frame = draw_face(FACE, face_texture(SKIN))
    for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT):
        x, y = FACE[list(ring), :2].mean(0)
        cv2.ellipse(frame.pixels, (round(x), round(y)), (34, 26), 0, 0, 360, (8, 8, 8), -1)
    sample = METER.measure(frame, FACE)
    assert max(eye_free(sample, ring) for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT)) < 60
