"""Move the pixels of a window with a mesh, and the surroundings of the mesh smoothly with it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import blur, enlarge, smooth_step
from facefusion.faces.face import Bools, Floats
from facefusion.faces.raster import mesh_coordinates, paint_triangles
from facefusion.faces.topology import MeshTopology
from facefusion.media.frame import Window

Pixels = npt.NDArray[np.uint8]

# Largest side at which the mesh is rasterised; the mouth itself is rasterised at the size of the frame.
RASTER_SIZE = 160
# Around the mesh, the motion of its outline fades over this distance, in eye distances.
REACH = 0.70
# Mouths of at least this many pixels, with their surroundings, are not rendered twice as fine as the frame.
LARGEST_FINE = 40_000
# The motion of a triangle whose area changes by more than this factor is that of its surroundings.
MOST_STRETCHING = 2.0
# The window extends this far beyond the vertices that move, in eye distances, so that nothing moves at its edge.
MARGIN = 0.74


def moved_window(before: Floats, after: Floats, unit: float) -> Window:
    """Return the window around the vertices that move between two meshes [468,2+], not clipped; ``unit`` in pixels."""
    moves = np.abs(after[:, :2] - before[:, :2]).max(1) > 0.02
    if not moves.any():
        return Window(0, 0, 0, 0)
    points = np.vstack([before[moves, :2], after[moves, :2]])
    x0, y0 = np.floor(points.min(0) - MARGIN * unit).astype(int).tolist()
    x1, y1 = np.ceil(points.max(0) + MARGIN * unit).astype(int).tolist()
    return Window(x0, y0, x1, y1)


class MotionField:
    """The offset from each pixel of a window to the pixel that moved there, float32 [h,w,2]."""

    def __init__(self, topology: MeshTopology, before: Floats, after: Floats, window: Window, unit: float) -> None:
        width, height = window.width, window.height
        scale = min(1.0, RASTER_SIZE / max(width, height))
        small_width, small_height = max(round(width * scale), 1), max(round(height * scale), 1)
        corner = np.array([window.x0, window.y0], np.float32)
        points = ((after[:, :2] - corner) * scale + (scale - 1) / 2).astype(np.float32)
        index = paint_triangles(topology, points, after[:, 2], small_width, small_height)
        moved = (before[:, :2] - after[:, :2]).astype(np.float32)
        stretched = _stretched(topology, before, after)
        covered = ((index >= 0) & ~stretched[index]).astype(np.uint8)
        x, y = mesh_coordinates(topology, index, points, moved)
        offset = _bounded(x, y, covered, moved)
        offset = _continue_outside(offset, covered, unit * scale)
        self.offset = enlarge(offset, width, height) if scale < 1 else offset


class ExactField:
    """Exact offsets around the mouth or an eye, up to twice as fine as the frame, for smooth edges.

    place: the rows and columns of the field in the window. ``part``: bool [898], the triangles that are moved. Pixels
    in ``hole``, a ring of vertices around triangles that are not moved, continue the nearest pixel around it, so that
    no pixel of the old inside of a mouth remains at the edge of its lips.
    """

    def __init__(
        self,
        topology: MeshTopology,
        part: Bools,
        hole: Sequence[int],
        meshes: tuple[Floats, Floats],
        place: Window,
        fine: int = 1,
    ) -> None:
        """``meshes``: float32 [468,3] before and after the motion, in pixels of the window. ``fine``: 1 or 2."""
        before, after = meshes
        self.place = place
        self._fine = fine = fine if place.width * place.height < LARGEST_FINE else 1
        points = ((after[:, :2] - [place.x0, place.y0] + 0.5) * fine - 0.5).astype(np.float32)
        index = paint_triangles(topology, points, after[:, 2], place.width * fine, place.height * fine, part)
        moved = (before[:, :2] - after[:, :2]).astype(np.float32)
        x, y = mesh_coordinates(topology, index, points, moved)
        covered = index >= 0
        offset = _bounded(x, y, covered, moved)
        self._topology, self._index, self._points = topology, index, points
        self._offset = offset
        self._known = covered
        if hole:
            self._known = covered | self._fill(points[list(hole)])

    def _fill(self, ring: Floats) -> Bools:
        """Continue the offsets into a ring [n,2]; return where."""
        hole = np.zeros(self._known.shape, np.uint8)
        cv2.fillPoly(hole, [np.round(ring).astype(np.int32)], 1)
        inside = (cv2.dilate(hole, np.ones((3, 3), np.uint8)) > 0) & ~self._known
        if inside.any() and self._known.any():
            rows, columns = _nearest(self._known)
            row, column = np.nonzero(inside)
            near = rows[inside], columns[inside]
            step = np.stack([near[1] - column, near[0] - row], 1) / np.float32(self._fine)
            self._offset[inside] = self._offset[near] + step
        return inside

    def look_up(self, texels: Floats, texture: Pixels, opacity: Floats) -> tuple[Pixels, Floats]:
        """Return a texture [n,m,3] and an opacity [n,m] at the pixels of the field; 0 outside the mesh and in the hole.

        texels: float32 [468,2], the vertices in pixels of the texture.
        """
        u, v = mesh_coordinates(self._topology, self._index, self._points, texels)
        colour, shown = (cv2.remap(each, u, v, cv2.INTER_LINEAR) for each in (texture, opacity))
        if self._fine > 1:
            size = (self.place.width, self.place.height)
            # Points outside the mesh are black, so the mean colour is divided by the share of the mesh.
            share = cv2.resize(self._known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
            colour, shown = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (colour, shown))
            colour = np.clip(colour / np.maximum(share, 0.25)[..., None], 0, 255)
        return np.asarray(colour, np.uint8), np.asarray(shown, np.float32)

    def refine(self, pixels: Pixels, moved: Pixels, coarse: Floats) -> None:
        """Replace the pixels of the field in ``moved`` by those of ``pixels``, both uint8 [h,w,3] of the window.

        ``coarse``: the offsets [h,w,2] of a MotionField, beside the triangles.
        """
        x0, y0, x1, y1 = self.place
        fine, (height, width) = self._fine, self._known.shape
        offset = enlarge(coarse[y0:y1, x0:x1], width, height)
        np.copyto(offset, self._offset, where=self._known[..., None])
        x = offset[..., 0] + ((np.arange(width, dtype=np.float32) + 0.5) / fine - 0.5 + x0)[None]
        y = offset[..., 1] + ((np.arange(height, dtype=np.float32) + 0.5) / fine - 0.5 + y0)[:, None]
        mouth = cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if fine > 1:
            mouth = cv2.resize(mouth, (width // fine, height // fine), interpolation=cv2.INTER_AREA)
        known = cv2.resize(
            self._known.astype(np.uint8), (width // fine, height // fine), interpolation=cv2.INTER_NEAREST
        )
        inside = cv2.erode(known, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
        moved[y0:y1, x0:x1][inside] = mouth[inside]


def _stretched(topology: MeshTopology, before: Floats, after: Floats) -> Bools:
    """Return the triangles [898] whose area in the image changes a lot; at the outline they would leave spikes."""
    areas = [_areas(mesh[topology.triangles, :2]) for mesh in (before, after)]
    ratio = areas[1] / np.where(areas[0] == 0, np.inf, areas[0])
    return np.asarray((ratio < 1 / MOST_STRETCHING) | (ratio > MOST_STRETCHING))


def _areas(corners: Floats) -> Floats:
    """Return twice the signed areas of triangles [n,3,2]."""
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0], np.float32)


def _nearest(covered: Bools) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the row and the column of the nearest covered pixel of each pixel: two int64 [h,w]."""
    _, label = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Labels count the covered pixels from 1, in the order of the rows.
    rows, columns = np.nonzero(covered)
    place = np.maximum(label, 1) - 1
    return rows[place], columns[place]


