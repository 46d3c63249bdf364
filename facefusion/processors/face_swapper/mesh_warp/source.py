"""The source identity of ``mesh_warp``: a relightable texture of one face in atlas layout.

Method and constants: embedded-swap.md section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.faces.atlas import AtlasGrid, blur, enlarge, shrink, smooth_step
from facefusion.faces.face import Floats
from facefusion.faces.raster import visible_triangles
from facefusion.faces.skin import ATLAS_SIZE, SkinMeter, SkinTraits, pool_light, smooth_light, to_ycc
from facefusion.faces.topology import vertex_normals
from facefusion.media.frame import Frame, Window

Bytes = npt.NDArray[np.uint8]

TEXTURE_SIZE = 1024
MIP_LEVELS = 5


@dataclass(frozen=True, slots=True, eq=False)
class SourceTexture:
    """What rendering needs of the source.

    mips: uint8 [1024 >> k, 1024 >> k, 3] BGR textures. ycc: float32 [128,128,3] of the small texture. weight: float32
    [128,128] usable skin; light_weight: the same up to the rim, for the source's own light. opacity: float32 [128,128]
    where the texture may be shown. traits: of its skin.
    """

    mips: tuple[Bytes, ...]
    ycc: Floats
    weight: Floats
    light_weight: Floats
    opacity: Floats
    traits: SkinTraits


def build_source(frame: Frame, landmarks: Floats, meter: SkinMeter) -> SourceTexture:
    """Unwraps the face with ``landmarks`` float32 [468,3] in ``frame`` into a texture."""
    grid = AtlasGrid(meter.topology, TEXTURE_SIZE)
    texture = _unwrap(frame, landmarks, grid)
    seen = _visibility(meter, grid, landmarks)
    texture, seen = _fill_from_mirror(texture, seen, meter, grid)
    texture8 = np.clip(_extend(texture, grid.inside), 0, 255).astype(np.uint8)
    small = shrink(texture8.astype(np.float32), ATLAS_SIZE)
    ycc = to_ycc(small)
    seen_small = shrink(seen, ATLAS_SIZE)
    normals = vertex_normals(meter.topology, landmarks)
    coverage = meter.find_coverage(ycc, meter.masks.skin, normals, threshold=0.95, grow=9)
    faded = blur(smooth_step(np.asarray(cv2.erode(seen_small, np.ones((3, 3), np.uint8)), np.float32) / 0.5), 1.5)
    weight = meter.masks.skin * seen_small * coverage.free
    light = pool_light(ycc, weight)
    return SourceTexture(
        mips=_mip_chain(texture8),
        ycc=ycc,
        weight=weight,
        light_weight=meter.masks.skin_to_rim * np.maximum(seen_small, 0.1) * coverage.free,
        # The centre is never faded: without it the target's nostrils shine through.
        opacity=coverage.free * np.maximum(faded, meter.masks.central_disc()),
        traits=meter.find_traits(ycc, weight, light, np.ones_like(seen_small), coverage.forehead),
    )


def _unwrap(frame: Frame, landmarks: Floats, grid: AtlasGrid) -> Floats:
    map_x, map_y = grid.maps(landmarks)
    extent = float(np.ptp(landmarks[:, :2], axis=0).max())
    if extent > TEXTURE_SIZE:
        return frame.sample(map_x, map_y, extent / TEXTURE_SIZE).astype(np.float32)
    low, high = landmarks[:, :2].min(0) - 4, landmarks[:, :2].max(0) + 5
    window = Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clipped(frame.width, frame.height)
    pixels = frame.read(window)
    local_x, local_y = map_x - window.x0, map_y - window.y0
    enlarged = cv2.remap(pixels, local_x, local_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)


def _visibility(meter: SkinMeter, grid: AtlasGrid, landmarks: Floats) -> Floats:
    """0..1 at each texel: faces the camera, and nothing of the face is in front of it."""
    normals = vertex_normals(meter.topology, landmarks)
    facing = np.clip(grid.spread(smooth_step((-normals[:, 2] - 0.20) / 0.35)), 0, 1)
    unhidden = np.append(visible_triangles(meter.topology, landmarks), 0).astype(np.float32)[grid.triangle]
    return np.asarray(facing * blur(unhidden, 4), np.float32)


def _fill_from_mirror(texture: Floats, seen: Floats, meter: SkinMeter, grid: AtlasGrid) -> tuple[Floats, Floats]:
    """Takes what is turned away from the other half of the face, in the light of this half."""
    other, other_seen = texture[:, ::-1], seen[:, ::-1]
    share = seen / (seen + other_seen * (1 - seen) + 1e-3)
    share = np.where(other_seen < 0.05, 1.0, np.maximum(share, smooth_step(seen / 0.6)))[..., None].astype(np.float32)
    small = shrink(texture, ATLAS_SIZE)
    weight = np.maximum(shrink(seen, ATLAS_SIZE) * meter.masks.skin, 1e-3 * meter.grid.inside)
    light = smooth_light(pool_light(small, weight))
    ratio = np.clip((light + 8) / (light[:, ::-1] + 8), 0.5, 2)
    ratio = enlarge(ratio, TEXTURE_SIZE, TEXTURE_SIZE)
    filled = texture * share + other * ratio * (1 - share)
    return np.asarray(filled * grid.inside[..., None], np.float32), np.maximum(seen, other_seen)


def _extend(texture: Floats, inside: Floats) -> Floats:
    """Continues the texture beyond its outline, so that filtering does not bleed black."""
    premultiplied = texture * inside[..., None]
    extended, filled = premultiplied.copy(), inside > 0.5
    for sigma in (2, 6, 20):
        near = blur(inside, sigma)
        spread = blur(premultiplied, sigma)
        fresh = ~filled & (near > 1e-3)
        extended[fresh] = spread[fresh] / near[fresh][:, None]
        filled |= fresh
    return extended


def _mip_chain(texture: Bytes) -> tuple[Bytes, ...]:
    mips = [texture]
    for _ in range(MIP_LEVELS - 1):
        mips.append(np.asarray(cv2.pyrDown(mips[-1]), np.uint8))
    return tuple(mips)
