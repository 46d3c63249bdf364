"""A drawn face for tests that compare every pixel."""

from __future__ import annotations

import cv2
import numpy as np
from fakes.face_chunks import face_at

from facefusion.faces.atlas import AtlasGrid, AtlasMasks
from facefusion.faces.features import load_mean_look
from facefusion.faces.raster import atlas_coordinates, paint_triangles
from facefusion.faces.topology import (
    EYE_IMAGE_LEFT,
    EYE_IMAGE_RIGHT,
    INNER_LIPS,
    OUTER_LIPS,
    load_topology,
    vertex_normals,
)
from facefusion.media.frame import PixelFrame

TOPOLOGY = load_topology()
BACKGROUND = (90, 140, 60)
ATLAS = 256


def open_face(x: float, y: float, size: float) -> np.ndarray:
    """Return the mean shape with an open mouth: lower lip and chin are moved down; float32 [468,3]."""
    face = face_at(x, y, size)
    corners = face[[61, 291], :2]
    middle, half = corners.mean(0), float(np.ptp(corners[:, 0])) / 2
    opened = np.clip(1 - ((face[:, 0] - middle[0]) / half) ** 2, 0, 1)
    # The two halves of a lip ring are too close to separate by position, so their order decides.
    lower, upper = [*OUTER_LIPS[1:10], *INNER_LIPS[1:10]], [*OUTER_LIPS[10:], *INNER_LIPS[10:]]
    below = (face[:, 1] > middle[1]).astype(np.float32)
    below[lower], below[upper] = 1, 0
    face[:, 1] += 0.25 * size * opened * below
    return face


def face_texture(skin: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Return a texture with mottled skin, red lips, eyes, a dark mouth and the shading of the mean face.

    It is uint8 [256,256,3] BGR.
    """
    grid = AtlasGrid(TOPOLOGY, ATLAS)
    masks = AtlasMasks(TOPOLOGY, grid)
    mottle = np.random.default_rng(seed).normal(0, 1, (ATLAS, ATLAS, 1))
    mottle = cv2.GaussianBlur(mottle, (0, 0), 2)[..., None]
    shades = cv2.resize(load_mean_look(), (ATLAS, ATLAS), interpolation=cv2.INTER_CUBIC)[..., None]
    texture = np.array(skin, np.float64) * (1 + 0.06 * mottle / mottle.std())
    texture[masks.lips > 0.5] = np.array(skin) * [0.6, 0.5, 0.9]
    texture[masks.polygon(INNER_LIPS) > 0] = (30, 20, 40)
    for ring in (EYE_IMAGE_LEFT, EYE_IMAGE_RIGHT):
        texture[masks.polygon(ring) > 0] = (235, 230, 225)
        x, y = TOPOLOGY.atlas[list(ring)].mean(0) * ATLAS
        cv2.circle(texture, (round(x), round(y)), 7, (35, 40, 45), -1)
    return np.clip(texture * np.exp(1.3 * shades), 0, 255).astype(np.uint8)


def draw_face(landmarks: np.ndarray, texture: np.ndarray, width: int = 400, height: int = 400) -> PixelFrame:
    """Return an image of a face lit from the camera, on a plain background."""
    index = paint_triangles(TOPOLOGY, landmarks[:, :2], landmarks[:, 2], width, height)
    u, v = atlas_coordinates(TOPOLOGY, index, landmarks[:, :2], ATLAS)
    colours = cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float64)
    facing = AtlasGrid(TOPOLOGY, ATLAS).spread(np.clip(-vertex_normals(TOPOLOGY, landmarks)[:, 2], 0, 1))
    shade = cv2.remap(facing, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lit = np.clip(colours * (0.5 + 0.5 * shade)[..., None], 0, 255).astype(np.uint8)
    return PixelFrame(np.where((index >= 0)[..., None], lit, np.array(BACKGROUND, np.uint8)))


def ring_mask(landmarks: np.ndarray, ring: tuple[int, ...], shape: tuple[int, int], shrink: int = 0) -> np.ndarray:
    """Return the pixels inside a ring of vertices and at least ``shrink`` pixels away from it: bool [h,w]."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(landmarks[list(ring), :2]).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((2 * shrink + 1, 2 * shrink + 1), np.uint8)) > 0
