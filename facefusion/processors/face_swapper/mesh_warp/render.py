"""Paint a source texture onto a target face: geometry and blend.

The method and constants come from embedded-swap.md section 4. The result depends only on one frame, one linked face and
the source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from facefusion.errors import InternalError
from facefusion.faces.atlas import enlarge, smooth_number, smooth_step
from facefusion.faces.face import Floats, LinkedFace
from facefusion.faces.masks.options import FaceMaskOptions
from facefusion.faces.pose import turned_away
from facefusion.faces.raster import OUTSIDE, project_coordinates
from facefusion.faces.skin import BGR_TO_YCC, SkinMeter, linked_skin
from facefusion.faces.topology import OVAL
from facefusion.media.frame import Frame, Window
from facefusion.processors.face_swapper.mesh_warp.opacity import Opacity
from facefusion.processors.face_swapper.mesh_warp.relight import FIELD_SIZE, Relight, Relighter, paint, turning
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
# Below this opacity no code value changes. Around visible pixels, the filters of grain and of foreign pixels need this
# many more.
LEAST_OPACITY = 1 / 512
# The smallest coordinate of a look-up: below those of the mesh (20), and inside atlases of 64 texels and more.
RIM = 9
FILTER_REACH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """The face in a window: coordinates in an atlas of ``size`` pixels, and the opacity of the outline, [h,w]."""

    u: Floats
    v: Floats
    outline: Floats
    extent: float
    size: int = TEXTURE_SIZE

    def part(self, rows: slice, columns: slice) -> Surface:
        """Return the surface in a part of the window."""
        u, v, outline = (np.ascontiguousarray(each[rows, columns]) for each in (self.u, self.v, self.outline))
        return replace(self, u=u, v=v, outline=outline)

    def scaled(self, size: int) -> Surface:
        """Return the surface with coordinates in an atlas of another size."""
        if size == self.size:
            return self
        # Pixel centres have integer coordinates in atlases of both sizes.
        factor = np.float32(size / self.size)
        shift = (factor - 1) / 2
        u, v = self.u * factor, self.v * factor
        u += shift
        v += shift
        return replace(self, u=u, v=v, size=size)


class MeshWarp:
    """Renders one source onto faces; immutable, so threads may share it."""

    def __init__(self, source: SourceTexture, meter: SkinMeter, options: FaceMaskOptions | None = None) -> None:
        # OpenCV looks up four channels in half of the time of three.
        self._mips = tuple(np.asarray(cv2.cvtColor(mip, cv2.COLOR_BGR2BGRA), np.uint8) for mip in source.mips)
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
        # From here on, only the part with visible opacity is computed.
        rows, columns = (_visible_span(opacity, axis) for axis in (1, 0))
        grain = _grain(before, (rows, columns))
        opacity, before = np.ascontiguousarray(opacity[rows, columns]), np.ascontiguousarray(before[rows, columns])
        surface = surface.part(rows, columns)
        x0, y0 = window.x0 + columns.start, window.y0 + rows.start
        window = Window(x0, y0, x0 + before.shape[1], y0 + before.shape[0])
        relight = self._relighter.relight(skin.light, traits, turned)
        fields = surface.scaled(FIELD_SIZE)
        if self._opacity.sees_occlusion:
            opacity *= _behind(before, _look_up(relight.bare, fields), size)
        change = self._paint(surface, fields, relight, grain)
        change -= before
        after = _blend(before, change, opacity)
        if limit is not None:
            opacity *= limit(window, after)
            if float(opacity.max()) < 1 / 255:
                return False
            after = _blend(before, change, opacity)
        frame.write(window, after, before)
        return True

    def _surface(self, landmarks: Floats, window: Window) -> Surface:
        width, height = window.width, window.height
        scale = min(1.0, RASTER_SIZE / max(width, height))
        small_width, small_height = max(round(width * scale), 1), max(round(height * scale), 1)
        corner = np.array([window.x0, window.y0], np.float32)
        points = (landmarks[:, :2] - corner) * np.float32(scale) + np.float32((scale - 1) / 2)
        texels = self._topology.texels(TEXTURE_SIZE)
        u, v = project_coordinates(self._topology, points, landmarks[:, 2], texels, small_width, small_height)
        covered = np.asarray(u > OUTSIDE / 2, np.uint8)
        extent = float(np.ptp(landmarks[:, :2], axis=0).max())
        outline = _feather(covered, extent * scale, self._opacity.edge)
        if scale < 1:
            u, v = _extend_outwards(u, v, covered)
            u, v, outline = (enlarge(part, width, height) for part in (u, v, outline))
        # OpenCV looks up coordinates outside of an atlas slowly; the outline is 0 there.
        np.maximum(u, RIM, out=u)
        np.maximum(v, RIM, out=v)
        return Surface(u, v, outline, extent)

    def _paint(self, surface: Surface, fields: Surface, relight: Relight, grain: Floats) -> Floats:
        """Return the relit source in the window with the grain of the target, float32 [h,w,3] BGR.

        fields: the surface at the size of the fields of ``relight``.
        """
        mip = _at_size(self._mips, surface.extent, 0.35)
        is_cubic = surface.extent > 0.8 * TEXTURE_SIZE
        texture = _look_up(mip, surface, cv2.INTER_CUBIC if is_cubic else cv2.INTER_LINEAR)
        field, mix = _look_up(relight.field, fields), _look_up(relight.mix, fields)
        colour = np.asarray(cv2.cvtColor(texture, cv2.COLOR_BGRA2BGR), np.uint8)
        painted = paint(colour, field, mix, relight)
        painted += cv2.multiply(grain, _three(1 - mix[..., 3]))
        return painted

    def _blend_opacity(self, surface: Surface, moving: Floats) -> Floats:
        """Return the opacity of the source in the window, float32 [h,w] in 0..1."""
        fixed = _look_up(_at_size(self._opacity.fixed, surface.extent, -0.5), surface, border=cv2.BORDER_CONSTANT)
        return np.asarray(fixed * _look_up(moving, surface) * surface.outline * np.float32(1 / 255), np.float32)


def _visible_span(opacity: Floats, axis: int) -> slice:
    """Return the rows (axis 1) or columns (axis 0) with visible opacity, and the reach of the filters around them."""
    visible = np.flatnonzero(opacity.max(axis) > LEAST_OPACITY)
    size = opacity.shape[1 - axis]
    return slice(max(int(visible[0]) - FILTER_REACH, 0), min(int(visible[-1]) + 1 + FILTER_REACH, size))


def _blend(before: Pixels, change: Floats, opacity: Floats) -> Pixels:
    return np.asarray(cv2.add(before, cv2.multiply(change, _three(opacity)), dtype=cv2.CV_8U), np.uint8)


def _three(values: Floats) -> Floats:
    """Return values [h,w] repeated for three channels; numpy is slow in multiplying three channels by one."""
    return np.asarray(cv2.merge([values, values, values]), np.float32)


def _behind(pixels: Pixels, bare: Floats, size: float) -> Floats:
    """Return 1 for pixels [h,w,3] of skin, falling to 0 for pixels much darker or lighter than ``bare``.

    Such pixels show strands, frames of glasses or gaps between fingers. ``bare`` [h,w,4] is ``Relight.bare`` per pixel.
    """
    luma = cv2.transform(cv2.blur(pixels, (3, 3)), BGR_TO_YCC[:1]).reshape(pixels.shape[:2])
    light = np.ascontiguousarray(bare[..., 0])
    differs = np.abs(luma - light)
    differs /= np.maximum(light, MIN_LIGHT)
    differs -= FOREIGN
    differs *= 1 / FOREIGN_WIDTH
    foreign = smooth_step(differs)
    foreign *= bare[..., 1]
    grown = cv2.GaussianBlur(cv2.dilate(foreign, np.ones((3, 3), np.uint8)), (0, 0), max(0.006 * size, 0.6))
    return 1 - np.asarray(grown, np.float32)


def _grain(pixels: Pixels, part: tuple[slice, slice] = (slice(None), slice(None))) -> Floats:
    """Return the noise in a part of uint8 BGR pixels, float32 [h,w,3]: the finest detail, without the edges in it.

    It is limited to three times the robust deviation (1.48 median absolute deviations) of all pixels; larger values are
    edges.
    """
    smooth = np.asarray(cv2.GaussianBlur(pixels, (0, 0), GRAIN_SIGMA), np.uint8)
    # The median of code values, from their histogram.
    counts = np.bincount(np.asarray(cv2.absdiff(pixels[::4, ::4], smooth[::4, ::4])).ravel()).cumsum()
    middle = (counts[-1] - 1) // 2, counts[-1] // 2
    bound = 3 * 1.48 * float(np.searchsorted(counts, middle, 'right').mean())
    fine = np.asarray(cv2.subtract(pixels[part], smooth[part], dtype=cv2.CV_32F), np.float32)
    return np.clip(fine, -bound, bound, out=fine)


def _look_up(
    atlas: Floats | Pixels, surface: Surface, interpolation: int = cv2.INTER_LINEAR, border: int = cv2.BORDER_REPLICATE
) -> Floats:
    """Return the values of a square atlas of any size at the pixels of a surface."""
    surface = surface.scaled(len(atlas))
    return np.asarray(cv2.remap(atlas, surface.u, surface.v, interpolation, borderMode=border))


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
    return np.float32(smooth_number((size / SMALLEST_FACE - 1) / (FULL_SIZE - 1)))


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
    distance = np.ascontiguousarray(cv2.distanceTransform(framed, cv2.DIST_L2, 3)[1:-1, 1:-1], np.float32)
    extent = max(extent, 1.0)
    # The silhouette is half a pixel beyond the centres of the covered pixels. An edge is at least 1.5 pixels wide, even
    # if the option is set to less.
    distance += np.float32(0.5) * covered
    width = max(0.085 * edge, 1.5 / extent)
    distance *= 1 / (extent * width)
    distance -= 0.012 / width
    return smooth_step(distance)


def _extend_outwards(u: Floats, v: Floats, covered: Pixels) -> tuple[Floats, Floats]:
    """Continue atlas coordinates two pixels beyond the silhouette, so that enlarging does not smear them."""
    square = np.ones((3, 3), np.uint8)
    for _ in range(2):
        u, v = (np.asarray(cv2.copyTo(part, covered, cv2.dilate(part, square)), np.float32) for part in (u, v))
        covered = np.asarray(cv2.dilate(covered, square), np.uint8)
    return u, v
