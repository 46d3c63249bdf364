"""What of a picture is judged at once: as it is shown on any ground, and never pressed out of its shape."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# 16:9 stays whole. A harmless picture of 1:2 scored 0.996 when it was pressed, its square parts 0.61 at most.
LONGEST_SHAPE = 1.9
MOST_PARTS = 32


def still_views(image: Pixels, alpha: Pixels | None) -> Iterator[Pixels]:
    """The picture itself, uint8 HxWx3; where its alpha, uint8 HxW, hides anything, also laid on white and on black.

    Alpha alone can draw a picture on plain colour, which is seen as soon as it lies on anything.
    """
    yield image
    if alpha is None or bool((alpha == 255).all()):
        return
    cover = cv2.merge([alpha, alpha, alpha])
    black = cv2.multiply(image, cover, scale=1 / 255)
    yield np.asarray(cv2.add(black, cv2.bitwise_not(cover)), np.uint8)
    yield np.asarray(black, np.uint8)


def still_parts(image: Pixels) -> list[Pixels]:
    """The picture itself, uint8 HxWx3; of a long one the fewest squares that cover it, evenly apart.

    There are at most 32; of an extremely long one they are no squares, but cover it, too.
    """
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    if long <= LONGEST_SHAPE * short:
        return [image]
    count = min(math.ceil(long / short), MOST_PARTS)
    side = max(short, math.ceil(long / count))
    starts = [round(number * (long - side) / (count - 1)) for number in range(count)]
    along_x = width >= height
    return [image[:, at : at + side] if along_x else image[at : at + side] for at in starts]
