"""Paint the inside of an open mouth: teeth, tongue and depth, in the light of the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import smooth_number, smooth_step
from facefusion.faces.face import Floats, Values
from facefusion.faces.mouth import LUMA, TEETH_AREA, TEETH_SCALE, TEETH_SIZE
from facefusion.faces.mouth_shape import HeadPose, teeth_depth
from facefusion.processors.lip_syncer.mesh_lips.articulation import Articulation
from facefusion.processors.lip_syncer.mesh_lips.basis import RING

Doubles = npt.NDArray[np.float64]

# Lengths in eye distances, 63 mm on an adult. The edge of the upper teeth is this far below the line of the closed
# lips, that of the lower teeth this far above it; they curve upwards towards the corners.
UPPER_EDGE, LOWER_EDGE = 0.042, 0.020
ARCH = 0.45
# Right ends of the teeth from the middle outwards, in the image, and how much shorter each is than the first.
TOOTH_ENDS = np.array([0.0, 0.128, 0.226, 0.322, 0.39, 0.44, 0.48], np.float32)
SHORTER = np.array([0.0, 0.010, 0.002, 0.008, 0.012, 0.016], np.float32)
GAP_WIDTH, EDGE_WIDTH = 0.006, 0.008
# Colours as multiples of the skin's BGR; that of teeth is mixed from the skin's colour and its luma.
DARK = np.array([0.10, 0.10, 0.15], np.float32)
TONGUE = np.array([0.50, 0.46, 0.80], np.float32)
TOOTH = np.array([0.86, 0.92, 0.95], np.float32)
# Enamel is this much lighter than skin of medium tone; on darker skin, it is about as light as the whites of the eyes.
PLAIN_ENAMEL, EYE_SHARE, LIGHTEST_ENAMEL = 1.17, 0.95, 2.2


def inner_lips(ring: Floats) -> Floats:
    """Return the outline of an open mouth, float32 [80,2]: a smooth curve through the ring of the inner lips [20,2+].

    The first 41 points are the lower lip, from the image's left to its right.
    """
    halves = [ring[:11, :2], np.vstack([ring[10:], ring[:1]])[:, :2]]
    return np.vstack([_curve(half)[:-1] for half in halves])


def coverage(outline: Floats, corner: Floats, width: int, height: int) -> Floats:
    """Return the share of each pixel inside an outline, float32 [h,w]; ``corner`` is the first pixel's position."""
    fine = 4
    mask = np.zeros((height * fine, width * fine), np.uint8)
    points = (outline - corner + 0.5) * fine - 0.5
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, shift=4)
    share = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share, np.float32) / np.float32(255)


