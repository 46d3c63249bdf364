"""How strongly a mouth is changed: less on turned, covered and tiny faces."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_number
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.skin import linked_skin
from facefusion.processors.registration import SMALLEST_FACE

Pixels = npt.NDArray[np.uint8]

# Degrees between the face and the camera: a mouth is fully changed below the first and unchanged above the second.
FACING, TURNED = 36.0, 56.0
# Multiple of the smallest face from which on a mouth is fully changed.
FULL_SIZE = 1.4
# The relative difference between a mouth and that of the same track with closed lips: 0.02 to 0.2 while speaking, 0.38
# and more behind a microphone or another dark object.
SAME, FOREIGN = 0.20, 0.32
# The light on a mouth changes at most this much more than that on the rest of the face.
SHADE = 1.5


def share_by_turn(degrees: float) -> float:
    """Return 1 for a frontal face, falling to 0 for a face that is turned away by ``degrees``."""
    return smooth_number((TURNED - degrees) / (TURNED - FACING))


def share_by_size(face: LinkedFace) -> float:
    """Return 0 for the smallest face, rising to 1."""
    x0, y0, x1, y1 = face.box
    return smooth_number((float(max(x1 - x0, y1 - y0)) / SMALLEST_FACE - 1) / (FULL_SIZE - 1))


def share_by_cover(face: LinkedFace) -> float:
    """Return the trait ``mouth`` of the measured skin: 0 for a mask or another smooth cover."""
    skin = linked_skin(face.values)
    return 1.0 if skin is None else skin.traits.mouth


def share_by_likeness(seen: Pixels, own: Pixels, weight: Floats, light: Floats) -> float:
    """Return 1 if a mouth looks like that of its track, 0 if something else is in front of it.

    seen, own: uint8 BGR [h,w,3] in one layout. weight: float32 [h,w], where to compare them. light: BGR [3], how much
    lighter the visible skin of the face is than in ``own``.
    """
    return smooth_number((FOREIGN - difference(seen, own, weight, light)) / (FOREIGN - SAME))


def difference(seen: Pixels, own: Pixels, weight: Floats, light: Floats) -> float:
    """Return the weighted mean difference of two mouths, relative to their colour and in the same light."""
    first, second = (cv2.blur(part, (5, 5)).astype(np.float32) for part in (seen, own))
    gain = mean_colour(first, weight) / mean_colour(second, weight)
    second *= np.clip(gain, light / SHADE, light * SHADE)
    change = (np.abs(first - second) / mean_colour(second, weight)).mean(2)
    return float((change * weight).sum() / max(float(weight.sum()), 1e-3))


def mean_colour(part: Floats | Pixels, weight: Floats) -> Floats:
    """Return the mean colour [3] of [h,w,3] where ``weight`` is large; never quite black."""
    return np.maximum(np.array(cv2.mean(part, (weight > 0.5).astype(np.uint8))[:3], np.float32), 6)
