"""Paint a source texture onto a target face: geometry and blend.

The method and constants come from embedded-swap.md section 4. The result depends only on one frame, one linked face and
the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.atlas import enlarge, smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.pose import turned_away
from facefusion.faces.raster import OUTSIDE, atlas_coordinates, paint_triangles
from facefusion.faces.skin import BGR_TO_YCC, SkinMeter, linked_skin
from facefusion.faces.topology import OVAL
from facefusion.media.frame import Frame, Window
from facefusion.processors.face_swapper.mesh_warp.opacity import Opacity
from facefusion.processors.face_swapper.mesh_warp.relight import Relight, Relighter, paint, turning
from facefusion.processors.face_swapper.mesh_warp.source import TEXTURE_SIZE, SourceTexture
from facefusion.processors.network_masks import Limit
from facefusion.processors.registration import SMALLEST_FACE, is_large_enough

Pixels = npt.NDArray[np.uint8]

# Maximum size at which the mesh is rasterised; larger rasters cost more and look the same.
RASTER_SIZE = 192
# A face is fully swapped from this multiple of the minimum size on; below it, the swap fades in as the face grows.
FULL_SIZE = 1.25
# Sigma of the edge along which a nearer face is cut out, as a fraction of its outline's size.
OUTLINE_BLUR = 0.01
# Detail finer than this number of pixels is grain.
GRAIN_SIGMA = 1.0
# Folds and gloss change skin by at most a fifth of its light; pixels that differ by more than FOREIGN are not skin.
FOREIGN, FOREIGN_WIDTH = 0.3, 0.2
MIN_LIGHT = 24


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The face in a window: atlas coordinates in texture pixels, and the opacity of the outline, [h,w]."""

    u: Floats
    v: Floats
    outline: Floats
    extent: float


class MeshWarp:
    """Renders one source onto faces; immutable, so threads may share it."""

    def __init__(self, source: SourceTexture, meter: SkinMeter, options: FaceMaskOptions | None = None) -> None:
        self._source = source
        self._topology = meter.topology
        self._relighter = Relighter(source, meter)
        self._opacity = Opacity(source, meter, options or FaceMaskOptions())

    def render(
        self, frame: Frame, face: LinkedFace, nearer: Sequence[LinkedFace] = (), limit: Limit | None = None
    ) -> bool:
        """Swap ``face`` in ``frame``, except where ``nearer`` faces cover it; return whether anything changed.

        ``limit`` returns a factor of the opacity, from the painted window; see ``network_masks``.
        Faces that are too small (``is_large_enough``) or outside the frame stay unchanged.
        """
        skin = linked_skin(face.values)
        if skin is None:
            raise InternalError('skin-not-measured', 'mesh_warp received a face without skin measurements')
        window = _face_window(frame, face.landmarks)
        size = float(np.ptp(face.landmarks[:, :2], axis=0).max())
        if not is_large_enough(face) or window.is_empty:
            return False
        traits, turned = skin.traits, turning(turned_away(self._topology, face.landmarks))
        surface = self._surface(face.landmarks, window)
        opacity = self._blend_opacity(surface, self._opacity.moving(face.landmarks, skin.visibility, traits, turned))
        opacity *= _grown_share(size)
        for other in nearer:
            _cut_out(opacity, window, other.landmarks)
        if float(opacity.max(initial=0.0)) < 1 / 255:
            return False
        before = frame.read(window)
        relight = self._relighter.relight(skin.light, traits, turned)
        if self._opacity.sees_occlusion:
            opacity *= _behind(before, _look_up(relight.bare, surface), size)
        painted = self._paint(surface, relight, before)
        after = _blend(before, painted, opacity)
        if limit is not None:
            opacity *= limit(window, after)
            if float(opacity.max()) < 1 / 255:
                return False
            after = _blend(before, painted, opacity)
        frame.write(window, after, before)
        return True

    def _surface(self, landmarks: Floats, window: Window) -> Surface:
        width, height = window.width, window.height
        scale = min(1.0, RASTER_SIZE / max(width, height))
        small_width, small_height = max(round(width * scale), 1), max(round(height * scale), 1)
        points = (landmarks[:, :2] - [window.x0, window.y0]) * scale + (scale - 1) / 2
        topology = self._topology
        index = paint_triangles(topology, points.astype(np.float32), landmarks[:, 2], small_width, small_height)
        u, v = atlas_coordinates(topology, index, points.astype(np.float32), TEXTURE_SIZE)
        covered = (index >= 0).astype(np.uint8)
        extent = float(np.ptp(landmarks[:, :2], axis=0).max())
        outline = _feather(covered, extent * scale, self._opacity.edge)
        if scale < 1:
            u, v = (_extend_outwards(part, covered) for part in (u, v))
            u, v, outline = (enlarge(part, width, height) for part in (u, v, outline))
        return Surface(u, v, outline, extent)

    def _paint(self, surface: Surface, relight: Relight, before: Pixels) -> Floats:
        """Return the relit source in the window with the grain of the target, float32 [h,w,3] BGR."""
        mip = _at_size(self._source.mips, surface.extent, 0.35)
        is_cubic = surface.extent > 0.8 * TEXTURE_SIZE
        texture = _look_up(mip, surface, cv2.INTER_CUBIC if is_cubic else cv2.INTER_LINEAR)
        field, mix = _look_up(relight.field, surface), _look_up(relight.mix, surface)
        return paint(texture.astype(np.float32), field, mix, relight) + _grain(before) * (1 - mix[..., 3:])

    def _blend_opacity(self, surface: Surface, moving: Floats) -> Floats:
        """Return the opacity of the source in the window, float32 [h,w] in 0..1."""
        fixed = _look_up(_at_size(self._opacity.fixed, surface.extent, -0.5), surface, border=cv2.BORDER_CONSTANT)
        return np.asarray(fixed * _look_up(moving, surface) * surface.outline * np.float32(1 / 255), np.float32)


