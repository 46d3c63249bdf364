"""Choose among the faces of a frame: the eight orders, and the maximum number."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from facefusion.faces.face import Floats

# A face selected in the previous frame counts as larger by this factor, so that faces of equal size do not alternate.
KEEP_PLACE = 1.25


def order_faces(boxes: Floats, scores: Floats, order: str) -> list[int]:
    """Return the indexes of the faces in an order of ``options.ORDERS``.

    boxes: float32 [n,4] x0, y0, x1, y1; scores: float32 [n] detector scores. Orders are those of FaceFusion 3.8
    (peer-models.md section 7): by left edge, by upper edge, by box area, by score. Tied faces keep their order.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keys = {
        'left-right': boxes[:, 0],
        'right-left': -boxes[:, 0],
        'top-bottom': boxes[:, 1],
        'bottom-top': -boxes[:, 1],
        'small-large': areas,
        'large-small': -areas,
        'best-worst': -scores,
        'worst-best': scores,
    }
    indexes: list[int] = np.argsort(keys[order], kind='stable').tolist()
    return indexes


def limit_faces(boxes: Floats, tracks: list[int], previous: Collection[int], most: int) -> list[int]:
    """Return the indexes, ascending, of the ``most`` largest faces by the longer side of their box.

    boxes: float32 [n,4]; tracks: their tracks; previous: the tracks selected in the previous frame, which are replaced
    only by faces KEEP_PLACE times larger. Tied faces keep their order.
    """
    sizes = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    weighed = sizes * np.array([KEEP_PLACE if track in previous else 1.0 for track in tracks])
    return sorted(np.argsort(-weighed, kind='stable')[:most].tolist())
