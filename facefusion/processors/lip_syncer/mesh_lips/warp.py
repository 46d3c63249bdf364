"""Move the pixels of a window with a mesh, and the surroundings of the mesh smoothly with it."""

from __future__ import annotations

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
REACH = 0.75
# The window extends this far beyond the vertices that move, in eye distances.
MARGIN = 0.55


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
        covered = (index >= 0).astype(np.uint8)
        x, y = mesh_coordinates(topology, index, points, moved)
        offset = _bounded(x, y, covered, moved)
        offset = _continue_outside(offset, covered, unit * scale)
        self.offset = enlarge(offset, width, height) if scale < 1 else offset


    def refine(self, mouth: MouthField) -> None:
        """Replace the offsets around the mouth."""
        x0, y0, x1, y1 = mouth.place
        part = self.offset[y0:y1, x0:x1]
        part[mouth.covered] = mouth.offset[mouth.covered]


class MouthField:
    """Exact offsets around the mouth, at the size of the frame.

    place: the rows and columns of the field in the window: x0, y0, x1, y1. offset: float32 [h,w,2]; covered: bool [h,w].
    """

    def __init__(
        self, topology: MeshTopology, part: Bools, before: Floats, after: Floats, window: Window, place: Window
    ) -> None:
        corner = np.array([window.x0 + place.x0, window.y0 + place.y0], np.float32)
        points = (after[:, :2] - corner).astype(np.float32)
        index = paint_triangles(topology, points, after[:, 2], place.width, place.height, part)
        moved = (before[:, :2] - after[:, :2]).astype(np.float32)
        x, y = mesh_coordinates(topology, index, points, moved)
        self.place = place
        self.covered = index >= 0
        self.offset = _bounded(x, y, self.covered, moved)


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
    return np.asarray(offset * (np.asarray(covered) > 0)[..., None], np.float32)


def _continue_outside(offset: Floats, covered: Pixels, unit: float) -> Floats:
    """Continue offsets [h,w,2] of ``covered`` pixels outwards; they fade over REACH."""
    if covered.all() or not covered.any():
        return offset
    distance, label = cv2.distanceTransformWithLabels(1 - covered, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    # Labels count the covered pixels from 1, in the order of the rows.
    nearest = offset[covered > 0][np.maximum(label, 1) - 1]
    smooth = blur(nearest, max(0.12 * unit, 0.8), cv2.BORDER_REPLICATE)
    share = np.clip(distance / max(0.15 * unit, 1.0), 0, 1)[..., None].astype(np.float32)
    fade = 1 - smooth_step(distance / (REACH * unit))
    return np.asarray((nearest + (smooth - nearest) * share) * fade[..., None], np.float32)
