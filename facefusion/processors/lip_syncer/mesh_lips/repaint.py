"""The skin around a mouth from the clip's own frame with the most closed lips, for frames whose own mouth is open."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import blur
from facefusion.faces.face import Floats
from facefusion.faces.mouth import MOUTH_AREA, MOUTH_SIZE
from facefusion.faces.topology import INNER_LIPS, MeshTopology

Pixels = npt.NDArray[np.uint8]

# The repainted ellipse in the atlas: its centre below the middle of the lips, its radii and its soft edge.
BELOW, RADII, EDGE = 0.035, (0.165, 0.115), 0.022
# The first rows of texels show the cheeks beside the nose.
CHEEK_ROWS = 12
# The gain between the texture and the frame is limited.
GAINS = (0.4, 2.5)


class MouthAtlas:
    """Fixed masks in the layout of ``faces.mouth.MOUTH_AREA``; immutable.

    texels: float32 [468,2], the vertices in this layout. opacity: float32 [88,112], the repainted part. compared: where
    a frame is compared with the texture: around the open mouth, not in it. cheeks: beside the nose.
    """

    def __init__(self, topology: MeshTopology) -> None:
        left, top, width, _ = MOUTH_AREA
        scale = MOUTH_SIZE[0] / width
        self.texels = ((topology.atlas - [left, top]) * scale - 0.5).astype(np.float32)
        lips = self.texels[list(INNER_LIPS)].mean(0)
        shape = (MOUTH_SIZE[1], MOUTH_SIZE[0])
        ellipse = np.zeros(shape, np.float32)
        centre = (round(float(lips[0])), round(float(lips[1]) + BELOW * scale))
        cv2.ellipse(ellipse, centre, (round(RADII[0] * scale), round(RADII[1] * scale)), 0, 0, 360, 1.0, -1)
        self.opacity = blur(ellipse, EDGE * scale)
        inside = np.zeros(shape, np.uint8)
        cv2.fillPoly(inside, [np.round(self.texels[list(INNER_LIPS)]).astype(np.int32)], 1)
        self.compared = self.opacity * (1 - cv2.dilate(inside, np.ones((5, 5), np.uint8)))
        self.cheeks = np.zeros(shape, np.float32)
        self.cheeks[:CHEEK_ROWS] = 1


def repaint(pixels: Pixels, closed: Pixels, opacity: Floats) -> None:
    """Blend the closed mouth into ``pixels``, both uint8 [h,w,3], by ``opacity`` [h,w], in the light of ``pixels``."""
    edge = opacity * (1 - opacity)
    total = float(edge.sum())
    if total < 1:
        return
    before, new = pixels.astype(np.float32), closed.astype(np.float32)
    light = ((before * edge[..., None]).sum((0, 1)) + total) / ((new * edge[..., None]).sum((0, 1)) + total)
    new *= np.clip(light, *GAINS)
    pixels[:] = np.clip(before + (new - before) * opacity[..., None] + 0.5, 0, 255).astype(np.uint8)
