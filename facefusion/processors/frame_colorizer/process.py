"""Colour whole frames: a network paints colours for a grey copy of the frame, and the frame keeps its own detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2

from facefusion.events import Emit, Message
from facefusion.media.frame import Frame
from facefusion.processors.frame_colorizer.models import frozen_model
from facefusion.processors.frame_colorizer.networks import ColorizerNetwork, DDColor, DeOldify
from facefusion.processors.frame_colorizer.options import FrameColorizerOptions
from facefusion.processors.processor import FrameTask, ProcessorTools

# A frame is coloured if the standard deviation of Cb or Cr (8 bits) is above this value. Compression noise of grey
# clips stays below 2, and photographs in colour have 8 to 20.
_SPREAD_OF_COLOURS = 4.0


class Painter(Protocol):
    """A colorizer; ``paint`` returns the coloured frame, mixed with the frame by a share in 0..1."""

    def paint(self, frame: Frame, share: float) -> Frame: ...


class FrameColorizer:
    """Colours every frame; a message says if the first one is already in colour."""

    name = 'frame_colorizer'

    def __init__(self, painter: Painter, share: float, emit: Emit) -> None:
        """``share``: the weight of the coloured frame in the result, 0..1."""
        self._painter = painter
        self._share = share
        self._emit = emit

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Colour each frame; return whether it was changed, which is true unless the share is 0."""
        for task in batch if self._share else ():
            if task.seconds == 0 and is_coloured(task.frame):
                text = 'the first frame is already in colour: the network ignores its colours and paints others'
                self._emit(Message('info', self.name, text))
            task.frame = self._painter.paint(task.frame, self._share)
        return [self._share > 0] * len(batch)


def is_coloured(frame: Frame) -> bool:
    """Whether a frame has several colours; a uniform tint does not count."""
    chroma = cv2.cvtColor(frame.resized(64, 64), cv2.COLOR_BGR2YCrCb)[..., 1:]
    return bool(chroma.std(axis=(0, 1)).max() > _SPREAD_OF_COLOURS)


def prepare(tools: ProcessorTools) -> FrameColorizer:
    """Return the colorizer that the options name. Raises ModelError, ProviderError, UsageError colorizer-size."""
    options = tools.settings[FrameColorizerOptions]
    name = frozen_model(options.frame_colorizer_model)
    width, height = map(int, options.frame_colorizer_size.split('x'))
    kind = DDColor if tools.sessions.contract(name).kind == 'ddcolor' else DeOldify
    network = ColorizerNetwork(tools.sessions.session(name), (width, height), kind.channels)
    return FrameColorizer(kind(network), options.frame_colorizer_blend / 100, tools.emit)
