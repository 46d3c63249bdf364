"""Aligned crops of the faces in a batch of frames, for processors that run a network on every face."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.landmarks.subsets import five_points, sixty_eight_points
from facefusion.faces.templates import Matrix, add_crop, blend_crop, crop_frame, resized_matrix, template_matrix
from facefusion.media.planes import Pixels
from facefusion.processors.processor import FrameTask
from facefusion.processors.registration import is_large_enough


@dataclass(frozen=True, slots=True, eq=False)
class FaceCrop:
    """A face of a frame and its aligned crop.

    number: index of the task in the batch. five: float32 [5,2] in pixels of the frame. matrix: from the frame to the
    crop. pixels: uint8 [S,S,3] BGR.
    """

    number: int
    task: FrameTask
    face: LinkedFace
    five: Floats
    matrix: Matrix
    pixels: Pixels

    def points(self) -> Floats:
        """Return the 68 points of the face in pixels of the crop, float32 [68,2]."""
        return self._placed(sixty_eight_points(self.face.landmarks))

    def landmarks(self) -> Floats:
        """Return the landmarks of the face with x and y in pixels of the crop, float32 [n,3]."""
        return np.column_stack([self._placed(self.face.landmarks[:, :2]), self.face.landmarks[:, 2]])

    def _placed(self, points: Floats) -> Floats:
        points = self.task.frame.scale.place(points)
        return np.asarray(cv2.transform(points[None], self.matrix)[0], np.float32)

    def blend(self, crop: Floats | Pixels, mask: Floats, share: float = 1.0) -> bool:
        """Paste ``crop`` into the frame; see ``blend_crop``. It covers the same part at any size."""
        matrix = resized_matrix(self.matrix, mask.shape[0] / self.pixels.shape[0])
        return blend_crop(self.task.frame, crop, mask, matrix, share)

    def add(self, difference: Floats) -> bool:
        """Add ``difference`` to the frame; see ``add_crop``. It covers the same part at any size."""
        matrix = resized_matrix(self.matrix, difference.shape[0] / self.pixels.shape[0])
        return add_crop(self.task.frame, difference, matrix)


def face_crops(
    batch: Sequence[FrameTask],
    template: str,
    size: Callable[[Floats], int],
    has_source: Callable[[LinkedFace], bool] = lambda face: True,
) -> Iterator[list[FaceCrop]]:
    """Yield the crops of the first face of every frame, then those of the second faces, and so on.

    The faces of a frame follow one after another, because they may overlap: the crop of a face contains the results of
    the faces before it. ``size`` returns the side of the crop in pixels for the five points of a face in the frame.
    Faces that are too small (``is_large_enough``) or for which ``has_source`` is false are left out, because frames
    with only such faces get no mark.
    """
    faces = [[face for face in task.faces if is_large_enough(face) and has_source(face)] for task in batch]
    for turn in range(max((len(each) for each in faces), default=0)):
        chosen = [number for number, each in enumerate(faces) if turn < len(each)]
        yield [face_crop(number, batch[number], faces[number][turn], template, size) for number in chosen]


def face_crop(number: int, task: FrameTask, face: LinkedFace, template: str, size: Callable[[Floats], int]) -> FaceCrop:
    """Return the crop of one face; see ``face_crops``."""
    # The coordinates of faces are in pixels of the target, but an earlier processor may have enlarged the frame.
    five = task.frame.scale.place(five_points(face.landmarks))
    side = size(five)
    matrix = template_matrix(five, template, side)
    return FaceCrop(number, task, face, five, matrix, crop_frame(task.frame, matrix, (side, side)))
