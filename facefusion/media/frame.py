"""Frames whose pixels are read and written in windows, while all other samples stay unchanged.

A video frame keeps the decoder's planes: a window is converted to BGR when read, and only its difference is converted
back. Chroma is sited in the centre of its block, in both directions. A frame replaced as a whole (``replaced``) has BGR
pixels, which are converted to planes only once, for the encoder (``to_planes``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError
from facefusion.media.color import ColorSpec
from facefusion.media.convert import (
    DEEP,
    Values,
    bgr_to_planes,
    block_means,
    chroma_at_luma_size,
    planes_to_bgr,
    reformatted,
    resize_samples,
    rounded,
    tag_video,
    to_8_bits,
    whole_bgr,
)
from facefusion.media.picture_extras import NO_PICTURE_EXTRAS, PictureExtras
from facefusion.media.planes import (
    RGB_PLANES,
    Pixels,
    Plane,
    Samples,
    copy_video,
    format_of_planes,
    plane_views,
    resize_plane,
    sample_plane,
    warp_plane,
)
from facefusion.media.window import Scale
from facefusion.media.window import Window as Window


class Frame(ABC):
    """A frame in display orientation with its number in the source and its presentation time in source ticks.

    ``alpha`` is uint8 or uint16 HxW, separate from the pixels (None: opaque); processors may set it. ``target_size`` is
    the width and height of the target: faces keep the coordinates of the target, and ``scale`` converts them to
    coordinates of the frame. ``is_damaged``: the clip's own frame could not be read completely. ``is_touched``: the
    frame was written to.
    """

    def __init__(self, number: int, pts: int, width: int, height: int) -> None:
        self.number = number
        self.pts = pts
        self.width = width
        self.height = height
        self.alpha: Samples | None = None
        self.target_size = (width, height)
        self.is_damaged = False
        self.is_touched = False

    @property
    def scale(self) -> Scale:
        """The factors from target to frame coordinates: 1 until a frame of another size replaces the target's."""
        return Scale(self.width / self.target_size[0], self.height / self.target_size[1])

    @property
    def window(self) -> Window:
        """The window of the whole frame."""
        return Window(0, 0, self.width, self.height)

    @abstractmethod
    def untouched(self) -> Frame:
        """Return another frame over the same samples, unaffected by writes to this one.

        It may be called only before the first write.
        """

    @abstractmethod
    def read(self, window: Window) -> Pixels:
        """Return a copy of the window, uint8 HxWx3 BGR; a pixel has the same value in every window that contains it."""

    @abstractmethod
    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        """Write back a changed window (uint8 HxWx3 BGR).

        ``before`` is the result of ``read`` for the window; without it, the window is read again. Pixels equal to
        ``before`` keep the frame's own samples.
        """

    @abstractmethod
    def add_luma(self, delta: NDArray[np.float32]) -> None:
        """Add float32 HxW (the frame's size, in 8-bit code values) to the luma of the whole frame."""

    @abstractmethod
    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        """Add ``up`` to the luma of the whole frame and subtract ``down``: uint8 HxW, 8-bit code values, clipped.

        Where one of them is 0, the result equals that of ``add_luma`` with their difference, at a fraction of its cost.
        """

    @abstractmethod
    def luma(self) -> Pixels:
        """Return the luma of the whole frame as stored, uint8 HxW (codes above 8 bits are rounded)."""

    @abstractmethod
    def resized(self, width: int, height: int) -> Pixels:
        """Return the whole frame at another size, uint8 BGR; area filter when shrinking, linear when growing."""

    @abstractmethod
    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        """Return the luma as stored at another size, uint8 ``height`` x ``width``; area filter."""

    @abstractmethod
    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        """Return the frame warped by ``matrix`` (2x3, frame to output pixel centres), uint8 BGR, border replicated.

        To avoid aliasing, the frame is halved first if the matrix shrinks it to less than half.
        """

    @abstractmethod
    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        """Return the frame at the float32 HxW coordinates (integers are pixel centres), uint8 BGR, border replicated.

        ``step`` is the distance between neighbouring map positions in frame pixels; it decides how far the frame is
        shrunk first. The maps must be finite.
        """

    @abstractmethod
    def whole(self) -> Plane:
        """Return a copy of the whole frame, HxWx3 BGR: uint8, or uint16 0..65535 for sources above 8 bits."""

    @abstractmethod
    def to_planes(self, pix_fmt: str, size: tuple[int, int], color: ColorSpec) -> PlaneFrame:
        """Return the frame as planes of ``pix_fmt`` (of ``PLANE_FORMATS``, or ``RGB_PLANES`` with the matrix 'rgb').

        ``size`` is width and height. Returns the frame itself if nothing changes; otherwise samples differ by at most 1
        code from exact arithmetic. Number, time, alpha and the other attributes are copied.
        """

    def replaced(self, pixels: Plane, alpha: Plane | None = None) -> PixelFrame:
        """Return a frame that owns these pixels (HxWx3 BGR, uint8 or uint16 0..65535, any size).

        Without ``alpha``, the new frame has this frame's alpha, resized.
        """
        frame = PixelFrame(pixels, number=self.number)
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype not in (np.uint8, np.uint16)):
            raise InternalError('frame-alpha', f'{alpha.dtype} alpha of shape {alpha.shape} for {pixels.shape}')
        return frame._following(self, self.alpha if alpha is None else alpha)

    def _following(self, before: Frame, alpha: Plane | None) -> Self:
        """Copy everything but the pixels from the frame that this one replaces."""
        self.pts, self.target_size, self.is_damaged = before.pts, before.target_size, before.is_damaged
        self.alpha = None if alpha is None else resize_samples(alpha, self.width, self.height)
        return self

    def _check_untouched(self) -> None:
        if self.is_touched:
            raise InternalError('frame-touched', f'frame {self.number} was written to before it was shared')

    def _check(self, window: Window, pixels: Pixels | None = None) -> None:
        if window.is_empty or window.clipped(self.width, self.height) != window:
            raise InternalError('frame-window', f'{window} exceeds a frame of {self.width}x{self.height}')
        if pixels is not None and (pixels.shape != (window.height, window.width, 3) or pixels.dtype != np.uint8):
            raise InternalError('frame-pixels', f'{pixels.dtype} pixels of shape {pixels.shape} for {window}')


