"""Paint glasses, a hand or hair in front of a face, positioned by the face mesh, for ``picture_variants.py``.

Images are ``uint8 HxWx3 BGR``, landmarks ``float32 [468,3]`` in pixels. Coordinates of shapes are in eye distances from
the middle between the eyes, with x to the image's right and y down along the face.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Point = tuple[float, float]

# Layers are painted at a scale with at least this eye distance in pixels, then shrunk.
WORKING_EYES = 110.0
SHIFT = 4
# The height of a frontal mesh in eye distances.
HEIGHT_IN_EYES = 2.4
# Paint above this opacity hides the face; lenses, shadows and the edges of strands do not.
HIDING = 0.6


class Painted(NamedTuple):
    """A painted image uint8 [h,w,3], and its cover uint8 [h,w], 255 where the paint hides the face."""

    picture: Picture
    cover: Picture


class Layer:
    """A layer of paint over an image, at a larger scale than the image; ``colour`` is premultiplied float32 [h,w,3]."""

    def __init__(self, picture: Picture, landmarks: Floats, by_height: bool = False) -> None:
        """``by_height``: the unit is at least the eye distance of a frontal face of the same height."""
        self._picture = picture
        left, right = (landmarks[list(ring), :2].mean(0) for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT))
        self._middle = (left + right) / 2
        self._across = right - left
        if by_height:
            size = float(np.linalg.norm(landmarks[152, :2] - landmarks[10, :2])) / HEIGHT_IN_EYES
            self._across = self._across * max(1.0, size / max(float(np.linalg.norm(self._across)), 1.0))
        self.factor = int(np.clip(np.ceil(WORKING_EYES / max(float(np.linalg.norm(self._across)), 1)), 1, 8))
        self.unit = float(np.linalg.norm(self._across)) * self.factor
        self._landmarks = landmarks
        self.shape = (picture.shape[0] * self.factor, picture.shape[1] * self.factor)
        self.colour = np.zeros((*self.shape, 3), np.float32)
        self.alpha = np.zeros(self.shape, np.float32)

    def place(self, points: Sequence[Point]) -> Floats:
        """Convert points from eye distances to pixels of the layer."""
        given = np.array(points, np.float32)
        along = np.array([-self._across[1], self._across[0]])
        pixels = self._middle + given[:, :1] * self._across + given[:, 1:] * along
        return np.asarray((pixels + 0.5) * self.factor - 0.5, np.float32)

    def vertex(self, number: int) -> Point:
        """Return the position of a vertex of the mesh in eye distances."""
        offset = self._landmarks[number, :2] - self._middle
        size = float(self._across @ self._across)
        return float(offset @ self._across) / size, float(offset @ [-self._across[1], self._across[0]]) / size

    def line(self, points: Sequence[Point], width: float, closed: bool = False) -> Floats:
        """Return the mask 0..1 of a line ``width`` eye distances wide."""
        mask = np.zeros(self.shape, np.uint8)
        fixed = np.round(self.place(points) * (1 << SHIFT)).astype(np.int32)
        cv2.polylines(mask, [fixed], closed, 255, max(round(width * self.unit), 1), cv2.LINE_AA, SHIFT)
        return np.asarray(mask, np.float32) / 255

    def area(self, points: Sequence[Point]) -> Floats:
        """Return the mask 0..1 of a polygon."""
        mask = np.zeros(self.shape, np.uint8)
        fixed = np.round(self.place(points) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, SHIFT)
        return np.asarray(mask, np.float32) / 255

    def soft(self, mask: Floats, width: float) -> Floats:
        """Return the mask, blurred by ``width`` eye distances."""
        sigma = max(width * self.unit, 0.3)
        part = window(mask, round(4 * sigma) + 1)
        blurred = np.zeros_like(mask)
        if mask[part].size:
            blurred[part] = cv2.GaussianBlur(mask[part], (0, 0), sigma)
        return blurred

    def add(self, mask: Floats, colour: Sequence[float] | Floats) -> None:
        """Paint ``colour`` (a BGR colour, or an image) over the layer."""
        part = window(mask)
        cover = mask[part][..., None]
        given = np.asarray(colour, np.float32)
        self.colour[part] = self.colour[part] * (1 - cover) + (given[part] if given.ndim == 3 else given) * cover
        self.alpha[part] = self.alpha[part] * (1 - mask[part]) + mask[part]

    def over(self) -> Painted:
        """Return the image with the layer on it, and the cover."""
        size = (self._picture.shape[1], self._picture.shape[0])
        colour = cv2.resize(self.colour, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self.alpha, size, interpolation=cv2.INTER_AREA)[..., None]
        picture = np.clip(self._picture * (1 - alpha) + colour + 0.5, 0, 255).astype(np.uint8)
        return Painted(picture, np.where(alpha[..., 0] > HIDING, 255, 0).astype(np.uint8))


def window(mask: Floats, margin: int = 0) -> tuple[slice, slice]:
    """Return the bounding box of the non-zero part of a mask, with a margin."""
    x, y, wide, high = cv2.boundingRect((mask > 0).astype(np.uint8))
    if not wide:
        return slice(0, 0), slice(0, 0)
    return slice(max(y - margin, 0), y + high + margin), slice(max(x - margin, 0), x + wide + margin)


def glasses(picture: Picture, landmarks: Floats, is_thin: bool) -> Painted:
    """Paint glasses with arms: dark frames with lightly tinted lenses and a glint, or thin metal frames."""
    layer = Layer(picture, landmarks)
    rims = [_rim(side, 0.39, 0.27 if is_thin else 0.31) for side in (-0.5, 0.5)]
    width = 0.022 if is_thin else 0.062
    bridge = [(-0.13, -0.05), (-0.06, -0.09), (0.06, -0.09), (0.13, -0.05)]
    arms = []
    for side, ear in ((-1, layer.vertex(127)), (1, layer.vertex(356))):
        end = (ear[0] + side * 0.06, ear[1])
        arms.append([(side * 0.88, -0.06), end])
    for rim in rims:
        lens = layer.area(rim)
        layer.add(lens * (0.06 if is_thin else 0.22), (70, 55, 45))
        x = float(np.mean([point[0] for point in rim]))
        band = layer.area([(x - 0.30, 0.05), (x - 0.02, -0.30), (x + 0.10, -0.30), (x - 0.20, 0.10)])
        layer.add(layer.soft(band, 0.015) * lens * (0.16 if is_thin else 0.30), (250, 246, 240))
    frame = np.maximum.reduce([layer.line(rim, width, closed=True) for rim in rims] + [layer.line(bridge, width)])
    frame = np.maximum.reduce([frame, *(layer.line(arm, width * 0.9) for arm in arms)])
    shift = np.array([[1, 0, 0], [0, 1, 0.05 * layer.unit]], np.float32)
    fallen = cv2.warpAffine(frame, shift, (layer.shape[1], layer.shape[0]))
    layer.add(0.35 * layer.soft(np.asarray(fallen, np.float32), 0.025) * (1 - frame), (20, 20, 30))
    layer.add(frame, (142, 152, 160) if is_thin else (26, 23, 24))
    light = layer.soft(np.maximum.reduce([layer.line(rim, width * 0.25, closed=True) for rim in rims]), 0.004)
    layer.add(light * frame * (0.6 if is_thin else 0.25), (235, 235, 235) if is_thin else (120, 115, 112))
    return layer.over()


def _rim(x: float, wide: float, high: float) -> list[Point]:
    """Return a rounded rectangle (a superellipse of order 3), a little wider at the top."""
    points = []
    for angle in np.linspace(0, 2 * np.pi, 72, endpoint=False):
        c, s = float(np.cos(angle)), float(np.sin(angle))
        across = np.sign(c) * abs(c) ** (2 / 3) * wide * (1 - 0.06 * np.sign(s) * abs(s))
        points.append((x + float(across), 0.05 + float(np.sign(s) * abs(s) ** (2 / 3) * high)))
    return points


# The path of each finger from the hand to its tip, and its thickness, in eye distances.
FINGERS = (
    (((1.75, 1.35), (1.10, 0.80), (0.62, 0.62), (0.25, 0.58)), 0.30),
    (((1.80, 1.70), (1.05, 1.10), (0.45, 0.90), (0.02, 0.88)), 0.31),
    (((1.85, 2.00), (1.10, 1.42), (0.50, 1.22), (0.05, 1.20)), 0.30),
    (((1.90, 2.30), (1.20, 1.76), (0.72, 1.56), (0.36, 1.50)), 0.25),
)
BACK_OF_HAND = ((1.45, 0.95), (2.4, 1.3), (3.1, 2.3), (7.2, 5.6), (6.0, 7.0), (2.3, 3.3), (1.45, 2.1))


def hand(picture: Picture, landmarks: Floats, skin: Sequence[float], shift: Point = (0.0, 0.0)) -> Painted:
    """Paint four fingers of colour ``skin`` (BGR) over cheek and mouth, moved by ``shift`` eye distances."""
    layer = Layer(picture, landmarks, by_height=True)
    random = np.random.default_rng(3)
    grain = random.normal(0, 1, (layer.shape[0] // 4 + 1, layer.shape[1] // 4 + 1)).astype(np.float32)
    grain = cv2.resize(grain, (layer.shape[1], layer.shape[0]), interpolation=cv2.INTER_LINEAR)[..., None]
    base = np.array(skin, np.float32) * np.array([0.93, 0.96, 1.02], np.float32)

    def moved(points: Sequence[Point]) -> list[Point]:
        return [(x + shift[0], y + shift[1]) for x, y in points]

    _shaded(layer, layer.soft(layer.area(moved(BACK_OF_HAND)), 0.03), 0.9, base, grain)
    for points, width in FINGERS:
        path = _curve(moved(points))
        _shaded(layer, layer.line(path, width), width / 2, base, grain)
        for share in (0.45, 0.72):
            x, y = path[int(share * (len(path) - 1))]
            crease = layer.line([(x - 0.02, y - 0.07), (x + 0.01, y), (x - 0.01, y + 0.07)], 0.012)
            layer.add(0.3 * layer.soft(crease, 0.008), base * 0.6)
        x, y = path[-1]
        nail = layer.line([(x - 0.02, y - 0.01), (x + 0.07, y)], width * 0.50)
        layer.add(0.55 * layer.soft(nail, 0.012), np.clip(base * [1.12, 1.08, 1.05] + 12, 0, 250))
    return layer.over()


def _shaded(layer: Layer, mask: Floats, half: float, base: Floats, grain: Floats) -> None:
    """Paint a round limb with its shadow."""
    layer.add(0.40 * layer.soft(mask, 0.06) * (1 - mask), (25, 25, 40))
    part = window(mask, 2)
    if not mask[part].size:
        return
    depth = cv2.distanceTransform((mask[part] > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / (half * layer.unit)
    round_part = np.sqrt(np.clip(1 - (1 - np.clip(depth, 0, 1)) ** 2, 0, 1)).astype(np.float32)
    rounded = cv2.GaussianBlur(round_part, (0, 0), max(0.01 * layer.unit, 0.3))[..., None]
    colour = base * (0.62 + 0.42 * rounded) * (1 + 0.02 * grain[part])
    colour += np.array([-4, -2, 6], np.float32) * (1 - rounded)
    painted = np.zeros((*layer.shape, 3), np.float32)
    painted[part] = np.clip(colour, 0, 255)
    layer.add(mask, painted)


def _curve(points: Sequence[Point], steps: int = 24) -> list[Point]:
    """Return points of a Catmull-Rom spline through the given points."""
    given = np.array([points[0], *points, points[-1]], np.float64)
    curve = []
    for a, b, c, d in zip(given, given[1:], given[2:], given[3:], strict=False):
        for t in np.linspace(0, 1, steps, endpoint=False):
            at = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
            curve.append((float(at[0]), float(at[1])))
    return [*curve, points[-1]]


def fringe(picture: Picture, landmarks: Floats, hair: Sequence[float]) -> Painted:
    """Paint hair of colour ``hair`` (BGR) over the forehead, down to the brows."""
    layer = Layer(picture, landmarks, by_height=True)
    random = np.random.default_rng(5)
    middle, top = layer.vertex(10)
    for _ in range(520):
        x = float(random.uniform(-1.0, 1.0))
        tip = x - 0.14 + float(random.normal(0, 0.05))
        start = (middle + 0.75 * x + 0.10, top - 0.38 + 0.35 * x * x)
        end = (0.6 * middle + tip, -0.27 + float(random.normal(0, 0.09)) + 0.12 * x * x)
        bend = (0.55 * start[0] + 0.45 * end[0] + 0.16 * x, 0.55 * start[1] + 0.45 * end[1])
        _strand(layer, (start, bend, end), float(random.uniform(0.010, 0.028)), hair, random, 0.8)
    return layer.over()


def strands(picture: Picture, landmarks: Floats, hair: Sequence[float]) -> Painted:
    """Paint single strands over one eye and cheek."""
    layer = Layer(picture, landmarks, by_height=True)
    random = np.random.default_rng(6)
    middle, top = layer.vertex(10)
    for _ in range(18):
        x = float(random.normal(-0.48, 0.14))
        bow, sway = float(random.normal(0, 0.10)), float(random.normal(0, 0.16))
        start = (middle + x + 0.45 + bow, top - 0.30)
        points = (start, (x + bow, -0.25), (x - 0.14 + sway / 2, 0.7), (x - 0.05 + sway, 1.35 + abs(sway)))
        _strand(layer, points, float(random.uniform(0.006, 0.014)), hair, random, 0.75)
    return layer.over()


def _strand(
    layer: Layer,
    points: Sequence[Point],
    width: float,
    hair: Sequence[float],
    random: np.random.Generator,
    opacity: float,
) -> None:
    tone = float(random.uniform(0.6, 1.45))
    mask = np.zeros(layer.shape, np.uint8)
    fixed = np.round(layer.place(_curve(points, 10)) * (1 << SHIFT)).astype(np.int32)
    cv2.polylines(mask, [fixed], False, 255, max(round(width * layer.unit), 1), cv2.LINE_AA, SHIFT)
    x, y, wide, high = cv2.boundingRect(mask)
    part = (slice(y, y + high), slice(x, x + wide))
    alpha = mask[part].astype(np.float32) / 255 * opacity
    colour = np.clip(np.array(hair, np.float32) * tone, 0, 255)
    layer.colour[part] = layer.colour[part] * (1 - alpha[..., None]) + colour * alpha[..., None]
    layer.alpha[part] = layer.alpha[part] * (1 - alpha) + alpha
