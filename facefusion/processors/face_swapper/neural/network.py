"""A published swapper network: from an aligned crop of the target to a swapped one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from facefusion.faces.face import Floats
from facefusion.inference.batches import run_batched
from facefusion.media.planes import Pixels
from facefusion.models.catalog import Contract
from facefusion.processors.face_swapper.neural.kinds import KINDS


class SwapNetwork:
    """A network that swaps tiles of its own size; ``contract`` is the one in the catalogue."""

    def __init__(self, session: Any, contract: Contract, batch: int) -> None:
        self.kind = KINDS[contract.kind]
        self.size = contract.size[0]
        self._session = session
        self._batch = batch
        self._mean = np.array(contract.mean, np.float32)
        self._std = np.array(contract.std, np.float32)

    def swap(self, crops: Sequence[Pixels], sources: Sequence[Floats]) -> list[Floats]:
        """Return swapped crops float32 [B,B,3] BGR in 0..255.

        crops: uint8 [B,B,3] BGR, B a multiple of ``size``. sources: the ``source`` tensor of each, without the batch.
        Larger crops are split into interleaved tiles, each of which contains the entire face at a lower resolution.
        """
        tiles = [split_tiles(crop, self.size) for crop in crops]
        counts = [len(each) for each in tiles]
        target = self._tensor(np.concatenate(tiles))
        source = np.repeat(np.stack(sources), counts, axis=0).astype(np.float32)
        outputs = run_batched(self._session, {'source': source, 'target': target}, self._batch)[0]
        colours = self._colours(outputs)
        ends = np.cumsum(counts)[:-1]
        return [join_tiles(each) for each in np.split(colours, ends)]

    def _tensor(self, tiles: Pixels) -> Floats:
        rgb = tiles[..., ::-1].astype(np.float32) / 255
        return np.ascontiguousarray(((rgb - self._mean) / self._std).transpose(0, 3, 1, 2), np.float32)

    def _colours(self, outputs: Floats) -> Floats:
        rgb = outputs.transpose(0, 2, 3, 1)
        if self.kind.is_signed:
            rgb = rgb * self._std + self._mean
        return np.clip(rgb, 0, 1)[..., ::-1] * np.float32(255)


def split_tiles(crop: Pixels, size: int) -> Pixels:
    """Return uint8 [k*k,size,size,3]: tile (i,j) has the rows i, i+k, ... and the columns j, j+k, ... of the crop."""
    factor = crop.shape[0] // size
    tiles = crop.reshape(size, factor, size, factor, 3).transpose(1, 3, 0, 2, 4)
    return np.ascontiguousarray(tiles.reshape(-1, size, size, 3))


def join_tiles(tiles: Floats) -> Floats:
    """Return float32 [B,B,3], the inverse of ``split_tiles``."""
    factor, size = round(len(tiles) ** 0.5), tiles.shape[1]
    rows = tiles.reshape(factor, factor, size, size, 3).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(rows.reshape(size * factor, size * factor, 3))
