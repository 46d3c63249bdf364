from __future__ import annotations

import math

import numpy as np
import pytest
from fakes.model_sessions import TensorSession

from facefusion.faces.detect.centerface import CANDIDATES, CenterFace
from facefusion.faces.options import FaceDetectorOptions, expand_sides
from facefusion.media.frame import PixelFrame

GRID = (48, 80)


def tensors(grid=GRID):
    """Return heat, log size (height, width), offset (y, x) and points (y, x, ...) of an image without faces."""
    return [np.zeros((1, channels, *grid), np.float32) for channels in (1, 2, 2, 10)]


def put(outputs, row, column, score, *, width, height, offset=(0.0, 0.0), points=None):
    heat, size, shift, five = outputs
    heat[0, 0, row, column] = score
    size[0, :, row, column] = math.log(height / 4), math.log(width / 4)
    shift[0, :, row, column] = offset[1], offset[0]
    five[0, :, row, column] = np.zeros(10) if points is None else points


def detect(session, frame, **options):
    return CenterFace(session, FaceDetectorOptions(**options)).detect(frame)


def picture(width, height, colour=(10, 20, 30)):
    return PixelFrame(np.full((height, width, 3), colour, np.uint8))


def test_cell_decodes_to_box_points_and_score():
    outputs = tensors()
    # The y and x of each point, as shares of the box.
    places = [0.3, 0.25, 0.3, 0.75, 0.6, 0.5, 0.8, 0.35, 0.8, 0.65]
    put(outputs, 10, 20, 0.9, width=40, height=60, offset=(0.25, -0.25), points=places)
    (found,) = detect(TensorSession(*outputs), picture(320, 192))
    centre_x, centre_y = (20 + 0.25 + 0.5) * 4, (10 - 0.25 + 0.5) * 4
    left, top = centre_x - 20, centre_y - 30
    np.testing.assert_allclose(found.box, [left, top, left + 40, top + 60], atol=1e-4)
    expected = [[left + x * 40, top + y * 60] for y, x in zip(places[::2], places[1::2], strict=True)]
    np.testing.assert_allclose(found.points, expected, atol=1e-4)
    assert found.score == pytest.approx(0.9)
    assert found.box.dtype == found.points.dtype == np.float32


def test_network_input_is_rgb_of_the_entire_image():
    session = TensorSession(*tensors())
    detect(session, picture(320, 192))
    (fed,) = session.fed
    assert fed.shape == (1, 3, 192, 320) and fed.dtype == np.float32 and fed.flags.c_contiguous
    assert [float(fed[0, channel].mean()) for channel in range(3)] == [30, 20, 10]


