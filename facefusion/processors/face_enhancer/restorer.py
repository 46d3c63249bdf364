"""A published face enhancer: a network that paints an aligned face anew.

The contract comes from peer-models.md section 12.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facefusion.faces.face import Floats
from facefusion.inference.batches import run_batched
from facefusion.media.planes import Pixels
from facefusion.models.catalog import Contract
from facefusion.processors.face_crops import FaceCrop

_WEIGHT = 'weight'
_DTYPES = {'tensor(double)': np.float64, 'tensor(float)': np.float32, 'tensor(float16)': np.float16}
# Of networks with a larger side, a call gets fewer crops, so that it has no more pixels than crops of this side have.
_USUAL_SIDE = 512


class Restorer:
    """A restoration network; ``contract`` is the one in the catalogue, ``batch`` the number of crops in one call.

    ``weight`` 0..1 is used only by a network with an input of that name.
    """

    def __init__(self, session: Any, contract: Contract, batch: int, weight: float) -> None:
        self.template: str = contract.template
        self.side = contract.size[0]
        self._session = session
        image = next(each for each in session.get_inputs() if each.name != _WEIGHT)
        self._input: str = image.name
        self._batch = _calls_of(image.shape[0], self.side, batch)
        self._mean = np.array(contract.mean, np.float32)
        self._std = np.array(contract.std, np.float32)
        self._shared = _weight_input(session, weight)

    def crop_side(self, five: Floats) -> int:
        """Return the side of the crop in pixels, the network's, for the five points of any face."""
        return self.side

    def enhance(self, crops: Sequence[FaceCrop]) -> list[Pixels]:
        """Return the restored crops, uint8 [S,S,3] BGR."""
        return self.restore([crop.pixels for crop in crops])

    def paste(self, crop: FaceCrop, result: Pixels | Floats, mask: Floats, share: float) -> bool:
        """Blend a restored crop into the frame; return whether it is visible there."""
        return crop.blend(result, mask, share)

    def restore(self, crops: Sequence[Pixels]) -> list[Pixels]:
        """Return restored crops uint8 [S,S,3] BGR; crops: uint8 [S,S,3] BGR, S the side of the network."""
        restored: list[Pixels] = []
        for start in range(0, len(crops), self._batch):
            tensor = self._tensor(np.stack(crops[start : start + self._batch]))
            outputs = run_batched(self._session, {self._input: tensor}, self._batch, self._shared)
            restored.extend(self._pixels(outputs[0]))
        return restored

    def _tensor(self, crops: Pixels) -> Floats:
        rgb = crops[..., ::-1].astype(np.float32) / 255
        return np.ascontiguousarray(((rgb - self._mean) / self._std).transpose(0, 3, 1, 2), np.float32)

    def _pixels(self, output: NDArray[Any]) -> Pixels:
        rgb = (np.clip(output.astype(np.float32), -1, 1).transpose(0, 2, 3, 1) + 1) / 2
        return np.ascontiguousarray(np.round(rgb * 255)[..., ::-1], np.uint8)


def _calls_of(axis: int | str | None, side: int, batch: int) -> int:
    """Return the number of crops in one call: the size of the batch axis, or at most ``batch`` if it is variable."""
    if isinstance(axis, int):
        return axis
    return max(batch * _USUAL_SIDE**2 // max(side, _USUAL_SIDE) ** 2, 1)


def _weight_input(session: Any, weight: float) -> dict[str, NDArray[Any]]:
    """Return the tensor [1] of the input ``weight`` in the type of the file, or nothing without such an input."""
    inputs = [each for each in session.get_inputs() if each.name == _WEIGHT]
    return {each.name: np.array([weight], _DTYPES[each.type]) for each in inputs}
