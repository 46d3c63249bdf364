"""An upscaling network behind the contract of peer-models.md section 12.8: RGB 0..1 in, RGB enlarged out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facefusion.errors import ModelError
from facefusion.inference.batches import run_batched
from facefusion.media.planes import Plane
from facefusion.models.catalog import Contract
from facefusion.processors.frame_enhancer.tiles import TileRule, Values


class Upscaler:
    """A network with the tiles and the scale of its contract; ``batch`` is the number of tiles in one call."""

    def __init__(self, name: str, session: Any, contract: Contract, batch: int) -> None:
        image = session.get_inputs()[0]
        self._name, self._session, self._input = name, session, image.name
        side, padding, overlap = contract.tile
        self.rule = TileRule(side, padding, overlap, is_fixed=isinstance(image.shape[2], int))
        self.scale = contract.scale or 1
        self.batch = 1 if isinstance(image.shape[0], int) else batch

    def enlarge(self, tiles: Sequence[Plane]) -> Values:
        """Return the enlarged tiles, float32 [n,s*h,s*w,3] BGR 0..1, cut to that range.

        tiles: [h,w,3] BGR of one size, uint8 or uint16. Raises ModelError model-output for a wrong size and for
        values that are not numbers.
        """
        pixels = np.stack(tiles)
        most = np.float32(np.iinfo(tiles[0].dtype).max)
        tensor = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2), np.float32) / most
        output = run_batched(self._session, {self._input: tensor}, self.batch)[0]
        high, wide = tensor.shape[2:]
        expected = (len(tiles), 3, self.scale * high, self.scale * wide)
        if output.shape != expected:
            raise self._wrong(f'its output for {wide}x{high} pixels has the shape {list(output.shape)}, not {expected}')
        enlarged = np.clip(output.astype(np.float32, copy=False), 0, 1)
        if not np.isfinite(enlarged.min()):
            raise self._wrong('its output contains values that are not numbers')
        return enlarged[:, ::-1].transpose(0, 2, 3, 1)

    def _wrong(self, cause: str) -> ModelError:
        return ModelError(
            'model-output',
            f'the model {self._name} does not enlarge frames as its catalogue entry says',
            cause=cause,
            hint=f'fetch the published file: models fetch {self._name}',
        )
