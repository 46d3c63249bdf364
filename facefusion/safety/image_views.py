"""The views of an image that the content gate scores: undistorted parts, and transparent images on backgrounds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Images of up to this aspect ratio, such as 16:9, are not divided. A harmless image of 1:2 scored 0.996 when it was
# squeezed; its square parts scored at most 0.61.
LONGEST_SHAPE = 1.9
MAXIMUM_PARTS = 32


def composited_views(image: Pixels, alpha: Pixels | None) -> Iterator[Pixels]:
    """Yield the image, uint8 HxWx3; if its alpha, uint8 HxW, is not opaque, also yield it on white and on black.

    An image of one colour may contain its content in the alpha alone, which is visible only on a background.
    """
    yield image
    if alpha is None or bool((alpha == 255).all()):
        return
    cover = cv2.merge([alpha, alpha, alpha])
    black = cv2.multiply(image, cover, scale=1 / 255)
    yield np.asarray(cv2.add(black, cv2.bitwise_not(cover)), np.uint8)
    yield np.asarray(black, np.uint8)


def square_parts(image: Pixels) -> list[Pixels]:
    """Return the image, uint8 HxWx3, or the minimum number of evenly spaced squares that cover a long image.

    There are at most 32 parts; the parts of an extremely long image also cover it, but are not square.
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