def head_coordinates(
    pose: HeadPose, lip_line: Floats, corner: Floats, width: int, height: int
) -> tuple[Floats, Floats]:
    """Return x and y in the mean shape of each pixel of the teeth: two float32 [h,w].

    corner: the position of the first pixel in the frame. The depth of the teeth follows ``lip_line``, float32 [11,3].
    """
    inverse = np.linalg.inv(pose.turn[:2, :2].astype(np.float64))
    lean = inverse @ pose.turn[:2, 2]
    origin = corner - pose.shift[:2]
    columns = (np.arange(width) + origin[0])[None]
    rows = (np.arange(height) + origin[1])[:, None]
    flat_x, flat_y = (inverse[k, 0] * columns + inverse[k, 1] * rows for k in (0, 1))
    x = flat_x - lean[0] * lip_line[5, 2]
    # The depth depends on x, which depends on the depth; two rounds are exact to a thousandth.
    for _ in range(2):
        x = flat_x - lean[0] * teeth_depth(lip_line, x)
    y = flat_y - lean[1] * teeth_depth(lip_line, x)
    return x.astype(np.float32), y.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Teeth:
    """The upper teeth of the person, as ``faces.mouth.TeethMeter`` measures them.

    ratio: float32 [70,120,3], multiples of the skin's colour. opacity: float32 [70,120]. is_known: whether the clip
    shows any teeth. eyes: the luma of the whites of the eyes, relative to the skin, if it does not.
    """

    ratio: Floats
    opacity: Floats
    is_known: bool
    eyes: float = 1.0

    @classmethod
    def of(cls, texels: Values | None) -> Teeth:
        """Return the teeth of a linked value, uint8 [70,120,4]; None and all zeros mean unknown teeth."""
        if texels is None or not texels[..., 3].any():
            eyes = 1.0 if texels is None else float(texels[0, 0, 0]) / TEETH_SCALE
            return cls(np.zeros((1, 1, 3), np.float32), np.zeros((1, 1), np.float32), False, eyes)
        values = texels.astype(np.float32)
        return cls(values[..., :3] / np.float32(TEETH_SCALE), values[..., 3] / np.float32(255), True)

    def look_up(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Return ratio [h,w,3] and opacity [h,w] at head coordinates."""
        x0, y0, width, height = TEETH_AREA
        u = (x - x0) * (TEETH_SIZE[0] / width) - 0.5
        v = (y - y0) * (TEETH_SIZE[1] / height) - 0.5
        ratio = cv2.remap(self.ratio, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opacity = cv2.remap(self.opacity, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return np.asarray(ratio, np.float32), np.asarray(opacity, np.float32)


class MouthPainter:
    """Paints the inside of one mouth at head coordinates x, y [h,w]."""

    def __init__(self, said: Articulation, x: Floats, y: Floats, skin: Floats, lips: float) -> None:
        """``skin``: the colour of the face, BGR [3]; ``lips``: the luma of the lips, relative to the skin."""
        ring = said.shape[RING]
        self._said = said
        self._skin = skin
        self._luma = float(skin @ LUMA)
        # In a grey or tinted image, the tongue must not be redder than the skin.
        self._colourful = float(np.clip((skin[2] - skin[0]) / max(self._luma, 1) / 0.35, 0, 1))
        self._middle = said.lip_line[5]
        self._x, self._y = x, y
        self._pixel = float(np.hypot(x[0, -1] - x[0, 0], y[0, -1] - y[0, 0])) / max(x.shape[1] - 1, 1)
        self._aside = x - float(said.lip_line[[0, -1], 0].mean())
        self._top, self._bottom = _edges(ring, x)
        half = max(float(np.ptp(ring[:, 0])) / 2, 0.05)
        self._inward = np.clip(1 - np.abs(self._aside) / half, 0, 1)
        # Little light enters a mouth that is hardly open.
        self._light = 0.84 + 0.16 * smooth_number((said.gap - 0.02) / 0.12)
        # Unknown teeth under a dark moustache or in the shadow of the nose are not brighter than its surroundings.
        self._shadow = float(np.clip(lips / 0.65, 0.4, 1))

    def paint(self, teeth: Teeth, spread: float) -> Floats:
        """Return the colour float32 [h,w,3] BGR; ``spread``: the width of the command, -1 to 1."""
        colour = self._back()
        self._lay(colour, *self._tongue())
        self._lay(colour, *self._lower_teeth(teeth, spread))
        self._lay(colour, *self._upper_teeth(teeth))
        return colour

    @staticmethod
    def _lay(colour: Floats, layer: Floats, opacity: Floats) -> None:
        colour += (layer - colour) * opacity[..., None]

    def _back(self) -> Floats:
        depth = np.clip((self._y - self._top) / np.maximum(self._bottom - self._top, 0.02), 0, 1)
        shade = 0.65 + 0.8 * depth**2 * _ramp(self._inward, 0, 0.5)
        return np.asarray(self._tinted(DARK) * shade[..., None], np.float32)

    def _tongue(self) -> tuple[Floats, Floats]:
        """The tongue rests behind the lower teeth and rises towards its middle."""
        gap = self._said.gap
        crest = self._bottom - 0.065 - 0.06 * _ramp(self._inward, 0, 0.7) + 0.02 * (1 - smooth_number(gap / 0.04 - 2.5))
        opacity = _ramp(self._y - crest, 0, 0.07) * _ramp(self._inward, 0.20, 0.55) * smooth_number((gap - 0.07) / 0.08)
        groove = 1 - 0.12 * np.exp(-((self._aside / 0.03) ** 2))
        shade = (0.45 + 0.40 * _ramp(self._y - crest, 0, 0.12)) * groove
        return np.asarray(self._tinted(TONGUE) * shade[..., None], np.float32), opacity

    def _lower_teeth(self, teeth: Teeth, spread: float) -> tuple[Floats, Floats]:
        edge = float(self._middle[1]) + self._said.jaw - LOWER_EDGE - 0.012 * max(spread, 0)
        opacity = _teeth(self._aside * 1.25, edge - self._y, ARCH * 0.6, self._pixel) * _ramp(self._inward, 0.25, 0.5)
        # Lips hide the lower teeth unless they are spread.
        opacity *= smooth_number((self._said.gap - 0.03) / 0.05) * (0.10 + 0.75 * max(spread, 0))
        shade = 0.72 * self._light * (0.4 + 0.6 * _ramp(self._inward, 0.15, 0.65))
        return np.asarray(self._enamel(teeth) * shade[..., None], np.float32), opacity

    def _upper_teeth(self, teeth: Teeth) -> tuple[Floats, Floats]:
        below_lip, above_lip = _ramp(self._y - self._top, 0, 0.05), _ramp(self._bottom - self._y, 0, 0.03)
        if teeth.is_known:
            ratio, opacity = teeth.look_up(self._x, self._y)
            shade = (0.82 + 0.18 * below_lip) * (0.92 + 0.08 * above_lip) * self._light
            return np.asarray(ratio * self._skin * shade[..., None], np.float32), opacity
        opacity = _teeth(self._aside, self._y - float(self._middle[1]) - UPPER_EDGE, ARCH, self._pixel)
        opacity *= _ramp(self._inward, 0, 0.15)
        shade = (0.58 + 0.42 * below_lip) * (0.45 + 0.55 * _ramp(self._inward, 0.05, 0.6)) * self._light
        return np.asarray(self._enamel(teeth) * shade[..., None], np.float32), opacity

    def _tinted(self, ratio: Floats) -> Floats:
        grey = float(ratio.mean())
        return self._skin * (grey + self._colourful * (ratio - grey))

    def _enamel(self, teeth: Teeth) -> Floats:
        lightness = float(np.clip(EYE_SHARE * teeth.eyes, PLAIN_ENAMEL, LIGHTEST_ENAMEL)) / PLAIN_ENAMEL
        return np.asarray((0.45 * self._skin + 0.70 * self._luma * TOOTH) * self._shadow * lightness, np.float32)


def _teeth(aside: Floats, below: Floats, arch: float, pixel: float) -> Floats:
    """Return where a row of teeth is: 0 to 1, from the distance to its middle and that beyond its edge.

    ``pixel``: the size of a pixel in the same unit; edges and gaps are at least about as wide.
    """
    number = np.clip(np.searchsorted(TOOTH_ENDS, np.abs(aside).ravel()) - 1, 0, len(SHORTER) - 1).reshape(aside.shape)
    start, end = TOOTH_ENDS[number], TOOTH_ENDS[number + 1]
    centre = (np.abs(aside) - (start + end) / 2) / ((end - start) / 2)
    edge = below + arch * aside**2 + SHORTER[number] + 0.010 * centre**4
    from_gap = (1 - np.abs(centre)) * (end - start) / 2
    width = max(GAP_WIDTH, 0.8 * pixel)
    lines = 1 - 0.30 * GAP_WIDTH / width * np.exp(-((from_gap / width) ** 2))
    soft = max(EDGE_WIDTH, 1.4 * pixel)
    return np.asarray((1 - _ramp(edge, -soft, soft)) * lines, np.float32)


def _ramp(values: Floats | Doubles, low: float, high: float) -> Floats:
    """Return 0 at ``low`` and 1 at ``high``, smooth in between."""
    return smooth_step(np.asarray((values - low) / (high - low), np.float32))


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
    return np.vstack([curve.reshape(-1, 2), points[-1:]]).astype(np.float32)
