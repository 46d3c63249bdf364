"""Find glasses on a face in atlas layout, by lines where skin has none.

A frame runs under both eyes and, unlike any crease of the skin, across the bridge of the nose. Both lines are found as
the strongest paths through the ridges of the image: narrow lines, darker or lighter than both of their sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import blur, smooth_step
from facefusion.faces.face import Bools, Bytes, Floats
from facefusion.faces.skin import BGR_TO_YCC
from facefusion.faces.topology import MeshTopology

# Lengths are fractions of the eye distance in the atlas. Lines wider than WIDEST_LINE are not part of a frame.
WIDEST_LINE = 0.19
# A frame runs between these distances from the eye's centre.
RIM_REACH = (0.18, 0.62)

# Contrasts are those of ``line_contrast``. Along four fifths of their length, the line across the nose and the weaker
# line under the eyes must each be this strong, and their geometric mean must reach FRAME_STRENGTH.
BRIDGE_CONTRAST = 0.06
RIM_CONTRAST = 0.09
FRAME_STRENGTH = 0.105
# The rims must be this many times as strong as the best path across a cheek, because noise, wrinkles and
# stubble form lines anywhere.
ABOVE_CHEEK = 1.7
# The minimum contrast of lines that continue the frame (its arms, its upper edge).
FRAME_CONTRAST = 0.10
STRONGEST = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Glasses:
    """Glasses in an atlas.

    mask: bool [n,n], the lenses and the entire frame with a margin. frame: bool [n,n], the frame alone.
    """

    mask: Bools
    frame: Bools


class GlassesFinder:
    """Finds glasses in atlases of one size."""

    def __init__(self, topology: MeshTopology, size: int) -> None:
        self._eyes, inner = topology.eyes(size)
        self._size = size
        self.unit = float(self._eyes[1, 0] - self._eyes[0, 0])
        # The bridge of the nose, from eye corner to eye corner.
        level, reach = float(self._eyes[:, 1].mean()), 0.35 * self.unit
        self._left, self._right = round(float(inner[0])) + 2, round(float(inner[1])) - 2
        self._top, self._bottom = round(level - reach), round(level + reach)

    def find(self, face: Floats, seen: Floats) -> Glasses | None:
        """Return the glasses on a face float32 [n,n,3] BGR 0..255; ``seen`` float32 [n,n] is 1 where visible."""
        ridges = find_lines(face, round(WIDEST_LINE * self.unit))
        return self._outline(ridges) if self.strength(ridges, seen) >= 1 else None

    def strength(self, ridges: Floats, seen: Floats) -> float:
        """Return the evidence for glasses; at 1 or more they count as found.

        Measured: at most 0.75 without glasses, including fringes, strands, noise, shadows and wrinkles; at least 2 for
        painted dark frames, 1.1 for thin grey frames.
        """
        bridge = _line_strength(self._bridge_strip(ridges))
        rims = []
        for side in (0, 1):
            map_x, map_y = self._polar(side, 20, 160)
            # An eye that is turned away provides no evidence.
            if float(cv2.remap(seen, map_x, map_y, cv2.INTER_LINEAR).mean()) > 0.5:
                rims.append(_line_strength(cv2.remap(ridges, map_x, map_y, cv2.INTER_LINEAR)))
        if not rims:
            return 0.0
        rim, cheek = min(rims), self._cheek_lines(ridges, seen)
        together = float(np.sqrt(rim * bridge)) / FRAME_STRENGTH
        return min(together, bridge / BRIDGE_CONTRAST, rim / RIM_CONTRAST, rim / (ABOVE_CHEEK * cheek + 1e-6))

    def _cheek_lines(self, ridges: Floats, seen: Floats) -> float:
        """The mean strength of the best paths across the cheeks, weighted by their visible share."""
        lines, weights = [], []
        for x, y in self._eyes:
            rows = slice(round(float(y + 0.7 * self.unit)), round(float(y + 1.3 * self.unit)))
            columns = slice(round(float(x - 0.26 * self.unit)), round(float(x + 0.26 * self.unit)))
            lines.append(_line_strength(np.ascontiguousarray(ridges[rows, columns].T)))
            weights.append(float(seen[rows, columns].mean()) + 1e-3)
        return float(np.average(lines, weights=weights))

    def _bridge_strip(self, ridges: Floats) -> Floats:
        """The bridge of the nose; the first axis runs from eye corner to eye corner."""
        return np.ascontiguousarray(ridges[self._top : self._bottom, self._left : self._right].T)

    def _polar(self, side: int, start: int, stop: int) -> tuple[Floats, Floats]:
        """Maps x and y around an eye: the first axis is the angle in degrees clockwise from the image's right, the
        second the radius."""
        angles = np.radians(np.arange(start, stop + 1, 3, dtype=np.float32))[:, None]
        radii = np.arange(RIM_REACH[0] * self.unit, RIM_REACH[1] * self.unit, dtype=np.float32)
        x, y = self._eyes[side]
        return (x + np.cos(angles) * radii).astype(np.float32), (y + np.sin(angles) * radii).astype(np.float32)

    def _outline(self, ridges: Floats) -> Glasses:
        """The lenses inside the strongest ring around each eye, and every line connected to the rings."""
        lenses = np.zeros((self._size, self._size), np.uint8)
        seeds = np.zeros_like(lenses)
        for side in (0, 1):
            map_x, map_y = self._polar(side, 0, 357)
            path = _best_path(cv2.remap(ridges, map_x, map_y, cv2.INTER_LINEAR), 2)
            rows = np.arange(len(path))
            ring = np.round(np.stack([map_x[rows, path], map_y[rows, path]], 1)).astype(np.int32)
            cv2.fillPoly(lenses, [cv2.convexHull(ring)], 1)
            cv2.polylines(seeds, [ring], True, 1, 3)
        bridge = _best_path(self._bridge_strip(ridges), 1)
        seeds[self._top + bridge, self._left + np.arange(len(bridge))] = 1
        lines = ((ridges > FRAME_CONTRAST) & (self._zone() > 0)).astype(np.uint8)
        lines = np.asarray(cv2.dilate(lines, np.ones((3, 3), np.uint8)), np.uint8)
        _, labels = cv2.connectedComponents(lines, connectivity=8)
        joined = np.unique(labels[(seeds > 0) & (lines > 0)])
        frame = np.isin(labels, joined[joined > 0]) | (seeds > 0)
        margin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
        mask = cv2.dilate((frame | (lenses > 0)).astype(np.uint8), margin) > 0
        # Shadows and reflections run along a frame, so its mask is widened.
        wide = cv2.dilate(frame.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        return Glasses(mask, wide)

    def _zone(self) -> Floats:
        """The parts where frames can be: around the eyes, and in the bands to the temples where the arms are."""
        zone = np.zeros((self._size, self._size), np.float32)
        for side, outer in ((0, 0), (1, self._size - 1)):
            x, y = (round(float(value)) for value in self._eyes[side])
            cv2.circle(zone, (x, y), round(0.7 * self.unit), 1.0, -1)
            low, high = round(y - 0.35 * self.unit), round(y + 0.45 * self.unit)
            cv2.rectangle(zone, (min(x, outer), low), (max(x, outer), high), 1.0, -1)
        return zone


def line_contrast(luma: Floats, width: int) -> tuple[Floats, Floats]:
    """How much darker, and how much lighter, narrow lines are than both of their sides, in logarithms of luma.

    ``width``: the widest line in texels. Computed by morphological closing and opening (black and white top-hat), and
    clipped to 0..0.5, so that one black spot does not outweigh an entire line.
    """
    tone = blur(np.log(luma + 12), 0.8)
    light = tone - np.asarray(cv2.morphologyEx(tone, cv2.MORPH_OPEN, _disc(width)), np.float32)
    return _black_top_hat(tone, width), np.minimum(light, STRONGEST)


def find_lines(face: Floats, width: int) -> Floats:
    """The contrast of narrow lines against both of their sides in luma or in colour: float32 [n,n].

    The colour is red minus blue, divided by luma: thin metal is as light as skin, but grey where skin is red.
    """
    luma = np.asarray(cv2.transform(face, BGR_TO_YCC[:1]), np.float32)
    red = blur((face[..., 2] - face[..., 0]) / (luma + 12), 0.8)
    return np.asarray(np.hypot(np.maximum(*line_contrast(luma, width)), _black_top_hat(red, width)), np.float32)


def _black_top_hat(values: Floats, width: int) -> Floats:
    closed = np.asarray(cv2.morphologyEx(values, cv2.MORPH_CLOSE, _disc(width)), np.float32)
    return np.asarray(np.minimum(closed - values, STRONGEST), np.float32)


def _disc(width: int) -> Bytes:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width | 1, width | 1)), np.uint8)


def _line_strength(strip: npt.NDArray[np.generic]) -> float:
    """The strength of the best line along the first axis: the contrast that four fifths of it exceed."""
    values = np.asarray(strip, np.float32)
    path = _best_path(values, 2)
    return float(np.percentile(values[np.arange(len(path)), path], 20))


def _best_path(strip: npt.NDArray[np.generic], reach: int) -> npt.NDArray[np.int64]:
    """The strongest path along the first axis that moves at most ``reach`` texels a step (dynamic programming)."""
    values = np.asarray(strip, np.float32)
    width = values.shape[1]
    shifts = np.arange(-reach, reach + 1)
    # A small penalty for moving keeps the path from following noise.
    penalty = (0.01 * np.abs(shifts)).astype(np.float32)[:, None]
    padded = np.full(width + 2 * reach, -1e3, np.float32)
    neighbours = np.lib.stride_tricks.sliding_window_view(padded, width)
    total, origins, columns = values[0], [], np.arange(width)
    for row in values[1:]:
        padded[reach : reach + width] = total
        offers = neighbours - penalty
        choice = offers.argmax(0)
        origins.append(shifts[choice])
        total = offers[choice, columns] + row
    path = [int(total.argmax())]
    for origin in reversed(origins):
        path.append(min(max(path[-1] + int(origin[path[-1]]), 0), width - 1))
    return np.array(path[::-1], np.int64)


def soften(mask: Bools, width: float) -> Floats:
    """1 in ``mask``, falling to 0 over ``width`` texels outside of it."""
    distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return smooth_step(1 - np.asarray(distance, np.float32) / width)
