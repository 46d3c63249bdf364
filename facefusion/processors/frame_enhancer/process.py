"""Enlarge the whole frame: remove noise, enlarge in tiles, blend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np

from facefusion.media.planes import Plane
from facefusion.processors.frame_enhancer.models import frozen_model
from facefusion.processors.frame_enhancer.network import Upscaler
from facefusion.processors.frame_enhancer.noise import steadied
from facefusion.processors.frame_enhancer.options import FrameEnhancerOptions
from facefusion.processors.frame_enhancer.tiles import Band, enlarged_bands
from facefusion.processors.processor import FrameTask, ProcessorTools
from facefusion.stopping import StopFlag


class FrameEnhancer:
    """Replaces each frame with an enlarged one of the same depth.

    A frame with 16 bits per value, such as that of a 10-bit clip, goes through the network and the blend with 16 bits.
    """

    name = 'frame_enhancer'

    def __init__(self, network: Upscaler, share: float, stability: float, flag: StopFlag) -> None:
        """``share``: the weight of the enhanced frame, ``stability``: that of the removed noise, both 0..1.

        ``flag`` is checked before each call of the network, because a frame may take minutes.
        """
        self._network = network
        self._share = share
        self._stability = stability
        self._flag = flag

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Enlarge each frame; return whether the network changed it. Raises ModelError, Interrupted."""
        for task in batch:
            task.frame = task.frame.replaced(self.enlarged(_frame(task, self._stability)))
        return [self._share > 0] * len(batch)

    def enlarged(self, frame: Plane) -> Plane:
        """Return a frame [h,w,3] BGR, uint8 or uint16, enlarged by the scale of the network."""
        (high, wide), scale = frame.shape[:2], self._network.scale
        if self._share == 0:
            return cast(Plane, cv2.resize(frame, (scale * wide, scale * high), interpolation=cv2.INTER_LINEAR))
        result = np.empty((scale * high, scale * wide, 3), frame.dtype)
        rule, batch = self._network.rule, self._network.batch
        for band in enlarged_bands(frame, self._enlarge, rule, scale, batch):
            result[scale * band.start : scale * band.stop] = self._blend(frame, band)
        return cast(Plane, result)

    def _enlarge(self, tiles: Sequence[Plane]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        self._flag.check()
        return self._network.enlarge(tiles)

    def _blend(self, frame: Plane, band: Band) -> Plane:
        """Return a band mixed with the linearly enlarged frame, in the frame's own type."""
        values = band.values
        values *= np.float32(self._share * np.iinfo(frame.dtype).max)
        if self._share < 1:
            values += np.float32(1 - self._share) * _linear_rows(frame, band, self._network.scale)
        return cast(Plane, np.rint(values, out=values).astype(frame.dtype))


def _linear_rows(frame: Plane, band: Band, scale: int) -> Plane:
    """Return the rows of a band from the linearly enlarged frame; a row on each side makes the borders exact."""
    first, last = max(band.start - 1, 0), min(band.stop + 1, len(frame))
    size = (scale * frame.shape[1], scale * (last - first))
    rows = cv2.resize(frame[first:last], size, interpolation=cv2.INTER_LINEAR)
    start = scale * (band.start - first)
    return cast(Plane, rows[start : start + scale * (band.stop - band.start)])


def _frame(task: FrameTask, stability: float) -> Plane:
    """Return the pixels of a frame, with less noise if the task has neighbours of its size."""
    frame = task.frame.whole()
    middle = len(task.neighbours) // 2
    if not stability or not task.neighbours or (task.frame.width, task.frame.height) != task.frame.target_size:
        return frame
    around = [each.whole() for number, each in enumerate(task.neighbours) if number != middle]
    original = task.neighbours[middle].whole()
    if original.dtype != frame.dtype:
        return frame
    return steadied(frame, original, around, stability)


def prepare(tools: ProcessorTools) -> FrameEnhancer:
    """Return the enhancer that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[FrameEnhancerOptions]
    name = frozen_model(options.frame_enhancer_model)
    session = tools.sessions.at(tools.threads).batched(name)
    network = Upscaler(name, session, tools.sessions.contract(name), tools.batch_of(name))
    share, stability = options.frame_enhancer_blend / 100, options.frame_enhancer_stability / 100
    return FrameEnhancer(network, share, stability, tools.flag)
