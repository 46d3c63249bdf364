"""Tests of SCRFD with the weights from the package index, compared with results of the published file."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from facefusion.faces.detect.canvas import CanvasDetector
from facefusion.faces.detect.scrfd import Scrfd
from facefusion.faces.options import FaceDetectorOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import read_image

pytestmark = pytest.mark.network

# Results of the published scrfd_2.5g.onnx at 640x640, fed BGR, separately decoded: box and points in pixels, and score.
PORTRAIT = (
    (180.344, 54.294, 271.491, 178.978),
    ((204.371, 99.855), (247.786, 102.351), (223.575, 128.663), (201.095, 138.414), (245.965, 140.857)),
    0.84446,
)
FIRST_OF_GROUP = (
    (745.542, 339.245, 846.063, 480.451),
    ((760.152, 395.968), (802.338, 401.351), (771.255, 430.663), (763.447, 437.921), (805.674, 442.095)),
    0.91391,
)


@pytest.fixture(scope='module')
def detector(store):
    session = onnxruntime.InferenceSession(str(store.path('scrfd_2.5g')), providers=['CPUExecutionProvider'])
    return CanvasDetector([Scrfd(session, 640)], FaceDetectorOptions())


def with_colours_swapped(path) -> PixelFrame:
    return PixelFrame(np.ascontiguousarray(read_image(path).pixels[:, :, ::-1]))


@pytest.mark.parametrize(
    ('name', 'expected', 'count'), [('example_portrait', PORTRAIT, 1), ('example_group', FIRST_OF_GROUP, 6)]
)
def test_faces_equal_those_of_the_published_file(detector, store, name, expected, count):
    # This program feeds RGB to the network, but the expected numbers are from a program that feeds BGR.
    faces = detector.detect(with_colours_swapped(store.path(name)))
    assert len(faces) == count
    box, points, score = expected
    np.testing.assert_allclose(faces[0].box, box, atol=0.002)
    np.testing.assert_allclose(faces[0].points, points, atol=0.002)
    assert faces[0].score == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize('name', ['example_portrait', 'example_group'])
def test_rgb_gives_higher_scores_or_equal_ones(detector, store, name):
    rgb, bgr = detector.detect(read_image(store.path(name))), detector.detect(with_colours_swapped(store.path(name)))
    assert len(rgb) == len(bgr)
    assert np.mean([face.score for face in rgb]) > np.mean([face.score for face in bgr]) - 0.005
