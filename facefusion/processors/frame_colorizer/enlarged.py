"""A small map enlarged linearly to the size of a frame, one band of rows at a time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from facefusion.media.convert import Values

# Rows that are converted at a time.
_BAND = 64


def enlarged_bands(values: Values, width: int, height: int) -> Iterator[tuple[slice, Values]]:
    """Yield each band of rows with its part of float32 hxwxC ``values`` at the size ``width`` x ``height``.

    The parts are those of a linear enlargement of the whole map, so the bands leave no seam.
    """
    wide = cv2.resize(values, (width, len(values)), interpolation=cv2.INTER_LINEAR)
    last = len(values) - 1
    for start in range(0, height, _BAND):
        stop = min(start + _BAND, height)
        at = np.clip((np.arange(start, stop) + 0.5) * (len(values) / height) - 0.5, 0, last)
        above = at.astype(int)
        share = (at - above).astype(np.float32)[:, None, None]
        yield slice(start, stop), wide[above] * (1 - share) + wide[np.minimum(above + 1, last)] * share
