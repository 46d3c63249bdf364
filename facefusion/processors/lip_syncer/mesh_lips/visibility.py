"""How strongly a mouth is changed: less on turned, covered and tiny faces."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.skin import BGR_TO_YCC, linked_skin
from facefusion.processors.registration import SMALLEST_FACE

Pixels = npt.NDArray[np.uint8]

# Degrees between the face and the camera: a mouth is fully changed below the first and unchanged above the second.
FACING, TURNED = 36.0, 56.0
# Multiple of the smallest face from which on a mouth is fully changed.
FULL_SIZE = 1.4
# The mean difference between a mouth and that of the same track with closed lips, in lumas of the skin. Speech, light and
# turns cause up to 0.13; a hand or a microphone in front of the mouth causes more than 0.25.
SAME, FOREIGN = 0.16, 0.27


def share_by_turn(degrees: float) -> float:
    """Return 1 for a frontal face, falling to 0 for a face that is turned away by ``degrees``."""
    return _step((TURNED - degrees) / (TURNED - FACING))


def share_by_size(face: LinkedFace) -> float:
    """Return 0 for the smallest face, rising to 1."""
    x0, y0, x1, y1 = face.box
    return _step((float(max(x1 - x0, y1 - y0)) / SMALLEST_FACE - 1) / (FULL_SIZE - 1))


def share_by_cover(face: LinkedFace) -> float:
    """Return the trait ``mouth`` of the measured skin: 0 for a mask or another smooth cover."""
    skin = linked_skin(face.values)
    return 1.0 if skin is None else skin.traits.mouth


def share_by_likeness(seen: Pixels, own: Pixels, weight: Floats) -> float:
    """Return 1 if a mouth looks like that of its track, 0 if something else is in front of it.

    seen, own: uint8 BGR [h,w,3] in one layout; weight: float32 [h,w], where to compare.
    """
    return _step((FOREIGN - difference(seen, own, weight)) / (FOREIGN - SAME))


def difference(seen: Pixels, own: Pixels, weight: Floats) -> float:
    """Return the weighted mean difference of two mouths after the best gain, in lumas of the skin."""
    a, b = (cv2.transform(cv2.blur(part, (5, 5)).astype(np.float32), BGR_TO_YCC) for part in (seen, own))
    total = float(weight.sum())
    luma_a, luma_b = (float((part[..., 0] * weight).sum()) / total for part in (a, b))
    change = np.abs(a / max(luma_a, 6.0) - b / max(luma_b, 6.0)) * [1, 2, 2]
    return float((change.mean(2) * weight).sum()) / total


def _step(value: float) -> float:
    return float(smooth_step(np.array(value, np.float32)))