def _blend(before: Pixels, painted: Floats, opacity: Floats) -> Pixels:
    change = cv2.multiply(cv2.subtract(painted, before, dtype=cv2.CV_32F), cv2.merge([opacity] * 3))
    return np.asarray(cv2.add(before, change, dtype=cv2.CV_8U), np.uint8)


def _behind(pixels: Pixels, bare: Floats, size: float) -> Floats:
    """Return 1 for pixels [h,w,3] of skin, falling to 0 for pixels much darker or lighter than ``bare``.

    Such pixels show strands, frames of glasses or gaps between fingers. ``bare`` [h,w,2] is ``Relight.bare`` per pixel.
    """
    luma = cv2.transform(cv2.blur(pixels, (3, 3)), BGR_TO_YCC[:1])[..., None][..., 0]
    differs = np.abs(luma - bare[..., 0]) / np.maximum(bare[..., 0], MIN_LIGHT)
    foreign = smooth_step((differs - FOREIGN) / FOREIGN_WIDTH) * bare[..., 1]
    grown = cv2.GaussianBlur(cv2.dilate(foreign, np.ones((3, 3), np.uint8)), (0, 0), max(0.006 * size, 0.6))
    return 1 - np.asarray(grown, np.float32)


def _grain(pixels: Pixels) -> Floats:
    """Return the noise of uint8 BGR pixels, float32 of the same shape: the finest detail, without the edges in it.

    It is limited to three times the robust deviation (1.48 median absolute deviations); larger values are edges.
    """
    fine = np.asarray(cv2.subtract(pixels, cv2.GaussianBlur(pixels, (0, 0), GRAIN_SIGMA), dtype=cv2.CV_32F), np.float32)
    bound = 3 * 1.48 * float(np.median(np.abs(fine[::4, ::4])))
    return np.clip(fine, -bound, bound)


def _look_up(
    atlas: Floats | Pixels, surface: Surface, interpolation: int = cv2.INTER_LINEAR, border: int = cv2.BORDER_REPLICATE
) -> Floats:
    """Return the values of a square atlas of any size at the pixels of a surface."""
    factor = len(atlas) / TEXTURE_SIZE
    u, v = surface.u, surface.v
    if factor != 1:
        # Pixel centres have integer coordinates in atlases of both sizes.
        shift = np.float32((factor - 1) / 2)
        u, v = u * np.float32(factor) + shift, v * np.float32(factor) + shift
    return np.asarray(cv2.remap(atlas, u, v, interpolation, borderMode=border))


def _at_size(pyramid: Sequence[Pixels], extent: float, softer: float) -> Pixels:
    """Return the level of an atlas's pyramid whose texels are about as large as the pixels of a face of ``extent``.

    A positive ``softer`` selects smaller levels, a negative one larger levels.
    """
    ideal = np.floor(np.log2(len(pyramid[0]) / max(extent, 1.0)) + softer)
    return pyramid[int(np.clip(ideal, 0, len(pyramid) - 1))]


def _face_window(frame: Frame, landmarks: Floats) -> Window:
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    pad = 0.03 * float((high - low).max()) + 3
    x0, y0 = np.floor(low - pad).astype(int)
    x1, y1 = np.ceil(high + pad).astype(int)
    return Window(int(x0), int(y0), int(x1), int(y1)).clipped(frame.width, frame.height)


def _grown_share(size: float) -> np.float32:
    """Return 0 at the minimum size of a swapped face, rising to 1 at FULL_SIZE times that size."""
    return np.float32(smooth_step(np.array([(size / SMALLEST_FACE - 1) / (FULL_SIZE - 1)], np.float32))[0])


def _cut_out(opacity: Floats, window: Window, nearer: Floats) -> None:
    """Remove the outline of a nearer face from ``opacity`` [h,w], with a soft edge."""
    outline = nearer[list(OVAL), :2] - [window.x0, window.y0]
    mask = np.zeros(opacity.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    if mask.any():
        sigma = max(OUTLINE_BLUR * float(np.ptp(outline, axis=0).max()), 0.7)
        opacity *= 1 - np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) / 255


def _feather(covered: Pixels, extent: float, edge: float) -> Floats:
    """Return opacity that falls to 0 at the silhouette over 8.5 % of the face, so that a far cheek has no hard edge."""
    framed = cv2.copyMakeBorder(covered, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    distance = np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
    extent = max(extent, 1.0)
    # An edge is at least 1.5 pixels wide, even if the option is set to less.
    return smooth_step((distance / extent - 0.012) / max(0.085 * edge, 1.5 / extent))


def _extend_outwards(coordinate: Floats, covered: Pixels) -> Floats:
    """Continue atlas coordinates two pixels beyond the silhouette, so that enlarging does not smear them."""
    filled = np.where(covered > 0, coordinate, OUTSIDE).astype(np.float32)
    grown = filled
    for _ in range(2):
        near = np.asarray(cv2.dilate(grown, np.ones((3, 3), np.uint8)), np.float32)
        grown = np.where(grown > OUTSIDE / 2, grown, near)
    return grown
