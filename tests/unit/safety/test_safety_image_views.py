from __future__ import annotations

import numpy as np
import pytest

from facefusion.safety.image_views import MAXIMUM_PARTS, square_parts


@pytest.mark.parametrize(('height', 'width'), [(90, 160), (160, 90), (100, 100), (1, 1), (100, 190)])
def test_ordinary_shapes_are_not_divided(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    (part,) = square_parts(image)
    assert part is image


@pytest.mark.parametrize(
    ('height', 'width', 'count'), [(50, 100, 2), (101, 50, 3), (40, 300, 8), (1, 5000, MAXIMUM_PARTS)]
)
def test_long_images_are_divided_into_squares_that_cover_them(height, width, count):
    numbers = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    image = numbers.view(np.uint8).reshape(height, width, 4)
    parts = square_parts(image)
    assert len(parts) == count
    assert len({part.shape for part in parts}) == 1
    seen = np.concatenate([np.ascontiguousarray(part).view(np.uint32).ravel() for part in parts])
    assert set(seen.tolist()) == set(range(height * width))
    if count < MAXIMUM_PARTS:
        assert parts[0].shape[0] == parts[0].shape[1]
