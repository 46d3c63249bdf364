"""Shots: where a new one starts, and how the picture as a whole moves from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats

# Width and height of the luma thumbnails that are compared.
THUMBNAIL = (96, 54)
# A new shot starts where thumbnails differ by more than this mean of code values and hardly correlate. Measured on
# panned and zoomed clips: neighbours of one shot correlate with 0.7 or more, frames of different shots below 0.3; a
# flash or a fast pan differs much and still correlates.
CUT_DIFFERENCE = 8.0
CUT_RESPONSE = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What lies between two frames: ``shift`` float32 [2], the move as fractions of width and height."""

    is_cut: bool
    shift: Floats


UNCHANGED = Change(False, np.zeros(2, np.float32))


def compare_frames(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Change:
    """Compares the luma thumbnails [54,96] of two frames by phase correlation (Kuglin and Hines 1975)."""
    before, after = before.astype(np.float32), after.astype(np.float32)
    window = cv2.createHanningWindow(THUMBNAIL, cv2.CV_32F)
    # Copies: OpenCV multiplies the window into what it is given.
    shift, response = cv2.phaseCorrelate(before.copy(), after.copy(), window)
    # Flat pictures have no correlation at all.
    if not response >= CUT_RESPONSE:
        return Change(float(np.abs(after - before).mean()) > CUT_DIFFERENCE, UNCHANGED.shift)
    return Change(False, (np.array(shift) / THUMBNAIL).astype(np.float32))
