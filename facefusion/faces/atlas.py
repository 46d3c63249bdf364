"""The atlas: the unrolled face, an image of fixed size in which every face has the same layout."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Bytes, Floats, Ints
from facefusion.faces.topology import (
    BROW_IMAGE_LEFT,
    BROW_IMAGE_RIGHT,
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    NOSTRILS,
    OUTER_LIPS,
    MeshTopology,
)

# Fixed-point bits of OpenCV's polygon coordinates.
SHIFT = 4


def smooth_step(values: Floats) -> Floats:
    """3x^2 - 2x^3 of values clipped to 0..1."""
    clipped = np.minimum(np.maximum(values, 0), 1)
    steps = np.asarray(clipped * -2, np.float32)
    steps += 3
    steps *= clipped
    steps *= clipped
    return steps


def smooth_number(value: float) -> float:
    """``smooth_step`` of a number."""
    clipped = min(max(value, 0.0), 1.0)
    return clipped * clipped * (3 - 2 * clipped)


def median(values: npt.NDArray[np.float32]) -> float:
    """The median of a vector that is not empty, as ``numpy.median`` computes it, in a fraction of its time."""
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    ordered = np.partition(values, (middle - 1, middle))
    return float(ordered[middle - 1] + ordered[middle]) / 2


def quantile(ordered: npt.NDArray[np.float32], share: float) -> float:
    """The linear quantile of a sorted vector that is not empty, as ``numpy.quantile`` computes it."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (place - below))


def shrink(image: Floats, size: int) -> Floats:
    """Shrink a square image to ``size`` by area interpolation; return it unchanged if it has that size."""
    if len(image) == size:
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def enlarge(image: Floats, width: int, height: int) -> Floats:
    """Enlarge an image by linear interpolation."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def pyramid(image: Bytes, levels: int) -> tuple[Bytes, ...]:
    """The Gaussian pyramid of an image (Burt and Adelson 1983), the image itself first."""
    parts = [image]
    for _ in range(levels - 1):
        parts.append(np.asarray(cv2.pyrDown(parts[-1]), np.uint8))
    return tuple(parts)


def blur(image: Floats, sigma: float, border: int = cv2.BORDER_REFLECT_101) -> Floats:
    """Gaussian blur with the kernel size that OpenCV chooses for ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


def fixed_point(points: Floats) -> Ints:
    """Pixel coordinates as OpenCV draws them, with SHIFT fractional bits."""
    return np.asarray(np.round(points * (1 << SHIFT)), np.int32)


class AtlasGrid:
    """The triangle at each texel of a square atlas, and the weights of its corners."""

    def __init__(self, topology: MeshTopology, size: int) -> None:
        self.size = size
        index = np.full((size, size), -1, np.int32)
        texels = topology.texels(size)
        fixed = fixed_point(texels)
        for number, triangle in enumerate(topology.triangles):
            cv2.fillConvexPoly(index, fixed[triangle], number, lineType=8, shift=SHIFT)
        self.triangle = index
        self.inside = (index >= 0).astype(np.float32)
        self._flat = np.flatnonzero(index.ravel() >= 0)
        corners = topology.triangles[index.ravel()[self._flat]]
        rows, columns = np.divmod(self._flat, size)
        weights = _barycentric(texels[corners], columns, rows)
        # One contiguous row per corner, because adding three entire rows is fastest.
        self._corners = np.ascontiguousarray(corners.T)
        self._weights = np.ascontiguousarray(weights.T)

    def spread(self, values: Floats) -> Floats:
        """Interpolate vertex values [468] or [468,k] over the atlas: float32 [size,size] or [size,size,k].

        Texels outside the mesh are 0.
        """
        atlas = np.zeros((self.size * self.size, *values.shape[1:]), np.float32)
        atlas[self._flat] = self._interpolate(values.astype(np.float32))
        return atlas.reshape((self.size, self.size, *values.shape[1:]))

    def maps(self, landmarks: Floats) -> tuple[Floats, Floats]:
        """The x and y of each texel in the frame of landmarks [468,2+]: two float32 [size,size].

        Texels outside the mesh map to the middle of the face, which keeps the sampled part of the frame small.
        """
        # As complex numbers, both coordinates are interpolated at once.
        points = np.ascontiguousarray(landmarks[:, :2], np.float32).view(np.complex64)[:, 0]
        atlas = np.full(self.size * self.size, points.mean(), np.complex64)
        parts = [points[corners] * weight for corners, weight in zip(self._corners, self._weights, strict=True)]
        parts[0] += parts[1]
        parts[0] += parts[2]
        atlas[self._flat] = parts[0]
        maps = atlas.reshape(self.size, self.size)
        return np.ascontiguousarray(maps.real), np.ascontiguousarray(maps.imag)

    def _interpolate(self, values: Floats) -> Floats:
        """Values [468] or [468,k] interpolated at the covered texels."""
        weights = self._weights if values.ndim == 1 else self._weights[..., None]
        parts = [values[corners] * weight for corners, weight in zip(self._corners, weights, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2], np.float32)