@pytest.mark.parametrize(
    ('size', 'fed'),
    [((1300, 700), (352, 640)), ((700, 1300), (640, 352)), ((330, 200), (224, 352)), ((20, 9), (32, 32))],
)
def test_boxes_of_large_images_are_in_frame_pixels(size, fed):
    outputs = tensors((fed[0] // 4, fed[1] // 4))
    put(outputs, 4, 4, 0.8, width=8, height=12)
    session = TensorSession(*outputs)
    (found,) = detect(session, picture(*size))
    assert session.fed[0].shape[2:] == fed
    scale_x, scale_y = size[0] / fed[1], size[1] / fed[0]
    np.testing.assert_allclose(found.box, [14 * scale_x, 12 * scale_y, 22 * scale_x, 24 * scale_y], rtol=1e-5)


def test_scores_above_the_threshold_count_best_first():
    outputs = tensors()
    for column, score in ((5, 0.5), (25, 0.51), (45, 0.9), (65, 0.2)):
        put(outputs, 20, column, score, width=30, height=30)
    found = detect(TensorSession(*outputs), picture(320, 192))
    assert [round(detection.score, 2) for detection in found] == [0.9, 0.51]


def test_best_of_overlapping_boxes_is_returned():
    outputs = tensors()
    put(outputs, 20, 20, 0.7, width=40, height=40)
    put(outputs, 21, 21, 0.9, width=40, height=40)  # overlaps by 0.68
    put(outputs, 20, 29, 0.6, width=40, height=40)  # overlaps the best by 0.19
    found = detect(TensorSession(*outputs), picture(320, 192))
    assert [round(detection.score, 1) for detection in found] == [0.9, 0.6]


def test_boxes_start_inside_the_image():
    outputs = tensors()
    put(outputs, 0, 0, 0.9, width=40, height=40)
    (found,) = detect(TensorSession(*outputs), picture(320, 192))
    assert found.box[:2].tolist() == [0, 0]


def test_number_of_detections_is_limited():
    outputs = tensors()
    outputs[0][...] = np.random.default_rng(1).random(outputs[0].shape) * 0.5 + 0.5
    outputs[1][...] = math.log(0.25)
    assert len(detect(TensorSession(*outputs), picture(320, 192))) == CANDIDATES


def test_no_face_gives_an_empty_list():
    assert detect(TensorSession(*tensors()), picture(320, 192)) == []


def test_detector_size_limits_the_network_input():
    for size, fed in (('320x320', (1, 3, 192, 320)), ('960x960', (1, 3, 544, 960)), ('1280x1280', (1, 3, 576, 1024))):
        height, width = fed[2:]
        session = TensorSession(*tensors((height // 4, width // 4)))
        detect(session, picture(1024, 576), face_detector_size=size)
        assert session.fed[0].shape == fed


def test_margin_is_added_and_subtracted():
    outputs = tensors((64, 96))
    put(outputs, 30, 40, 0.9, width=40, height=40, points=[0.5] * 10)
    session = TensorSession(*outputs)
    # The margins are half the given percentages of 320x192: 19 pixels above, 16 right, 10 below, 32 left.
    (found,) = detect(session, picture(320, 192, (9, 9, 9)), face_detector_margin=(20, 10, 10, 20))
    (fed,) = session.fed
    assert fed.shape == (1, 3, 224, 384)
    filled = fed[0, 0] > 0
    assert np.flatnonzero(filled.any(1)).tolist() == list(range(19, 19 + 192))
    assert np.flatnonzero(filled.any(0)).tolist() == list(range(32, 32 + 320))
    centre = np.array([40.5 * 4 - 32, 30.5 * 4 - 19])
    np.testing.assert_allclose(found.box, [*(centre - 20), *(centre + 20)], atol=1e-4)
    np.testing.assert_allclose(found.points[2], centre, atol=1e-4)


class BrightSpots:
    """A network that detects a bright spot as a face: a box of 12x8 around the spot, with the first point above it."""

    def __init__(self):
        self.looks = 0

    def get_inputs(self):
        return TensorSession().get_inputs()

    def run(self, names, feeds):
        self.looks += 1
        (tensor,) = feeds.values()
        outputs = tensors((tensor.shape[2] // 4, tensor.shape[3] // 4))
        y, x = (int(value) for value in np.argwhere(tensor[0, 0] > 200).mean(0))
        points = [0.0, 0.5, *[0.5] * 8]
        put(outputs, y // 4, x // 4, 0.5 + 0.1 * self.looks, width=12, height=8, points=points)
        return outputs


@pytest.mark.parametrize('angle', [0, 90, 180, 270])
def test_detections_of_rotated_images_are_rotated_back(angle):
    pixels = np.zeros((192, 320, 3), np.uint8)
    pixels[40:44, 80:84] = 255
    (found,) = detect(BrightSpots(), PixelFrame(pixels), face_detector_angles=(angle,))
    width, height = (12, 8) if angle in (0, 180) else (8, 12)
    np.testing.assert_allclose(found.box, [82 - width / 2, 42 - height / 2, 82 + width / 2, 42 + height / 2], atol=0.51)
    # The network detects in an image rotated counter-clockwise; this is its upward direction in the original image.
    above = {0: (0, -4), 90: (4, 0), 180: (0, 4), 270: (-4, 0)}[angle]
    np.testing.assert_allclose(found.points[0] - found.points[1], above, atol=1e-4)


def test_each_angle_runs_once_and_suppression_is_shared():
    pixels = np.zeros((192, 320, 3), np.uint8)
    pixels[40:44, 80:84] = 255
    session = BrightSpots()
    found = detect(session, PixelFrame(pixels), face_detector_angles=(0, 180, 0))
    assert session.looks == 2
    assert [round(detection.score, 1) for detection in found] == [0.7]


@pytest.mark.parametrize(
    ('values', 'sides'),
    [
        ((1,), (1, 1, 1, 1)),
        ((1, 2), (1, 2, 1, 2)),
        ((1, 2, 3), (1, 2, 3, 2)),
        ((1, 2, 3, 4), (1, 2, 3, 4)),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4)),
    ],
)
def test_sides_expand_as_in_css(values, sides):
    assert expand_sides(values) == sides
