from __future__ import annotations

import cv2
import numpy as np
import pytest
from fakes.face_chunks import face_at

from facefusion.faces.face import LinkedFace
from facefusion.faces.templates import resized_matrix, template_matrix
from facefusion.media.frame import PixelFrame
from facefusion.processors.face_crops import face_crops
from facefusion.processors.processor import FrameTask


def linked(track: int, size: float, x: float = 200) -> LinkedFace:
    return LinkedFace(track, face_at(x, 150, size), 0.9)


def smooth_frame() -> PixelFrame:
    small = np.random.default_rng(5).integers(0, 256, (12, 16, 3), np.uint8)
    return PixelFrame(cv2.resize(small, (400, 300), interpolation=cv2.INTER_CUBIC))


def test_the_first_faces_of_all_frames_come_first_and_small_faces_never():
    tasks = [
        FrameTask(smooth_frame(), [linked(1, 5), linked(2, 40, 100), linked(3, 60)]),
        FrameTask(smooth_frame(), [linked(4, 5)]),
        FrameTask(smooth_frame(), [linked(5, 30)]),
    ]
    turns = [
        [(crop.number, crop.face.track) for crop in crops] for crops in face_crops(tasks, 'ffhq_512', lambda _: 64)
    ]
    assert turns == [[(0, 2), (2, 5)], [(0, 3)]]


def test_the_second_face_is_read_after_the_first_was_pasted():
    frame = PixelFrame(np.zeros((300, 400, 3), np.uint8))
    means = []
    for (crop,) in face_crops([FrameTask(frame, [linked(0, 60), linked(1, 40)])], 'ffhq_512', lambda _: 64):
        means.append(crop.pixels.mean())
        crop.blend(np.full((64, 64, 3), 200, np.uint8), np.ones((64, 64), np.float32))
    assert means[0] == 0 and means[1] > 190


@pytest.mark.parametrize('factor', [1, 2, 4, 0.5])
def test_a_resized_crop_is_pasted_at_the_same_place(factor):
    size = round(256 * factor)
    enlarged = smooth_frame()
    ((crop,),) = face_crops([FrameTask(enlarged, [linked(0, 80)])], 'ffhq_512', lambda _: 256)
    # Area averages and repeated pixels keep the position of the picture exactly.
    repeated = crop.pixels.repeat(4, 0).repeat(4, 1)
    resized = cv2.resize(repeated, (size, size), interpolation=cv2.INTER_AREA)
    assert crop.blend(resized, np.ones((size, size), np.float32))
    inner = (slice(100, 200), slice(150, 250))
    difference = enlarged.pixels[inner].astype(float) - smooth_frame().pixels[inner]
    assert np.abs(difference).mean() < 1.5
    # The slope of the picture shows a shift of a quarter of a pixel.
    slope = np.gradient(smooth_frame().pixels[inner].astype(float), axis=1)
    assert abs((difference * slope).sum() / (slope**2).sum()) < 0.1


def test_a_resized_matrix_maps_the_centres_of_pixels():
    matrix = template_matrix(np.array([[30, 40], [70, 42], [50, 60], [35, 80], [66, 79]], np.float32), 'ffhq_512', 128)
    np.testing.assert_array_equal(resized_matrix(matrix, 1), matrix)
    point = np.array([51, 63, 1])
    # The centre of pixel 0 of the crop lies between the pixels 1 and 2 of a crop four times as large.
    np.testing.assert_allclose(resized_matrix(matrix, 4) @ point, (matrix @ point + 0.5) * 4 - 0.5)