def moved_pixels(pixels: Pixels, offset: Floats) -> Pixels:
    """Return uint8 pixels [h,w,3], each read at its own position plus ``offset`` [h,w,2]."""
    height, width = offset.shape[:2]
    x = offset[..., 0] + np.arange(width, dtype=np.float32)[None]
    y = offset[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _bounded(x: Floats, y: Floats, covered: Bools | Pixels, moved: Floats) -> Floats:
    """Offsets [h,w,2], 0 where not ``covered``; slivers of triangles cannot exceed those of the vertices [468,2]."""
    low, high = moved.min(0), moved.max(0)
    offset = np.dstack([np.clip(x, low[0], high[0]), np.clip(y, low[1], high[1])])
    return np.asarray(offset * covered.astype(np.bool_)[..., None], np.float32)


def _continue_outside(offset: Floats, covered: Pixels, unit: float) -> Floats:
    """Continue offsets [h,w,2] of ``covered`` pixels outwards; they fade over REACH."""
    if covered.all() or not covered.any():
        return offset
    distance, label = cv2.distanceTransformWithLabels(1 - covered, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # Labels count the covered pixels from 1, in the order of the rows.
    nearest = offset[covered > 0][np.maximum(label, 1) - 1]
    smooth = blur(nearest, max(0.12 * unit, 0.8), cv2.BORDER_REPLICATE)
    share = np.clip(distance / max(0.15 * unit, 1.0), 0, 1)[..., None].astype(np.float32)
    fade = 1 - smooth_step(np.asarray(distance / (REACH * unit), np.float32))
    return np.asarray((nearest + (smooth - nearest) * share) * fade[..., None], np.float32)
