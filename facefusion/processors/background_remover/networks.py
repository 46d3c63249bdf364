"""Matting networks: they return the foreground of a frame as a matte, 255 where it is opaque.

The contracts come from peer-models.md section 12.9 and embedded-models-2.md section 5.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import ModelError
from facefusion.faces.face import Floats
from facefusion.media.frame import Frame
from facefusion.media.planes import Pixels
from facefusion.models.catalog import Contract

# MODNet was trained with this short side. Persons that fill little of the frame lose parts at this side, and keep them
# at the large one, where in turn persons that fill the frame get holes (benchmarks/background_remover.py).
USUAL_SIDE, LARGE_SIDE = 512, 640
# The sides of MODNet's input are multiples of this; its longer side is at most this many times the short side.
_STEP, _MOST_ASPECT = 32, 3
# The width of the thickest person as a share of the short side: at the smaller one only the large side counts, at the
# larger one only the usual side.
_SMALL_PERSON, _LARGE_PERSON = 0.4, 0.5


class Separation(NamedTuple):
    """The matte of a frame, uint8 [h,w], and the colours of its foreground, uint8 [h,w,3] BGR, if the network has them.

    Both have the size of the network.
    """

    matte: Pixels
    foreground: Pixels | None = None


class MattingNetwork(Protocol):
    """A network with its adapter.

    ``has_colors``: it returns the colours of the foreground. ``has_fine_edges``: its matte is good enough to remove the
    colour of the background from the edges.
    """

    has_colors: bool
    has_fine_edges: bool

    def separate(self, frame: Frame) -> Separation: ...


def eight_bits(values: Floats) -> Pixels:
    """Return values 0..1 as codes 0..255, rounded; values outside are clipped."""
    return np.asarray(np.round(np.clip(values.astype(np.float32), 0, 1) * 255), np.uint8)


class Matting:
    """A network with an input of one size, which is the size of its matte; ``contract`` is the one in the catalogue."""

    def __init__(self, name: str, session: Any, contract: Contract) -> None:
        self._name = name
        self._session = session
        self._size = contract.size
        self._kind = contract.kind
        self._mean, self._std = np.array(contract.mean, np.float32), np.array(contract.std, np.float32)
        self.has_colors = contract.kind == 'corridor_key'
        self.has_fine_edges = not self.has_colors

    def separate(self, frame: Frame) -> Separation:
        """Return the matte of a frame. Raises ModelError model-output."""
        width, height = self._size
        tensor = rgb_tensor(frame.resized(width, height), self._mean, self._std)
        if self.has_colors:
            tensor = np.concatenate([tensor, screen_hint(frame, (width, height))[None, None]], axis=1)
        outputs = run_network(self._session, tensor)
        if not self.has_colors:
            return Separation(matte_of(self._name, outputs, self._kind == 'u2net_cloth'))
        if len(outputs) < 2 or outputs[1].shape != (1, 3, height, width):
            raise _unexpected(self._name, outputs)
        colors = eight_bits(outputs[1][0].transpose(1, 2, 0)[..., ::-1])
        return Separation(matte_of(self._name, outputs), np.ascontiguousarray(colors))


class Modnet:
    """MODNet with an input of any size: the aspect of the frame is kept, and small persons are seen larger."""

    has_colors = False
    has_fine_edges = True

    def __init__(self, name: str, session: Any) -> None:
        self._name = name
        self._session = session

    def separate(self, frame: Frame) -> Separation:
        """Return the matte of a frame. Raises ModelError model-output."""
        matte = self._matte(frame, USUAL_SIDE)
        share = share_of_large(matte)
        if share > 0:
            larger = self._matte(frame, LARGE_SIDE)
            usual = cv2.resize(matte, larger.shape[::-1], interpolation=cv2.INTER_LINEAR)
            matte = np.asarray(cv2.addWeighted(larger, share, usual, 1 - share, 0), np.uint8)
        return Separation(matte)

    def _matte(self, frame: Frame, short_side: int) -> Pixels:
        half = np.full(3, 0.5, np.float32)
        tensor = rgb_tensor(frame.resized(*modnet_size(frame.width, frame.height, short_side)), half, half)
        return matte_of(self._name, run_network(self._session, tensor))


class Selfie:
    """The selfie segmentation of MediaPipe: a square input with its channels last, RGB 0..1."""

    has_colors = False
    has_fine_edges = False

    def __init__(self, name: str, session: Any) -> None:
        self._name = name
        self._session = session
        self._size = session.get_inputs()[0].shape[1:3]

    def separate(self, frame: Frame) -> Separation:
        """Return the matte of a frame. Raises ModelError model-output."""
        height, width = self._size
        rgb = frame.resized(width, height)[None, ..., ::-1].astype(np.float32) / 255
        return Separation(matte_of(self._name, run_network(self._session, np.ascontiguousarray(rgb))))


def modnet_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the width and height of MODNet's input: the aspect is kept to the nearest multiples of 32, up to 3:1."""
    factor = short_side / min(width, height)
    longest = short_side * _MOST_ASPECT
    across, down = (min(max(round(side * factor / _STEP), 1) * _STEP, longest) for side in (width, height))
    return across, down


