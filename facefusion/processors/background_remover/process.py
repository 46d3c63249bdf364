"""Remove the background of each frame: it becomes transparent, or gets a colour."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facefusion.events import Emit, Message, silent
from facefusion.media.convert import to_8_bits
from facefusion.media.planes import Pixels, Plane
from facefusion.processors.background_remover.colors import clean_edges, despill, fill
from facefusion.processors.background_remover.mattes import SteadyMattes, is_still
from facefusion.processors.background_remover.models import MODNET, SELFIE, frozen_model
from facefusion.processors.background_remover.networks import Matting, MattingNetwork, Modnet, Selfie
from facefusion.processors.background_remover.options import BackgroundRemoverOptions, Color, color_of
from facefusion.processors.processor import FrameTask, ProcessorTools

# A matte without values from here on shows nothing.
_FOUND = 128


class BackgroundRemover:
    """A processor that separates the foreground of every frame from its background."""

    name = 'background_remover'

    def __init__(self, network: MattingNetwork, options: BackgroundRemoverOptions, emit: Emit = silent) -> None:
        self._emit = emit
        self._mattes = SteadyMattes(network)
        self._cleans = network.has_fine_edges
        self._fill = color_of(options.background_remover_fill_color)
        self._despill = color_of(options.background_remover_despill_color)

    def process(self, batch: Sequence[FrameTask]) -> list[bool]:
        """Remove the background of each frame, and return for each frame whether anything changed."""
        return [self._remove(task) for task in batch]

    def _remove(self, task: FrameTask) -> bool:
        matte, foreground = self._mattes.of(task)
        if matte.max() < _FOUND and is_still(task):
            self._emit(Message('warn', self.name, 'no foreground was found: the whole image is background'))
        size = task.frame.width, task.frame.height
        full = _resized(matte, size)
        is_changed = self._cleans and clean_edges(task.frame, matte, full)
        if foreground is not None:
            task.frame, is_changed = task.frame.replaced(_resized(foreground, size)), True
        is_changed |= despill(task.frame, self._despill)
        shown = shown_part(full, task.frame.alpha)
        is_changed |= fill(task.frame, shown, self._fill)
        task.frame.alpha = written_alpha(shown, task.frame.alpha, self._fill)
        return is_changed or (task.frame.alpha is shown and bool(shown.min() < 255))


def shown_part(matte: Pixels, alpha: Plane | None) -> Pixels:
    """Return the visible part of the foreground, uint8 [H,W]: the minimum of the matte and the frame's own alpha."""
    return matte if alpha is None else np.asarray(cv2.min(matte, to_8_bits(alpha)), np.uint8)


def written_alpha(shown: Pixels, alpha: Plane | None, color: Color) -> Plane | None:
    """Return the alpha of the result, uint8 [H,W] or None: ``shown`` without a fill colour.

    A fill colour keeps the frame's own alpha, which is then at least the opacity of the colour.
    """
    if not color.alpha:
        return shown
    return None if alpha is None else np.maximum(to_8_bits(alpha), np.uint8(color.alpha))


def _resized(values: Pixels, size: tuple[int, int]) -> Pixels:
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def prepare(tools: ProcessorTools) -> BackgroundRemover:
    """Return the remover that the options name. Raises ModelError, ProviderError."""
    options = tools.settings[BackgroundRemoverOptions]
    name = frozen_model(options.background_remover_model)
    session = tools.sessions.session(name)
    network: MattingNetwork
    if name == SELFIE:
        network = Selfie(name, session)
    elif name == MODNET and isinstance(session.get_inputs()[0].shape[2], str):
        network = Modnet(name, session)
    else:
        network = Matting(name, session, tools.sessions.contract(name))
    return BackgroundRemover(network, options, tools.emit)
