"""Opacity of the source per texel of the atlas: a fixed part per run and a moving part per frame.

The eyes and the open mouth keep the target's own pixels, so that gaze, blinks and teeth are preserved.
"""

from __future__ import annotations

import numpy as np

from facefusion.faces.atlas import (
    AtlasGrid,
    blur,
    covered_texels,
    enlarge,
    pyramid,
    rim_distance,
    ring_mask,
    smooth_step,
)
from facefusion.faces.face import Floats
from facefusion.faces.masks.mesh_masks import edge_width, mask_atlas, uses_occlusion
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter, SkinTraits
from facefusion.faces.topology import EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT, INNER_LIPS, vertex_normals
from facefusion.processors.face_swapper.mesh_warp.source import SourceTexture

FIXED_SIZE = 512
LEVELS = 4
VISIBLE_SIZE = 32
# Opacity of a fully turned face. At this value, the features still change, but the texture does not look pasted on.
MIN_TURNED = 0.75
# Share of the target in the lids of a closed eye.
CLOSED_EYE = 0.6
# Skin stays unchanged if the component of its normal towards the camera is below EDGE_ON. It is fully swapped from
# EDGE_ON + EDGE_ON_WIDTH on, because a source texel is stretched over many pixels at the edge.
EDGE_ON = 0.1
EDGE_ON_WIDTH = 0.4


class Opacity:
    """The opacity of one source; immutable."""

    def __init__(self, source: SourceTexture, meter: SkinMeter, options: FaceMaskOptions) -> None:
        self._meter = meter
        self._source = source
        self.sees_occlusion = uses_occlusion(options)
        self._grid = AtlasGrid(meter.topology, VISIBLE_SIZE)
        self.edge = edge_width(options)
        fixed = _fixed_opacity(meter, self.edge) * mask_atlas(options, meter.topology, FIXED_SIZE)
        # There is one level for each halving of the face's size, because eyes of a few pixels would alias.
        self.fixed = pyramid(np.round(255 * fixed).astype(np.uint8), LEVELS)

    def moving(self, landmarks: Floats, visibility: Floats, traits: SkinTraits, turned: float) -> Floats:
        """Return the moving part for a frame: float32 [128,128].

        visibility: float32 [64,64]. turned: 0..1 as in ``Relighter.relight``.
        """
        opacity = self._source.opacity
        clear = self._source.traits.forehead
        if self.sees_occlusion:
            opacity = opacity * enlarge(visibility, ATLAS_SIZE, ATLAS_SIZE)
            clear = min(clear, traits.forehead)
        # If the source or the target has a fringe, only the face below the upper edge of the brows is swapped.
        bare = float(smooth_step(np.array([(clear - 0.5) / 0.3], np.float32))[0])
        if bare < 0.99:
            opacity = opacity * (bare + (1 - bare) * self._meter.masks.below_forehead)
        masks = self._meter.masks
        # Around a closed eye the source's open lids would appear next to those of the target.
        left = (1 - traits.eye_image_left) * masks.lids_image_left
        closed = left + (1 - traits.eye_image_right) * masks.lids_image_right
        opacity = opacity * (1 - np.float32(CLOSED_EYE) * closed)
        return opacity * self._facing(landmarks) * np.float32(1 - (1 - MIN_TURNED) * turned)

    def _facing(self, landmarks: Floats) -> Floats:
        """Return opacity that fades skin seen edge-on: float32 [128,128]."""
        normals = vertex_normals(self._meter.topology, landmarks)
        # Triangles under the nose that are narrower than a texel extrapolate far beyond the values of their corners.
        facing = np.clip(self._grid.spread(smooth_step((-normals[:, 2] - EDGE_ON) / EDGE_ON_WIDTH)), 0, 1)
        return enlarge(blur(facing, 1.0), ATLAS_SIZE, ATLAS_SIZE)


def _fixed_opacity(meter: SkinMeter, edge: float) -> Floats:
    """Return float32 [512,512]: 1 on skin, falling to 0 at the outline, in the eyes and in the open mouth."""
    topology = meter.topology
    rim, texels = rim_distance(covered_texels(topology, FIXED_SIZE)), topology.texels(FIXED_SIZE)
    v = np.linspace(0, 1, FIXED_SIZE, dtype=np.float32)[:, None]
    # The forehead fades over a wider band, because hair lines differ most.
    width = np.where(v < 0.35, 0.10, 0.05).astype(np.float32) * np.float32(edge)
    outline = smooth_step((rim - 0.012) / width)
    unit = 0.004 * FIXED_SIZE
    eyes = np.maximum(*(ring_mask(texels, FIXED_SIZE, ring, round(unit)) for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT)))
    mouth = ring_mask(texels, FIXED_SIZE, INNER_LIPS)
    return outline * (1 - blur(eyes, unit)) * (1 - blur(mouth, unit / 2))