def share_of_large(matte: Pixels) -> float:
    """Return the share 0..1 of the result at the large side; it changes steadily with the size of the persons.

    matte: uint8 [h,w] at the usual side. The size of the persons is twice the largest distance to the background.
    """
    opaque = cv2.copyMakeBorder(np.asarray(matte > 127, np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    width = 2 * float(cv2.distanceTransform(opaque, cv2.DIST_L2, 5).max()) / min(matte.shape)
    return float(np.clip((_LARGE_PERSON - width) / (_LARGE_PERSON - _SMALL_PERSON), 0, 1))


def rgb_tensor(pixels: Pixels, mean: Floats, std: Floats) -> Floats:
    """Return uint8 [h,w,3] BGR as normalised float32 [1,3,h,w] RGB; ``mean`` and ``std`` are those of RGB 0..1."""
    rgb = (pixels[..., ::-1].astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None], np.float32)


def screen_hint(frame: Frame, size: tuple[int, int]) -> Floats:
    """Return the guess at a green screen that CorridorKey gets, float32 [h,w]: 0 where the frame is green, else 1.

    It is 1 - 2 (green - max(red, blue)), clipped. ``size`` is its width and height.
    """
    blue, green, red = cv2.split(frame.read(frame.window))
    excess = cv2.subtract(green, cv2.max(red, blue))
    hint = cv2.bitwise_not(cv2.add(excess, excess))
    return np.asarray(cv2.resize(hint.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) / 255, np.float32)


def run_network(session: Any, tensor: Floats) -> list[NDArray[Any]]:
    """Return all outputs of a network with one input."""
    return list(session.run(None, {session.get_inputs()[0].name: tensor}))


def matte_of(name: str, outputs: list[NDArray[Any]], has_classes: bool = False) -> Pixels:
    """Return the matte uint8 [h,w] in the first output; with classes [1,c,h,w], each but the first is foreground.

    Raises ModelError model-output.
    """
    values = np.argmax(outputs[0], axis=1) if has_classes and outputs[0].ndim == 4 else outputs[0]
    matte = np.squeeze(values)
    if matte.ndim != 2:
        raise _unexpected(name, outputs)
    return eight_bits(matte)


def _unexpected(name: str, outputs: list[NDArray[Any]]) -> ModelError:
    shapes = ', '.join('x'.join(map(str, each.shape)) for each in outputs[:3])
    return ModelError(
        'model-output',
        f'the model {name} returned no matte',
        cause=f'the shapes of its outputs are {shapes}',
        hint=f'run `facefusion models fetch {name}` for the published file',
    )
