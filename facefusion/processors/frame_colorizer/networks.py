"""The published colorizers: DDColor predicts a and b for the lightness of a frame, DeOldify predicts colours.

The contracts come from peer-models.md section 12.7. As their authors do, the frame keeps its lightness with DDColor and
its luma with DeOldify.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np

from facefusion.errors import ModelError, UsageError
from facefusion.media.convert import DEEP, Values, rounded
from facefusion.media.frame import Frame, PlaneFrame
from facefusion.media.planes import Plane
from facefusion.processors.frame_colorizer.enlarged import enlarged_bands
from facefusion.processors.frame_colorizer.lightness import grey_of_same_lightness, lightness


class ColorizerNetwork:
    """A session with an input float32 [1,3,H,W] at ``size`` (width, height) and an output float32 [1,``channels``,H,W].

    Raises UsageError colorizer-size when the file has another fixed size.
    """

    def __init__(self, session: Any, size: tuple[int, int], channels: int) -> None:
        self.size = size
        self._session = session
        self._channels = channels
        (tensor, *_) = session.get_inputs()
        self._input: str = tensor.name
        height, width = (axis if isinstance(axis, int) else None for axis in tensor.shape[2:])
        taken = f'{width or size[0]}x{height or size[1]}'
        if taken != f'{size[0]}x{size[1]}':
            raise UsageError(
                'colorizer-size',
                f'the file of this colorizer has no size {size[0]}x{size[1]}',
                cause=f'its input is always {taken}',
                hint='change --frame-colorizer-size, or import another file of this model',
            )

    def run(self, grey: Values) -> Values:
        """Return float32 [h,w,channels] for a grey picture float32 [H,W]. Raises ModelError model-tensors."""
        tensor = np.ascontiguousarray(np.stack([grey] * 3)[None], np.float32)
        (output, *_) = self._session.run(None, {self._input: tensor})
        if output.ndim != 4 or output.shape[:2] != (1, self._channels):
            raise ModelError(
                'model-tensors',
                'the file of this colorizer does not have the tensors of its model',
                cause=f'its output is {list(output.shape)}, expected [1, {self._channels}, height, width]',
                hint='use the file of that model: `facefusion models list --task frame_colorizer`',
            )
        return np.ascontiguousarray(output[0].transpose(1, 2, 0), np.float32)


class DDColor:
    """Paints a and b of CIE L*a*b*; each pixel keeps its lightness."""

    channels = 2

    def __init__(self, network: ColorizerNetwork) -> None:
        self._network = network

    def paint(self, frame: Frame, share: float) -> Frame:
        """Return the coloured frame, mixed with the frame itself by ``share``, the weight of the colours in 0..1."""
        small = frame.resized(*self._network.size)
        colours = self._network.run(grey_of_same_lightness(small))
        return _repainted(frame, colours, share, _with_lightness)


class DeOldify:
    """Paints the chroma of the network's colours; each pixel keeps its luma (DeOldify does so in YUV)."""

    channels = 3

    def __init__(self, network: ColorizerNetwork) -> None:
        self._network = network

    def paint(self, frame: Frame, share: float) -> Frame:
        """Return the coloured frame as ``DDColor.paint`` does; the luma plane of a video frame stays exact."""
        colours = self._colours(frame)
        if isinstance(frame, PlaneFrame):
            frame.blend_chroma(colours, share)
            return frame
        return _repainted(frame, colours, share, _with_luma)

    def _colours(self, frame: Frame) -> Values:
        """Return the colours of the network, float32 [h,w,3] BGR in 0..255."""
        grey = cv2.cvtColor(frame.resized(*self._network.size), cv2.COLOR_BGR2GRAY)
        colours = self._network.run(grey.astype(np.float32))
        return np.ascontiguousarray(np.clip(colours, 0, 255)[..., ::-1])


def _repainted(frame: Frame, colours: Values, share: float, combine: Callable[[Plane, Values], Values]) -> Frame:
    """Return the frame with ``combine`` (of its pixels and the enlarged ``colours``) mixed in by ``share``."""
    pixels = frame.whole()
    for band, part in enlarged_bands(colours, frame.width, frame.height):
        painted = np.clip(combine(pixels[band], part), 0, 255)
        pixels[band] = _mixed(pixels[band], painted, share)
    return frame.replaced(pixels)


def _with_lightness(pixels: Plane, colours: Values) -> Values:
    """Return float32 BGR in 0..255 with the lightness of ``pixels`` and ``colours``, float32 HxWx2 a and b."""
    lab = np.dstack([lightness(pixels), colours])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2BGR) * np.float32(255)


def _with_luma(pixels: Plane, colours: Values) -> Values:
    """Return float32 BGR with the luma (BT.601) of ``pixels`` and the chroma of ``colours``, float32 HxWx3 BGR."""
    yuv = cv2.cvtColor(colours, cv2.COLOR_BGR2YUV)
    yuv[..., 0] = cv2.cvtColor(pixels.astype(np.float32) / _step(pixels), cv2.COLOR_BGR2GRAY)
    return cast(Values, cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR))


def _mixed(pixels: Plane, painted: Values, share: float) -> Plane:
    """Return ``pixels`` mixed with ``painted``, float32 BGR in 0..255, in the type of ``pixels``."""
    total = cv2.addWeighted(pixels.astype(np.float32), 1 - share, painted, share * _step(pixels), 0)
    return rounded(total, 8 * pixels.itemsize)


def _step(pixels: Plane) -> int:
    """Return the codes of ``pixels`` per 8-bit code."""
    return 1 if pixels.dtype == np.uint8 else DEEP
