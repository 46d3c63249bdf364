"""The parts of a still image that the content gate scores: composited on any background, without distortion."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# 16:9 stays undivided. A harmless image of 1:2 scored 0.996 when it was squeezed, its square parts 0.61 at most.
LONGEST_SHAPE = 1.9
MAXIMUM_PARTS = 32


def composited_views(image: Pixels, alpha: Pixels | None) -> Iterator[Pixels]:
    """Yield the image, uint8 HxWx3; where its alpha, uint8 HxW, hides anything, also on white and on black.

    Alpha alone can draw an image on a plain colour, which becomes visible on any background.
    """
    yield image
    if alpha is None or bool((alpha == 255).all()):
        return
    cover = cv2.merge([alpha, alpha, alpha])
    black = cv2.multiply(image, cover, scale=1 / 255)
    yield np.asarray(cv2.add(black, cv2.bitwise_not(cover)), np.uint8)
    yield np.asarray(black, np.uint8)


def square_parts(image: Pixels) -> list[Pixels]:
    """Return the image, uint8 HxWx3, or for a long one the minimum number of evenly spaced squares that cover it.

    The maximum is 32 parts; those of an extremely long image are not square, but cover it too.
    """
    height, width = image.shape[:2]
    short, long = min(height, width), max(height, width)
    if long <= LONGEST_SHAPE * short:
        return [image]
    count = min(math.ceil(long / short), MAXIMUM_PARTS)
    side = max(short, math.ceil(long / count))
    starts = [round(number * (long - side) / (count - 1)) for number in range(count)]
    along_x = width >= height
    return [image[:, at : at + side] if along_x else image[at : at + side] for at in starts]
