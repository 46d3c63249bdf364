"""The visible part of faces in the target's frames, from published occluders, as a median over time.

A single frame would make the mask flicker. The median is taken in the coordinates of the aligned crop, so it follows
the face, and an object that stays in front of the face stays in the mask.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import cv2
import numpy as np

from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.landmarks.subsets import five_points
from facefusion.faces.masks.crop_masks import smoothed
from facefusion.faces.masks.networks import Occluder
from facefusion.faces.templates import crop_frame, template_matrix
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.processors.face_crops import FaceCrop
from facefusion.processors.mask_requirements import OCCLUSION_REACH
from facefusion.processors.processor import FrameTask

# Neighbouring frames need the same masks, so each is computed once; this many stay in memory, 131 kB per occluder.
_KEPT_MASKS = 256


class _View(NamedTuple):
    """A face in an unprocessed frame of the target, and the side of its crop in pixels."""

    frame: Frame
    face: LinkedFace
    side: int

    @property
    def key(self) -> tuple[int, int, int]:
        return self.frame.number, self.face.track, self.side


class OcclusionMasks:
    """Masks of the visible part of a face; several threads may share them."""

    def __init__(self, occluders: Sequence[Occluder], template: str) -> None:
        self._occluders = occluders
        self._template = template
        self._found: OrderedDict[tuple[int, int, int], Future[Floats]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, crops: Sequence[FaceCrop]) -> list[Floats]:
        """Return a mask float32 [S,S] for each crop, 1 where the face is visible."""
        windows = [_views(crop.task, crop.face, len(crop.pixels)) for crop in crops]
        found = self._masks([view for window in windows for view in window])
        return [
            self._mask([found[view.key] for view in window], len(crop.pixels))
            for crop, window in zip(crops, windows, strict=True)
        ]

    def _mask(self, over_time: Sequence[Floats], size: int) -> Floats:
        """Return the minimum of the medians of each occluder."""
        medians = np.median(np.stack(over_time).astype(np.float32), axis=0)
        return smoothed(np.minimum.reduce([cv2.resize(each, (size, size)) for each in medians]))

    def _masks(self, views: Sequence[_View]) -> dict[tuple[int, int, int], Floats]:
        """Return the masks float16 [occluders,256,256] of all views; each is computed by one thread."""
        futures: dict[tuple[int, int, int], Future[Floats]] = {}
        missing: list[_View] = []
        with self._lock:
            for view in views:
                if view.key in futures:
                    continue
                if view.key not in self._found:
                    self._found[view.key] = Future()
                    missing.append(view)
                self._found.move_to_end(view.key)
                futures[view.key] = self._found[view.key]
            while len(self._found) > _KEPT_MASKS:
                self._found.popitem(last=False)
        if missing:
            self._compute(missing, futures)
        return {key: future.result() for key, future in futures.items()}

    def _compute(self, views: Sequence[_View], futures: dict[tuple[int, int, int], Future[Floats]]) -> None:
        try:
            crops = [self._crop(view) for view in views]
            masks = np.stack([occluder.visible(crops) for occluder in self._occluders], axis=1).astype(np.float16)
        except BaseException as error:
            for view in views:
                futures[view.key].set_exception(error)
            raise
        for view, mask in zip(views, masks, strict=True):
            futures[view.key].set_result(mask)

    def _crop(self, view: _View) -> Pixels:
        matrix = template_matrix(five_points(view.face.landmarks), self._template, view.side)
        return crop_frame(view.frame, matrix, (view.side, view.side))


def _views(task: FrameTask, face: LinkedFace, side: int) -> list[_View]:
    """Return the face in the frames around its own, at most two on each side and as many before as after.

    The window ends where the face is missing on one side.
    """
    middle = len(task.neighbours) // 2
    own = task.neighbours[middle]
    views = [_View(own, face, side)]
    for distance in range(1, min(middle, OCCLUSION_REACH) + 1):
        pair = []
        for offset in (-distance, distance):
            frame = task.neighbours[middle + offset]
            found = [each for each in task.neighbour_faces[middle + offset] if each.track == face.track]
            # At the ends of a clip, copies of the end frame replace missing neighbours.
            if frame.number == own.number + offset:
                pair += [_View(frame, each, side) for each in found[:1]]
        if len(pair) < 2:
            break
        views += pair
    return views
