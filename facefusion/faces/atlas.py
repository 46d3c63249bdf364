"""The unrolled face: pictures of fixed size in which every face has the same layout."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.face import Floats
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

Bytes = npt.NDArray[np.uint8]
# Fixed-point bits of OpenCV's polygon coordinates.
SHIFT = 4


def smooth_step(values: Floats) -> Floats:
    """3x^2 - 2x^3 of values clipped to 0..1."""
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)


def shrink(image: Floats, size: int) -> Floats:
    """A square image made smaller by area; itself when it has that size."""
    if len(image) == size:
        return image
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.float32)


def enlarge(image: Floats, width: int, height: int) -> Floats:
    """An image made larger by linear interpolation."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def pyramid(image: Bytes, levels: int) -> tuple[Bytes, ...]:
    """A picture and what is left of it at each halving, Gaussian filtered (Burt and Adelson 1983)."""
    parts = [image]
    for _ in range(levels - 1):
        parts.append(np.asarray(cv2.pyrDown(parts[-1]), np.uint8))
    return tuple(parts)


def blur(image: Floats, sigma: float, border: int = cv2.BORDER_REFLECT_101) -> Floats:
    """Gaussian blur with the kernel size that OpenCV takes for ``sigma`` pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


class AtlasGrid:
    """Which triangle covers each texel of a square atlas, and with which weights of its corners."""

    def __init__(self, topology: MeshTopology, size: int) -> None:
        self.size = size
        index = np.full((size, size), -1, np.int32)
        places = topology.atlas * size - 0.5
        fixed = np.round(places * (1 << SHIFT)).astype(np.int32)
        for number, triangle in enumerate(topology.triangles):
            cv2.fillConvexPoly(index, fixed[triangle], number, lineType=8, shift=SHIFT)
        self.triangle = index
        self.inside = (index >= 0).astype(np.float32)
        self._flat = np.flatnonzero(index.ravel() >= 0)
        corners = topology.triangles[index.ravel()[self._flat]]
        rows, columns = np.divmod(self._flat, size)
        weights = _barycentric(places[corners], columns, rows)
        # By corner, each contiguous: three sums of whole columns are fastest.
        self._corners = np.ascontiguousarray(corners.T)
        self._weights = np.ascontiguousarray(weights.T)

    def spread(self, values: Floats) -> Floats:
        """Interpolates vertex values [468] or [468,k] over the atlas: float32 [size,size] or [size,size,k], else 0."""
        table = values.reshape(len(values), -1).astype(np.float32)
        atlas = np.zeros((self.size * self.size, table.shape[1]), np.float32)
        atlas[self._flat] = self._between(table)
        return atlas.reshape((self.size, self.size, *values.shape[1:]))

    def maps(self, landmarks: Floats) -> tuple[Floats, Floats]:
        """Where each texel lies in the frame of landmarks [468,2+]: two float32 [size,size].

        Texels outside the mesh lie in the middle of the face, so that the part of the frame that is touched is small.
        """
        return self._map(landmarks[:, 0]), self._map(landmarks[:, 1])

    def _map(self, values: Floats) -> Floats:
        whole = np.full(self.size * self.size, values.mean(), np.float32)
        whole[self._flat] = self._between(np.ascontiguousarray(values, np.float32))
        return whole.reshape(self.size, self.size)

    def _between(self, values: Floats) -> Floats:
        """Values [468] or [468,k] between the corners, at the texels that are covered."""
        weights = self._weights if values.ndim == 1 else self._weights[..., None]
        parts = [values[corners] * weight for corners, weight in zip(self._corners, weights, strict=True)]
        return np.asarray(parts[0] + parts[1] + parts[2], np.float32)


class AtlasMasks:
    """Fixed regions of the atlas as float32 [size,size] in 0..1.

    ``rim`` is the distance to the outline as a fraction of the atlas. ``skin`` leaves out eyes, brows, lips and the
    rim, ``skin_to_rim`` keeps the rim; ``centre`` is a soft ellipse over nose and cheeks; ``protected`` are the parts
    that differ from skin on every face; ``forehead`` and ``below_forehead`` serve the fringe rule; ``lips`` and
    ``lips_soft`` the lips' own colour, ``lids_image_left`` and ``lids_image_right`` the eyes with their lids,
    ``around_eyes`` both with the brows. The bounds are those of embedded-swap.md sections 3, 5 and 6, moved to this
    layout.
    """

    def __init__(self, topology: MeshTopology, grid: AtlasGrid) -> None:
        self._atlas = topology.atlas
        self._size = size = grid.size
        unit = size / 128
        inside = cv2.copyMakeBorder(grid.inside.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        self.rim = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1] / size, np.float32)
        self.skin_to_rim = self._skin(grid, unit)
        self.skin = self.skin_to_rim * smooth_step(self.rim / 0.05)
        self.centre = blur(self._ellipse((64, 74), (36, 40), unit), 3 * unit)
        self.protected = self._protected(unit)
        v = np.linspace(0, 1, size, dtype=np.float32)[:, None]
        u = np.linspace(0, 1, size, dtype=np.float32)[None]
        brow_top = float(self._atlas[list(BROW_IMAGE_LEFT), 1].min())
        low, high = 0.10, brow_top - 0.005
        self.forehead = ((v > low) & (v < high) & (np.abs(u - 0.5) < 0.30)) * grid.inside
        self.below_forehead = smooth_step((v - (brow_top - 0.055)) / 0.05) * np.ones((1, size), np.float32)
        lips = self.polygon(OUTER_LIPS, round(unit))
        lips[self.polygon(INNER_LIPS, round(unit)) > 0] = 0
        self.lips = lips
        self.lips_soft = blur(self.polygon(OUTER_LIPS, round(2 * unit)), 1.2 * unit)
        self.around_eyes = self._around_eyes(unit)
        self.lids_image_left = self._lids(EYE_IMAGE_LEFT, BROW_IMAGE_LEFT, unit)
        self.lids_image_right = self._lids(EYE_IMAGE_RIGHT, BROW_IMAGE_RIGHT, unit)

    def polygon(self, ring: Sequence[int], grow: int = 0) -> Floats:
        """1 inside a ring of vertices, grown by ``grow`` texels."""
        mask = np.zeros((self._size, self._size), np.uint8)
        points = np.round((self._atlas[list(ring)] * self._size - 0.5) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [points], 1, shift=SHIFT)
        if grow > 0:
            shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
            return np.asarray(cv2.dilate(mask, shape), np.float32)
        return mask.astype(np.float32)

    def _ellipse(self, centre: tuple[int, int], radii: tuple[int, int], unit: float) -> Floats:
        mask = np.zeros((self._size, self._size), np.float32)
        scaled = [round(value * unit) for value in (*centre, *radii)]
        cv2.ellipse(mask, (scaled[0], scaled[1]), (scaled[2], scaled[3]), 0, 0, 360, 1.0, -1)
        return mask

    def central_disc(self) -> Floats:
        """The soft ellipse whose texture is never faded: nose, mouth and inner cheeks."""
        unit = self._size / 128
        return blur(self._ellipse((64, 72), (30, 44), unit), 3 * unit)

    def _around_eyes(self, unit: float) -> Floats:
        mask = np.zeros((self._size, self._size), np.float32)
        for ring, grow in ((EYE_IMAGE_LEFT, 5), (EYE_IMAGE_RIGHT, 5), (BROW_IMAGE_LEFT, 3), (BROW_IMAGE_RIGHT, 3)):
            mask = np.maximum(mask, self.polygon(ring, round(grow * unit)))
        return blur(mask, 1.5 * unit)

    def _lids(self, eye: Sequence[int], brow: Sequence[int], unit: float) -> Floats:
        lids = self.polygon(eye, round(5 * unit)) * (1 - self.polygon(brow, round(unit)))
        return blur(np.asarray(lids, np.float32), 1.5 * unit)

    def _skin(self, grid: AtlasGrid, unit: float) -> Floats:
        mask = grid.inside.copy()
        grown = (
            (EYE_IMAGE_LEFT, 4),
            (EYE_IMAGE_RIGHT, 4),
            (BROW_IMAGE_LEFT, 3),
            (BROW_IMAGE_RIGHT, 3),
            (OUTER_LIPS, 2),
        )
        for ring, grow in grown:
            mask[self.polygon(ring, round(grow * unit)) > 0] = 0
        return mask

    def _protected(self, unit: float) -> Floats:
        mask = np.zeros((self._size, self._size), np.float32)
        grown = (
            (EYE_IMAGE_LEFT, 4),
            (EYE_IMAGE_RIGHT, 4),
            (BROW_IMAGE_LEFT, 2),
            (BROW_IMAGE_RIGHT, 2),
            (OUTER_LIPS, 6),
        )
        for ring, grow in grown:
            mask[self.polygon(ring, round(grow * unit)) > 0] = 1
        hull = cv2.convexHull((self._atlas[list(NOSTRILS)] * self._size).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1.0)
        return blur(np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.float32), 1.5 * unit)


def _barycentric(corners: Floats, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]) -> Floats:
    """Weights [n,3] of triangle corners [n,3,2] at points x, y [n]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
    first = ((b[:, 1] - c[:, 1]) * (x - c[:, 0]) + (c[:, 0] - b[:, 0]) * (y - c[:, 1])) / area
    second = ((c[:, 1] - a[:, 1]) * (x - c[:, 0]) + (a[:, 0] - c[:, 0]) * (y - c[:, 1])) / area
    return np.stack([first, second, 1 - first - second], 1).astype(np.float32)
