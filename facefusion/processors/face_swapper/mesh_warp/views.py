"""Unroll an image of the source into atlas layout, with the visibility of each part of the face.

The method and constants come from embedded-swap.md section 3, with the differences stated here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import AtlasGrid, blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.raster import paint_triangles, visible_triangles
from facefusion.faces.skin import ATLAS_SIZE, to_ycc
from facefusion.faces.topology import MeshTopology, vertex_normals
from facefusion.media.frame import Frame, Window

Bytes = npt.NDArray[np.uint8]

TEXTURE_SIZE = 1024
# Size for geometry and for the choice between views; only colours are looked up at the size of the texture.
CHART_SIZE = 256
# Start and width, as fractions of the face's size, of the band along the outline of a turned head. Texels in this band
# may show the background, because the mesh is not accurate there.
UNSURE_OUTLINE = (0.012, 0.045)


@dataclass(frozen=True, slots=True, eq=False)
class SourceView:
    """An image and the landmarks float32 [468,3] of the source face in it."""

    frame: Frame
    landmarks: Floats


class SourceChart:
    """The static tables for unrolling a source: the atlas at the size of the geometry."""

    def __init__(self, topology: MeshTopology) -> None:
        self.topology = topology
        self.grid = AtlasGrid(topology, CHART_SIZE)
        outside = (self.grid.inside == 0).astype(np.uint8)
        _, labels = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
        within = np.flatnonzero(outside.ravel() == 0)
        texel_of_label = np.zeros(int(labels.max()) + 1, np.int64)
        texel_of_label[labels.ravel()[within]] = within
        self._nearest = texel_of_label[labels]
        framed = cv2.copyMakeBorder(1 - outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        self.rim = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1] / CHART_SIZE, np.float32)

    def maps(self, landmarks: Floats) -> tuple[Floats, Floats]:
        """Return each texel's position in the frame, two float32 [256,256].

        A texel outside the face has the position of the nearest texel of the face.
        """
        both = self.grid.spread(landmarks[:, :2]).reshape(-1, 2)[self._nearest]
        return np.ascontiguousarray(both[..., 0]), np.ascontiguousarray(both[..., 1])


@dataclass(frozen=True, slots=True, eq=False)
class UnrolledView:
    """A view in atlas layout.

    texture: uint8 [1024,1024,3] BGR. chart: the same as float32 [256,256,3]. ycc: float32 [128,128,3]. seen: float32
    [256,256] in 0..1, higher for a texel that faces the camera and is not hidden. normals: float32 [468,3]. extent:
    size of the face in the image, in pixels. sharpness: 0..1, see ``measure_sharpness``.
    """

    texture: Bytes
    chart: Floats
    ycc: Floats
    seen: Floats
    normals: Floats
    extent: float
    sharpness: float


def unroll(view: SourceView, chart: SourceChart) -> UnrolledView:
    """Look up every texel of the face in its image."""
    landmarks = view.landmarks
    map_x, map_y = chart.maps(landmarks)
    extent = float(np.ptp(landmarks[:, :2], axis=0).max())
    texture = _look_up(view.frame, map_x, map_y, landmarks, extent)
    small = np.asarray(cv2.resize(texture, (CHART_SIZE, CHART_SIZE), interpolation=cv2.INTER_AREA), np.float32)
    normals = vertex_normals(chart.topology, landmarks)
    seen = _visibility(chart, landmarks, normals, map_x, map_y) * _within(view.frame, map_x, map_y)
    sharpness = measure_sharpness(view)
    return UnrolledView(texture, small, to_ycc(shrink(small, ATLAS_SIZE)), seen, normals, extent, sharpness)


def measure_sharpness(view: SourceView) -> float:
    """Return the share 0..1 of the possible detail that a face has; sharp images have 0.5 to 0.65.

    Detail is the difference between the image and its box blur of 9 pixels (Crete et al. 2007). A face of more than 256
    pixels is first reduced to 256.
    """
    low, high = view.landmarks[:, :2].min(0), view.landmarks[:, :2].max(0)
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(view.frame.width, view.frame.height)
    if min(window.width, window.height) < 12:
        return 0.0
    scale = 256 / max(window.width, window.height)
    luma = cv2.cvtColor(view.frame.read(window), cv2.COLOR_BGR2GRAY)
    if scale < 1:
        luma = cv2.resize(luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    values = luma.astype(np.float32)
    blurred = []
    for axis, kernel in ((1, (9, 1)), (0, (1, 9))):
        before = np.abs(np.diff(values, axis=axis))
        after = np.abs(np.diff(cv2.blur(values, kernel), axis=axis))
        blurred.append(1 - float(np.maximum(before - after, 0).sum()) / max(float(before.sum()), 1e-3))
    return 1 - max(blurred)


def _look_up(frame: Frame, map_x: Floats, map_y: Floats, landmarks: Floats, extent: float) -> Bytes:
    map_x, map_y = (enlarge(part, TEXTURE_SIZE, TEXTURE_SIZE) for part in (map_x, map_y))
    if extent > TEXTURE_SIZE:
        return frame.sample(map_x, map_y, extent / TEXTURE_SIZE)
    low, high = landmarks[:, :2].min(0) - 4, landmarks[:, :2].max(0) + 5
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
    pixels = frame.read(window)
    local_x, local_y = map_x - window.x0, map_y - window.y0
    looked_up = cv2.remap(pixels, local_x, local_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(looked_up, np.uint8)


def _within(frame: Frame, map_x: Floats, map_y: Floats) -> Floats:
    """Return 1 for texels inside the image."""
    inside = (map_x > 0) & (map_x < frame.width - 1) & (map_y > 0) & (map_y < frame.height - 1)
    return np.asarray(cv2.erode(inside.astype(np.float32), np.ones((5, 5), np.uint8)), np.float32)


def _visibility(chart: SourceChart, landmarks: Floats, normals: Floats, map_x: Floats, map_y: Floats) -> Floats:
    """Return 0..1 per texel: 1 if it faces the camera, is not hidden by the face and not close to the background."""
    grid, topology = chart.grid, chart.topology
    facing = np.clip(grid.spread(smooth_step((-normals[:, 2] - 0.20) / 0.35)), 0, 1)
    unhidden = np.append(visible_triangles(topology, landmarks), 0).astype(np.float32)[grid.triangle]
    low = landmarks[:, :2].min(0)
    scale = 256 / max(float(np.ptp(landmarks[:, :2], axis=0).max()), 1.0)
    points = ((landmarks[:, :2] - low) * scale + 4).astype(np.float32)
    covered = paint_triangles(topology, points, landmarks[:, 2], 264, 264) >= 0
    distance = np.asarray(cv2.distanceTransform(covered.astype(np.uint8), cv2.DIST_L2, 3), np.float32) / 256
    local_x, local_y = ((part - start) * np.float32(scale) + 4 for part, start in ((map_x, low[0]), (map_y, low[1])))
    depth = cv2.remap(distance, local_x.astype(np.float32), local_y.astype(np.float32), cv2.INTER_LINEAR)
    start, width = UNSURE_OUTLINE
    # Where the outline is the rim of the atlas, as in a frontal face, the head continues behind it.
    sure = np.maximum(smooth_step((depth - start) / width), 1 - smooth_step((chart.rim - 0.03) / 0.06))
    return np.asarray(facing * blur(unhidden, 1) * sure, np.float32)
