"""Paint the inside of an open mouth: teeth, tongue and depth, in the light of the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.mouth_shape import HeadPose
from facefusion.processors.lip_syncer.mesh_lips.articulation import Articulation
from facefusion.processors.lip_syncer.mesh_lips.basis import RING

Pixels = npt.NDArray[np.uint8]

# Lengths in eye distances, 63 mm on an adult. The edge of the upper teeth is this far below the line of the closed
# lips, that of the lower teeth this far above it; they curve upwards towards the corners.
UPPER_EDGE, LOWER_EDGE = 0.042, 0.020
ARCH = 0.45
# Right ends of the teeth from the middle outwards, in the image, and how much shorter each is than the first.
TOOTH_ENDS = np.array([0.0, 0.128, 0.226, 0.322, 0.39, 0.44, 0.48], np.float32)
SHORTER = np.array([0.0, 0.010, 0.002, 0.008, 0.012, 0.016], np.float32)
GAP_WIDTH = 0.006
# Depth behind the lips.
BEHIND = 0.05
# Colours as BGR shares of the luma of the skin.
DARK = np.array([0.075, 0.07, 0.16], np.float32)
TONGUE = np.array([0.34, 0.32, 0.62], np.float32)
TOOTH = np.array([0.80, 0.90, 0.96], np.float32)
LUMA = np.array([0.114, 0.587, 0.299], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Cavity:
    """The inside of a mouth. colour: float32 [h,w,3] BGR; opacity: float32 [h,w]."""

    colour: Floats
    opacity: Floats


def inner_lips(articulation: Articulation, pose: HeadPose) -> Floats:
    """Return the outline of the open mouth, float32 [80,2] in pixels of the frame: a smooth curve through the ring."""
    ring = articulation.shape[RING] @ pose.turn.T + pose.shift
    halves = [ring[:11, :2], np.vstack([ring[10:], ring[:1]])[:, :2]]
    return np.vstack([_curve(half)[:-1] for half in halves]).astype(np.float32)


def coverage(outline: Floats, corner: Floats, width: int, height: int) -> Floats:
    """Return the share of each pixel inside an outline, float32 [h,w]; ``corner`` is the first pixel's position."""
    fine = 4
    mask = np.zeros((height * fine, width * fine), np.uint8)
    points = (outline - corner + 0.5) * fine - 0.5
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, shift=4)
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA), np.float32) / 255


def head_coordinates(pose: HeadPose, depth: float, corner: Floats, width: int, height: int) -> tuple[Floats, Floats]:
    """Return x and y in the mean shape of each pixel, seen at a depth ``z`` of the mean shape: two float32 [h,w]."""
    inverse = np.linalg.inv(pose.turn[:2, :2].astype(np.float64))
    origin = corner - pose.shift[:2] - pose.turn[:2, 2] * depth
    x = (np.arange(width) + origin[0])[None]
    y = (np.arange(height) + origin[1])[:, None]
    first, second = (inverse[k, 0] * x + inverse[k, 1] * y for k in (0, 1))
    return first.astype(np.float32), second.astype(np.float32)


def paint_cavity(articulation: Articulation, x: Floats, y: Floats, skin: Floats, spread: float) -> Floats:
    """Return the colour float32 [h,w,3] of a mouth at head coordinates x, y [h,w]; ``skin`` is a BGR colour [3].

    ``spread``: the width of the command, -1 to 1.
    """
    line = articulation.lip_line
    ring = articulation.shape[RING]
    luma = float(skin @ LUMA)
    middle = float(line[[0, -1], 0].mean())
    half = max(float(np.ptp(ring[:, 0])) / 2, 0.05)
    aside = x - middle
    top, bottom = _edges(ring, x)
    depth = np.clip((y - top) / np.maximum(bottom - top, 0.02), 0, 1)
    inward = np.clip(1 - np.abs(aside) / half, 0, 1)
    colour = DARK * luma * (0.55 + 0.9 * depth**2 * smooth_step(inward / 0.5))[..., None]
    # The tongue rests behind the lower teeth and rises towards its middle.
    crest = bottom - 0.075 - 0.05 * smooth_step(inward / 0.7) + 0.02 * (articulation.gap < 0.12)
    tongue = smooth_step((y - crest) / 0.06) * smooth_step((inward - 0.22) / 0.35)
    tongue *= smooth_step(np.float32((articulation.gap - 0.07) / 0.08))
    groove = 1 - 0.18 * np.exp(-((aside / 0.025) ** 2))
    shade = (0.55 + 0.35 * smooth_step((y - crest) / 0.10)) * groove
    colour += (TONGUE * luma * shade[..., None] - colour) * tongue[..., None]
    lower = _teeth(aside * 1.25, line[5, 1] + articulation.jaw - LOWER_EDGE - 0.012 * max(spread, 0) - y, ARCH * 0.6)
    lower *= smooth_step((inward - 0.25) / 0.25)
    tooth = 0.25 * skin + 0.80 * luma * TOOTH
    colour += (tooth * 0.62 * (0.6 + 0.4 * smooth_step(inward / 0.6))[..., None] - colour) * (
        lower * smooth_step(np.float32((articulation.gap - 0.03) / 0.05))
    )[..., None]
    upper = _teeth(aside, y - line[5, 1] - UPPER_EDGE, ARCH)
    shade = (0.50 + 0.50 * smooth_step((y - top) / 0.045)) * (0.42 + 0.58 * smooth_step((inward - 0.05) / 0.55))
    colour += (tooth * shade[..., None] - colour) * (upper * smooth_step(inward / 0.15))[..., None]
    return np.asarray(colour, np.float32)


def _teeth(aside: Floats, below: Floats, arch: float) -> Floats:
    """Return where a row of teeth is: 0 to 1, from the distance to its middle and that beyond its edge."""
    number = np.clip(np.searchsorted(TOOTH_ENDS, np.abs(aside).ravel()) - 1, 0, len(SHORTER) - 1).reshape(aside.shape)
    start, end = TOOTH_ENDS[number], TOOTH_ENDS[number + 1]
    centre = (np.abs(aside) - (start + end) / 2) / ((end - start) / 2)
    edge = below + arch * aside**2 + SHORTER[number] + 0.010 * centre**4
    from_gap = (1 - np.abs(centre)) * (end - start) / 2
    lines = 1 - 0.30 * np.exp(-((from_gap / GAP_WIDTH) ** 2))
    return np.asarray(smooth_step(0.5 - edge / 0.016) * lines, np.float32)


def _edges(ring: Floats, x: Floats) -> tuple[Floats, Floats]:
    """Return the y of the upper and of the lower lip at each x."""
    lower, upper = ring[:11], np.vstack([ring[:1], ring[:9:-1]])
    top, bottom = (np.interp(x.ravel(), lip[:, 0], lip[:, 1]).reshape(x.shape) for lip in (upper, lower))
    return top.astype(np.float32), bottom.astype(np.float32)


def _curve(points: Floats) -> Floats:
    """Return a Catmull-Rom curve through points [n,2] with three points between two neighbours."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = (np.arange(4) / 4)[None, :, None]
    a, b, c, d = (padded[k : len(padded) - 3 + k, None] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.vstack([curve.reshape(-1, 2), points[-1:]])
