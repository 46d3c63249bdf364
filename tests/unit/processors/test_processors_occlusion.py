"""Tests of the visible part of faces over time, with occluders that flicker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from fakes.face_chunks import face_at

from facefusion.faces.face import LinkedFace
from facefusion.media.frame import PixelFrame
from facefusion.processors import occlusion
from facefusion.processors.face_crops import face_crop
from facefusion.processors.occlusion import OcclusionMasks
from facefusion.processors.processor import FrameTask

TEMPLATE, SIZE = 'ffhq_512', 256
# The covered part of the picture is blue; a hand does not move while the face does.
HAND = (slice(190, 300), slice(150, 260))


class Flickering:
    """An occluder that finds blue, with a threshold that changes from call to call; it counts the crops."""

    def __init__(self, amount: float = 0.1, spots: bool = False) -> None:
        self.amount, self.spots, self.count = amount, spots, 0

    def visible(self, crops):
        found = []
        for crop in crops:
            self.count += 1
            random = np.random.default_rng([int(crop.sum()) % 1_000_003])
            mask = 1 - cv2.GaussianBlur((crop[..., 0] > 150).astype(np.float32), (0, 0), 4)
            # The border of the mask moves, and the values change by a tenth.
            mask = np.clip((mask - 0.5) * 3 + 0.5 + random.uniform(-1, 1) * 5 * self.amount, 0, 1)
            if self.spots and random.random() < 0.12:
                mask = mask * 0
            found.append(cv2.resize(mask, (256, 256)))
        return np.stack(found).astype(np.float32)


def picture(number: int) -> PixelFrame:
    pixels = np.full((400, 400, 3), (60, 120, 180), np.uint8)
    noise = np.random.default_rng(number).integers(0, 20, pixels.shape, np.uint8)
    pixels += noise
    pixels[HAND] = (220, 60, 60)
    return PixelFrame(pixels, number=number)


def face_of(number: int, track: int = 1) -> LinkedFace:
    return LinkedFace(track, face_at(190 + 1.5 * number, 200, 60), 0.9)


def task_of(number: int, first: int = 0, last: int = 99, absent: tuple[int, ...] = ()) -> FrameTask:
    numbers = [min(max(number + offset, first), last) for offset in range(-2, 3)]
    faces = tuple(() if each in absent else (face_of(each),) for each in numbers)
    frames = tuple(picture(each) for each in numbers)
    return FrameTask(picture(number), (face_of(number),), neighbours=frames, neighbour_faces=faces)


def crop_of(task: FrameTask):
    return face_crop(0, task, task.faces[0], TEMPLATE, lambda five: SIZE)


def mask_of(masks: OcclusionMasks, task: FrameTask) -> np.ndarray:
    return masks.of([crop_of(task)])[0]


def in_frame(task: FrameTask, mask: np.ndarray) -> np.ndarray:
    """Return the covered part of the face in the frame, bool."""
    back = cv2.invertAffineTransform(crop_of(task).matrix)
    return cv2.warpAffine(1 - mask, back, (400, 400)) > 0.5


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def single(occluder, task: FrameTask) -> np.ndarray:
    return mask_of(OcclusionMasks([occluder], TEMPLATE), FrameTask(task.frame, task.faces, neighbours=(task.frame,)))


@pytest.mark.parametrize('spots', [False, True])
def test_a_still_hand_before_a_moving_face_does_not_flicker(spots):
    tasks = [task_of(number) for number in range(2, 14)]
    masks = OcclusionMasks([Flickering(spots=spots)], TEMPLATE)
    steady = [in_frame(task, mask_of(masks, task)) for task in tasks]
    overlaps = [overlap(before, after) for before, after in pairwise(steady)]
    raw = [in_frame(task, single(Flickering(spots=spots), task)) for task in tasks]
    flickers = [overlap(before, after) for before, after in pairwise(raw)]
    assert steady[0].sum() > 4000
    assert min(overlaps) >= (0.97 if not spots else 0.9)
    assert min(flickers) < min(overlaps)


def test_each_mask_is_computed_once():
    occluder = Flickering()
    masks = OcclusionMasks([occluder], TEMPLATE)
    for number in range(2, 12):
        mask_of(masks, task_of(number))
    assert occluder.count == 14


def test_threads_share_masks_and_change_no_result():
    occluder = Flickering()
    masks = OcclusionMasks([occluder], TEMPLATE)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: mask_of(masks, task_of(number)), range(2, 14)))
    assert occluder.count == 16
    for number, mask in zip(range(2, 14), found, strict=True):
        np.testing.assert_array_equal(mask, mask_of(OcclusionMasks([Flickering()], TEMPLATE), task_of(number)))


def test_few_masks_stay_in_memory(monkeypatch):
    monkeypatch.setattr(occlusion, '_KEPT_MASKS', 6)
    occluder = Flickering()
    masks = OcclusionMasks([occluder], TEMPLATE)
    for number in (2, 30, 2):
        mask_of(masks, task_of(number))
    assert occluder.count == 14 and len(masks._found) <= 6


@pytest.mark.parametrize(
    ('task', 'frames'),
    [
        (task_of(5), 5),
        (task_of(0), 1),
        (task_of(1), 3),
        (task_of(9, last=9), 1),
        (task_of(5, absent=(6,)), 1),
        (task_of(5, absent=(3,)), 3),
    ],
    ids=['inside', 'first frame', 'second frame', 'last frame', 'absent after', 'absent two before'],
)
def test_the_window_shrinks_on_both_sides(task, frames):
    occluder = Flickering()
    mask_of(OcclusionMasks([occluder], TEMPLATE), task)
    assert occluder.count == frames


def test_more_neighbours_for_another_processor_change_no_mask():
    task = task_of(20)
    numbers = range(20 - 5, 20 + 6)
    more = replace(
        task,
        neighbours=tuple(picture(each) for each in numbers),
        neighbour_faces=tuple((face_of(each),) for each in numbers),
    )
    masks = [mask_of(OcclusionMasks([Flickering()], TEMPLATE), each) for each in (task, more)]
    np.testing.assert_array_equal(*masks)


def test_the_pixels_are_those_of_the_target():
    task = task_of(5)
    before = mask_of(OcclusionMasks([Flickering()], TEMPLATE), task)
    task.frame.pixels[:] = 0
    np.testing.assert_array_equal(mask_of(OcclusionMasks([Flickering()], TEMPLATE), task), before)


def test_several_occluders_must_agree_that_a_pixel_is_visible():
    class Half:
        def __init__(self, left):
            self.left = left

        def visible(self, crops):
            mask = np.zeros((len(crops), 256, 256), np.float32)
            mask[..., :128] = self.left
            mask[..., 128:] = 1 - self.left
            return mask

    masks = OcclusionMasks([Half(1), Half(0)], TEMPLATE)
    assert mask_of(masks, task_of(5)).max() == 0
    assert mask_of(OcclusionMasks([Half(1), Half(1)], TEMPLATE), task_of(5))[:, :100].min() == 1


def test_a_failing_network_fails_every_thread_that_waits_for_it():
    class Broken:
        def visible(self, crops):
            raise ValueError('broken')

    masks = OcclusionMasks([Broken()], TEMPLATE)
    for _ in range(2):
        with pytest.raises(ValueError, match='broken'):
            mask_of(masks, task_of(5))
