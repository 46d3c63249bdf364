"""Choosing among the faces of a frame: the eight orders, the modes ``many`` and ``one``, and how many at most."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from facefusion.faces.face import Floats
from facefusion.faces.options import FaceSelectorOptions

# A face that was worked on in the frame before counts as this much larger, so that faces of one size do not take turns.
KEEP_PLACE = 1.25


def select_faces(boxes: Floats, scores: Floats, options: FaceSelectorOptions) -> list[int]:
    """Indexes of the chosen faces in order.

    boxes: float32 [n,4] x0, y0, x1, y1; scores: float32 [n] detector scores. Orders are those of the peer
    (peer-models.md section 7): by left edge, by upper edge, by box area, by score; ties keep their order.
    """
    keys: dict[str, Callable[[], Floats]] = {
        'left-right': lambda: boxes[:, 0],
        'right-left': lambda: -boxes[:, 0],
        'top-bottom': lambda: boxes[:, 1],
        'bottom-top': lambda: -boxes[:, 1],
        'small-large': lambda: _areas(boxes),
        'large-small': lambda: -_areas(boxes),
        'best-worst': lambda: -scores,
        'worst-best': lambda: scores,
    }
    order = np.argsort(keys[options.face_selector_order](), kind='stable')
    chosen = [int(index) for index in order]
    return chosen[:1] if options.face_selector_mode == 'one' else chosen


def limit_faces(boxes: Floats, tracks: list[int], kept: Collection[int], most: int) -> list[int]:
    """Indexes, ascending, of the ``most`` largest faces by the larger side of their box.

    boxes: float32 [n,4]; tracks: their tracks; kept: the tracks of the frame before, which keep their place against
    newcomers that are not KEEP_PLACE times larger. Ties keep their order.
    """
    if len(tracks) <= most:
        return list(range(len(tracks)))
    sizes = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    weighed = sizes * np.array([KEEP_PLACE if track in kept else 1.0 for track in tracks])
    return sorted(int(index) for index in np.argsort(-weighed, kind='stable')[:most])


def _areas(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