class PlaneFrame(Frame):
    """A video frame as Y, Cb and Cr planes (``PLANE_FORMATS``), the decoder's own until the first write.

    The decoder uses its planes as reference frames, so the first write copies them. For RGB encoders the planes are G,
    B and R (``RGB_PLANES``), and an addition to luma applies to each.
    """

    def __init__(
        self, video: av.VideoFrame, number: int, pts: int, color: ColorSpec, *, is_damaged: bool = False
    ) -> None:
        """``video`` must have a format of ``format_of_planes`` and be in display orientation."""
        super().__init__(number, pts, video.width, video.height)
        self.is_damaged = is_damaged
        self.format = format_of_planes(video.format.name)
        self.color = color
        # The frame for an encoder: the decoder's own until the first write.
        self.video = video
        self._is_rgb = color.matrix == 'rgb'
        self._planes = plane_views(video)
        for plane in self._planes:
            plane.flags.writeable = False

    def untouched(self) -> PlaneFrame:
        self._check_untouched()
        return PlaneFrame(self.video, self.number, self.pts, self.color, is_damaged=self.is_damaged)

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """The current Y, Cb and Cr planes, as views that must not be written to."""
        return self._planes[0], self._planes[1], self._planes[2]

    def read(self, window: Window) -> Pixels:
        self._check(window)
        x0, y0, x1, y1 = window
        chroma = [chroma_at_luma_size(plane, self.format, window) for plane in self._planes[1:]]
        return planes_to_bgr([self._planes[0][y0:y1, x0:x1], *chroma], self.color, self.format.bits)

    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        self._check(window, pixels)
        before = self.read(window) if before is None else before
        self._check(window, before)
        self._touch()
        delta = cv2.subtract(pixels, before, dtype=cv2.CV_32F)
        linear = np.ascontiguousarray(self.color.from_bgr(self.format.bits)[:, :3])
        luma, *chroma = cast(list[Values], cv2.split(cv2.transform(delta, linear)))
        x0, y0, x1, y1 = window
        self._add(self._planes[0][y0:y1, x0:x1], luma)
        fx, fy = self.format.sub_x, self.format.sub_y
        for plane, change in zip(self._planes[1:], chroma, strict=True):
            part = plane[y0 // fy : -(-y1 // fy), x0 // fx : -(-x1 // fx)]
            self._add(part, block_means(change, self.format, window, (self.width, self.height)))

    def blend_chroma(self, colours: Values, share: float) -> None:
        """Mix the chroma of ``colours`` into the whole frame by ``share``, 0..1; the luma stays exact.

        colours: float32 HxWx3 BGR in 0..255 of any size, resized by linear interpolation. Not for RGB planes.
        """
        self._touch()
        chroma = cv2.split(cv2.transform(colours, self.color.from_bgr(self.format.bits)[1:]))
        for plane, codes in zip(self._planes[1:], chroma, strict=True):
            wanted = cv2.resize(codes, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
            mixed = cv2.addWeighted(plane.astype(np.float32), 1 - share, wanted, share, 0)
            plane[...] = rounded(mixed, self.format.bits)

    def add_luma(self, delta: NDArray[np.float32]) -> None:
        self._touch()
        scale = float(1 << (self.format.bits - 8))
        for plane in self._light():
            self._add(plane, delta if scale == 1 else delta * np.float32(scale))

    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        self._touch()
        for plane in self._light():
            if self.format.bits == 8:
                cv2.subtract(cv2.add(plane, up, dst=plane), down, dst=plane)
                continue
            factor = np.uint16(1 << (self.format.bits - 8))
            self._add(plane, cast(Plane, up * factor))
            # OpenCV subtracts with saturation at 0.
            cv2.subtract(plane, down * factor, dst=plane)

    def luma(self) -> Pixels:
        if self._is_rgb:
            return _grey(self.read(self.window))
        return self._to_8_bits(self._planes[0])

    def resized(self, width: int, height: int) -> Pixels:
        planes = [resize_plane(plane, width, height) for plane in self._planes]
        return planes_to_bgr(planes, self.color, self.format.bits)

    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        if self._is_rgb:
            return _grey(self.resized(width, height))
        return self._to_8_bits(resize_plane(self._planes[0], width, height))

    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        planes = [warp_plane(plane, sub, matrix, width, height) for plane, sub in self._planes_with_steps()]
        return planes_to_bgr(planes, self.color, self.format.bits)

    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        planes = [sample_plane(plane, sub, map_x, map_y, step) for plane, sub in self._planes_with_steps()]
        return planes_to_bgr(planes, self.color, self.format.bits)

    def whole(self) -> Plane:
        return whole_bgr(self._planes, self.format, self.color)

    def to_planes(self, pix_fmt: str, size: tuple[int, int], color: ColorSpec) -> PlaneFrame:
        # A yuvj format is the yuv format with full range in its name; converting it to yuv would compress the range.
        same_layout = self.video.format.name.replace('yuvj', 'yuv') == pix_fmt.replace('yuvj', 'yuv')
        same_meaning = (self.color.matrix, self.color.full_range) == (color.matrix, color.full_range)
        if same_layout and same_meaning and size == (self.width, self.height):
            return self
        if self._is_rgb or pix_fmt == RGB_PLANES:
            return self.replaced(self.whole()).to_planes(pix_fmt, size, color)
        video = reformatted(self.video, pix_fmt, size, self.color, color)
        return PlaneFrame(tag_video(video, color), self.number, self.pts, color)._following(self, self.alpha)

    def _light(self) -> list[Plane]:
        """The planes that an addition to luma applies to."""
        return self._planes if self._is_rgb else self._planes[:1]

    def _planes_with_steps(self) -> list[tuple[Plane, tuple[int, int]]]:
        step = (self.format.sub_x, self.format.sub_y)
        return [(self._planes[0], (1, 1)), (self._planes[1], step), (self._planes[2], step)]

    def _add(self, part: Plane, change: Values | Plane) -> None:
        total = cv2.add(part, change, dtype=cv2.CV_8U if self.format.bits == 8 else cv2.CV_16U)
        if self.format.bits > 8:
            np.minimum(total, (1 << self.format.bits) - 1, out=total)
        part[...] = total

    def _touch(self) -> None:
        if not self.is_touched:
            self.video = copy_video(self.video)
            self._planes = plane_views(self.video)
            self.is_touched = True

    def _to_8_bits(self, plane: Plane) -> Pixels:
        if self.format.bits == 8:
            return cast(Pixels, plane.copy())
        return cast(Pixels, cv2.convertScaleAbs(plane, alpha=1 / (1 << (self.format.bits - 8))))


class PixelFrame(Frame):
    """BGR pixels, uint8 or uint16 (0..65535) HxWx3: an image, or a video frame that was written as a whole.

    ``read`` rounds 16 bits to 8; ``write`` adds the difference, so that unchanged samples keep 16 bits. ``extras`` are
    the metadata for the output.
    """

    def __init__(
        self, pixels: Plane, alpha: Plane | None = None, extras: PictureExtras = NO_PICTURE_EXTRAS, *, number: int = 0
    ) -> None:
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
            raise InternalError('frame-pixels', f'{pixels.dtype} pixels of shape {pixels.shape} are not BGR')
        super().__init__(number, 0, pixels.shape[1], pixels.shape[0])
        self.pixels: Samples = pixels
        self.alpha = alpha
        self.extras = extras

    def untouched(self) -> PixelFrame:
        self._check_untouched()
        return PixelFrame(self.pixels, self.alpha, self.extras, number=self.number)

    def read(self, window: Window) -> Pixels:
        self._check(window)
        return to_8_bits(self._part(window)).copy()

    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        self._check(window, pixels)
        if self.pixels.dtype == np.uint8:
            self._own()
            self._part(window)[...] = pixels
            return
        before = self.read(window) if before is None else before
        self._check(window, before)
        self._own()
        part = self._part(window)
        delta = cv2.subtract(pixels, before, dtype=cv2.CV_32F)
        part[...] = cv2.add(part, delta * np.float32(DEEP), dtype=cv2.CV_16U)

    def add_luma(self, delta: NDArray[np.float32]) -> None:
        self._own()
        factor, depth = (1, cv2.CV_8U) if self.pixels.dtype == np.uint8 else (DEEP, cv2.CV_16U)
        change = delta if factor == 1 else delta * np.float32(factor)
        self.pixels[...] = cv2.add(self.pixels, cv2.merge([change, change, change]), dtype=depth)

    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        self._own()
        raised, lowered = cv2.merge([up, up, up]), cv2.merge([down, down, down])
        if self.pixels.dtype == np.uint16:
            raised, lowered = raised * np.uint16(DEEP), lowered * np.uint16(DEEP)
        cv2.subtract(cv2.add(self.pixels, raised), lowered, dst=self.pixels)

    def luma(self) -> Pixels:
        return _grey(self.pixels)

    def resized(self, width: int, height: int) -> Pixels:
        return to_8_bits(resize_plane(self.pixels, width, height))

    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        return _grey(self.resized(width, height))

    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        return to_8_bits(warp_plane(self.pixels, (1, 1), matrix, width, height))

    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        return to_8_bits(sample_plane(self.pixels, (1, 1), map_x, map_y, step))

    def whole(self) -> Plane:
        return self.pixels.copy()

    def sized(self, width: int, height: int) -> PixelFrame:
        """Return the image at the output size; the image itself if it already has that size."""
        if (width, height) == (self.width, self.height):
            return self
        return self.replaced(resize_samples(self.pixels, width, height))

    def to_planes(self, pix_fmt: str, size: tuple[int, int], color: ColorSpec) -> PlaneFrame:
        video = av.VideoFrame(*size, pix_fmt)
        bgr_to_planes(resize_samples(self.pixels, *size), format_of_planes(pix_fmt), color, plane_views(video))
        return PlaneFrame(tag_video(video, color), self.number, self.pts, color)._following(self, self.alpha)

    def _following(self, before: Frame, alpha: Plane | None) -> Self:
        if isinstance(before, PixelFrame):
            self.extras = before.extras
        self.is_touched = True
        return super()._following(before, alpha)

    def _part(self, window: Window) -> Plane:
        return self.pixels[window.y0 : window.y1, window.x0 : window.x1]

    def _own(self) -> None:
        if not self.is_touched:
            self.pixels = self.pixels.copy()
            self.is_touched = True


def _grey(pixels: Plane) -> Pixels:
    return to_8_bits(cast(Plane, cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)))
