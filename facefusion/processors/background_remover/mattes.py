"""The mattes of frames, as a median over time.

The matte of a single frame would flicker at its edges. The median changes a value only if the frames before and after
agree against it, so moving edges stay in place, and a cut between two shots leaves no trace of the other shot.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.processors.background_remover.networks import MattingNetwork, Separation
from facefusion.processors.processor import FrameTask

# Neighbouring frames need the same mattes, so each is computed once; this many stay in memory, up to 4 MB each.
_KEPT_MATTES = 32


class SteadyMattes:
    """Mattes of frames; several threads may share them."""

    def __init__(self, network: MattingNetwork) -> None:
        self._network = network
        self._found: OrderedDict[int, Future[Pixels]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, task: FrameTask) -> Separation:
        """Return the matte of a frame at the size of the network. Raises ModelError.

        If earlier processors changed the frame, it gets a matte of its own, corrected by the change that the median
        makes to the matte of the unprocessed frame.
        """
        if is_still(task):
            return self._network.separate(task.frame)
        mattes = [self._matte(frame) for frame in task.neighbours]
        own, steady = mattes[len(mattes) // 2], np.median(np.stack(mattes), axis=0).astype(np.uint8)
        if not (task.frame.is_touched or self._network.has_colors):
            return Separation(steady)
        changed = self._network.separate(task.frame)
        return changed._replace(matte=_corrected(changed.matte, own, steady))

    def _matte(self, frame: Frame) -> Pixels:
        """Return the matte of an unprocessed frame, which one thread computes."""
        with self._lock:
            future = self._found.get(frame.number)
            is_new = future is None
            if future is None:
                future = self._found[frame.number] = Future()
            self._found.move_to_end(frame.number)
            while len(self._found) > _KEPT_MATTES:
                self._found.popitem(last=False)
        if is_new:
            try:
                future.set_result(self._network.separate(frame).matte)
            except BaseException as error:
                future.set_exception(error)
                raise
        return future.result()


def is_still(task: FrameTask) -> bool:
    """Whether the target is an image: all neighbours are copies of the frame."""
    return len({frame.number for frame in task.neighbours}) < 2


def _corrected(matte: Pixels, own: Pixels, steady: Pixels) -> Pixels:
    change: NDArray[np.int16] = steady.astype(np.int16) - own
    if change.shape != matte.shape:
        change = np.asarray(cv2.resize(change, matte.shape[::-1], interpolation=cv2.INTER_LINEAR), np.int16)
    return np.asarray(np.clip(matte + change, 0, 255), np.uint8)
