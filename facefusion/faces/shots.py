"""Detect the starts of shots, and measure the motion of the image between frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats

# Width and height of the compared luma thumbnails.
THUMBNAIL = (96, 54)
# A shot starts where the mean difference of the thumbnails exceeds this many code values and the two hardly correlate.
# Measured on panned and zoomed clips: neighbours in one shot correlate by at least 0.7, frames of different shots by
# less than 0.3; a flash or a fast pan causes a large difference, but the frames still correlate.
CUT_DIFFERENCE = 8.0
CUT_RESPONSE = 0.4
_WINDOW = np.asarray(cv2.createHanningWindow(THUMBNAIL, cv2.CV_32F), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """The change between two frames; ``shift``: float32 [2], the motion as fractions of width and height.

    ``is_large``: whether the frames differ as much as those of two shots; a flash and a fast pan are large, too.
    """

    is_cut: bool
    shift: Floats
    is_large: bool = False


UNCHANGED = Change(False, np.zeros(2, np.float32))


def compare_frames(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Change:
    """Compare the luma thumbnails [54,96] of two frames by phase correlation (Kuglin and Hines 1975)."""
    before, after = before.astype(np.float32), after.astype(np.float32)
    # OpenCV multiplies its arguments by the window in place, so it gets copies.
    shift, response = cv2.phaseCorrelate(before.copy(), after.copy(), _WINDOW)
    is_large = float(np.abs(after - before).mean()) > CUT_DIFFERENCE
    # The correlation of flat images is NaN.
    if not response >= CUT_RESPONSE:
        return Change(is_large, UNCHANGED.shift, is_large)
    return Change(False, (np.array(shift) / THUMBNAIL).astype(np.float32), is_large)
