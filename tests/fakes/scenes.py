"""Images of synthetic scenes, one for each number."""

from __future__ import annotations

import cv2
import numpy as np


def scene(number: int, width: int, height: int) -> np.ndarray:
    """Return a soft random pattern, uint8 [height,width], that does not correlate with other scenes."""
    noise = np.random.default_rng(number).uniform(0, 255, (27, 48)).astype(np.float32)
    pattern = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(pattern, 0, 255).astype(np.uint8)