class AtlasMasks:
    """Fixed regions of the atlas as float32 [size,size] in 0..1.

    ``rim``: distance to the outline as a fraction of the atlas. ``skin``: the face without eyes, brows, lips and rim;
    ``skin_to_rim``: the same, including the rim. ``centre``: a soft ellipse over nose and cheeks. ``protected``: the
    parts that differ from skin on every face. ``forehead`` and ``below_forehead``: for the fringe rule. ``lips`` and
    ``lips_soft``: for the colour of the lips. ``lids_image_left`` and ``lids_image_right``: the eyes with their lids.
    ``around_eyes``: both eyes with the brows. The bounds are those of embedded-swap.md sections 3, 5 and 6, converted
    to this layout.
    """

    def __init__(self, topology: MeshTopology, grid: AtlasGrid) -> None:
        self._texels = topology.texels(grid.size)
        self._size = size = grid.size
        self._unit = unit = size / 128
        self.rim = rim_distance(grid.inside)
        self.skin_to_rim = grid.inside * (1 - self._features(eyes=4, brows=3, lips=2))
        self.skin = self.skin_to_rim * smooth_step(self.rim / 0.05)
        self.centre = blur(self._ellipse((64, 74), (36, 40)), 3 * unit)
        self.protected = self._protected(topology)
        v = np.linspace(0, 1, size, dtype=np.float32)[:, None]
        u = np.linspace(0, 1, size, dtype=np.float32)[None]
        brow_top = float(topology.atlas[list(BROW_IMAGE_LEFT), 1].min())
        low, high = 0.10, brow_top - 0.005
        self.forehead = ((v > low) & (v < high) & (np.abs(u - 0.5) < 0.30)) * grid.inside
        self.below_forehead = smooth_step((v - (brow_top - 0.055)) / 0.05) * np.ones((1, size), np.float32)
        self.lips = self.polygon(OUTER_LIPS, round(unit))
        self.lips[self.polygon(INNER_LIPS, round(unit)) > 0] = 0
        self.lips_soft = blur(self.polygon(OUTER_LIPS, round(2 * unit)), 1.2 * unit)
        self.around_eyes = blur(self._features(eyes=5, brows=3), 1.5 * unit)
        self.lids_image_left = self._lids(EYE_IMAGE_LEFT, BROW_IMAGE_LEFT)
        self.lids_image_right = self._lids(EYE_IMAGE_RIGHT, BROW_IMAGE_RIGHT)

    def polygon(self, ring: Sequence[int], grow: int = 0) -> Floats:
        """1 inside a ring of vertices, dilated by ``grow`` texels."""
        return ring_mask(self._texels, self._size, ring, grow)

    def central_disc(self) -> Floats:
        """The soft ellipse whose texture is never faded: nose, mouth and inner cheeks."""
        return blur(self._ellipse((64, 72), (30, 44)), 3 * self._unit)

    def _ellipse(self, centre: tuple[int, int], radii: tuple[int, int]) -> Floats:
        mask = np.zeros((self._size, self._size), np.float32)
        x, y, width, height = (round(value * self._unit) for value in (*centre, *radii))
        cv2.ellipse(mask, (x, y), (width, height), 0, 0, 360, 1.0, -1)
        return mask

    def _features(self, eyes: int, brows: int, lips: int | None = None) -> Floats:
        """1 in eyes, brows and lips, each dilated by the given number of 128ths of the atlas."""
        rings = [(EYE_IMAGE_LEFT, eyes), (EYE_IMAGE_RIGHT, eyes), (BROW_IMAGE_LEFT, brows), (BROW_IMAGE_RIGHT, brows)]
        if lips is not None:
            rings.append((OUTER_LIPS, lips))
        masks = [self.polygon(ring, round(grow * self._unit)) for ring, grow in rings]
        return np.asarray(np.max(masks, axis=0), np.float32)

    def _lids(self, eye: Sequence[int], brow: Sequence[int]) -> Floats:
        lids = self.polygon(eye, round(5 * self._unit)) * (1 - self.polygon(brow, round(self._unit)))
        return blur(np.asarray(lids, np.float32), 1.5 * self._unit)

    def _protected(self, topology: MeshTopology) -> Floats:
        mask = self._features(eyes=4, brows=2, lips=6)
        hull = cv2.convexHull((topology.atlas[list(NOSTRILS)] * self._size).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1.0)
        return blur(np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.float32), 1.5 * self._unit)


def rim_distance(inside: Floats) -> Floats:
    """The distance of each texel to the outline of ``inside`` [size,size], as a fraction of the atlas."""
    bordered = cv2.copyMakeBorder(inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.distanceTransform(bordered, cv2.DIST_L2, 5)[1:-1, 1:-1] / len(inside), np.float32)


def ring_mask(texels: Floats, size: int, ring: Sequence[int], grow: int = 0) -> Floats:
    """1 inside a ring of vertices at ``texels`` [468,2] of an atlas of this size, dilated by ``grow`` texels."""
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [fixed_point(texels[list(ring)])], 1, shift=SHIFT)
    if grow > 0:
        shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        return np.asarray(cv2.dilate(mask, shape), np.float32)
    return mask.astype(np.float32)


def covered_texels(topology: MeshTopology, size: int) -> Floats:
    """1 where a triangle covers the atlas, else 0: ``AtlasGrid.inside`` alone."""
    mask = np.zeros((size, size), np.uint8)
    fixed = fixed_point(topology.texels(size))
    for triangle in topology.triangles:
        cv2.fillConvexPoly(mask, fixed[triangle], 1, lineType=8, shift=SHIFT)
    return mask.astype(np.float32)


def _barycentric(corners: Floats, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Floats:
    """Weights [n,3] of triangle corners [n,3,2] at points x, y [n]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    first = ((b[:, 1] - c[:, 1]) * (x - c[:, 0]) + (c[:, 0] - b[:, 0]) * (y - c[:, 1])) / area
    second = ((c[:, 1] - a[:, 1]) * (x - c[:, 0]) + (a[:, 0] - c[:, 0]) * (y - c[:, 1])) / area
    return np.stack([first, second, 1 - first - second], 1).astype(np.float32)
