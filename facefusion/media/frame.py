"""A picture whose pixels are read and written by windows, and whose other samples stay as they were.

A video frame keeps the decoder's planes: a window is converted to BGR when it is read, and only the difference that
was made is converted back. Chroma is taken as sited in the centre of its block, in both directions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError
from facefusion.media.color import ColorSpec
from facefusion.media.picture_extras import NO_PICTURE_EXTRAS, PictureExtras
from facefusion.media.planes import (
    PLANE_FORMATS,
    Pixels,
    Plane,
    copy_video,
    plane_views,
    resize_plane,
    sample_plane,
    warp_plane,
)

Change = NDArray[np.float32]
Changes = tuple[Change, Change, Change]


class Window(NamedTuple):
    """A rectangle of display pixels: x0 <= x < x1, y0 <= y < y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def is_empty(self) -> bool:
        """Whether no pixel lies inside."""
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def clipped(self, width: int, height: int) -> Window:
        """The part inside a picture of ``width`` x ``height``; may be empty, never inverted."""
        x0, y0 = min(max(self.x0, 0), width), min(max(self.y0, 0), height)
        return Window(x0, y0, max(min(self.x1, width), x0), max(min(self.y1, height), y0))


class Frame(ABC):
    """A picture in display orientation with its number in the source and its presentation time in source ticks."""

    def __init__(self, number: int, pts: int, width: int, height: int) -> None:
        self.number = number
        self.pts = pts
        self.width = width
        self.height = height

    @property
    def window(self) -> Window:
        """The whole picture."""
        return Window(0, 0, self.width, self.height)

    @property
    @abstractmethod
    def is_touched(self) -> bool:
        """Whether anything was written."""

    @abstractmethod
    def read(self, window: Window) -> Pixels:
        """A copy of the window, uint8 HxWx3 BGR; a pixel is the same whatever window it is read with."""

    @abstractmethod
    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        """Puts a changed window (uint8 HxWx3 BGR) back.

        ``before`` is what ``read`` returned for it; without it the window is read again. Pixels equal to ``before``
        keep the frame's own samples.
        """

    @abstractmethod
    def add_luma(self, delta: NDArray[np.float32]) -> None:
        """Adds float32 HxW (the frame's size, in 8-bit code values) to the luma of the whole frame."""

    @abstractmethod
    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        """Adds ``up`` to the luma of the whole frame and takes ``down`` away: uint8 HxW, 8-bit code values, clipped.

        The same as ``add_luma`` of their difference where one of them is 0, at a fraction of its cost.
        """

    @abstractmethod
    def luma(self) -> Pixels:
        """The luma of the whole frame as stored, uint8 HxW (codes above 8 bits are rounded)."""

    @abstractmethod
    def resized(self, width: int, height: int) -> Pixels:
        """The whole picture at another size, uint8 BGR; area filter when shrinking, linear when growing."""

    @abstractmethod
    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        """The luma as stored at another size, uint8 ``height`` x ``width``; area filter."""

    @abstractmethod
    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        """The picture seen through ``matrix`` (2x3, frame to output pixel centres), uint8 BGR, border replicated.

        It is shrunk by halving first where the matrix shrinks it to less than half, so that nothing aliases.
        """

    @abstractmethod
    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        """The picture at the float32 HxW frame coordinates (integers are pixel centres), uint8 BGR, border replicated.

        ``step`` is the distance of neighbouring map positions in frame pixels; it decides how far the picture is
        shrunk first. The maps must be finite.
        """

    def _check(self, window: Window, pixels: Pixels | None = None) -> None:
        if window.is_empty or window.clipped(self.width, self.height) != window:
            raise InternalError('frame-window', f'{window} does not lie in a frame of {self.width}x{self.height}')
        if pixels is not None and (pixels.shape != (window.height, window.width, 3) or pixels.dtype != np.uint8):
            raise InternalError('frame-pixels', f'{pixels.dtype} pixels of shape {pixels.shape} for {window}')


class PlaneFrame(Frame):
    """A video frame as Y, Cb and Cr planes (``PLANE_FORMATS``), the decoder's own until the first write.

    The planes of a decoder are its reference pictures: they are never written; the first write copies them.
    ``is_damaged`` tells that the clip's own picture could not be read, or not all of it.
    """

    def __init__(
        self, video: av.VideoFrame, number: int, pts: int, color: ColorSpec, *, is_damaged: bool = False
    ) -> None:
        """``video`` must have a format of ``PLANE_FORMATS`` and be in display orientation."""
        super().__init__(number, pts, video.width, video.height)
        self.is_damaged = is_damaged
        self.format = PLANE_FORMATS[video.format.name]
        self.color = color
        self._video = video
        self._touched = False
        self._planes = plane_views(video)
        for plane in self._planes:
            plane.flags.writeable = False

    @property
    def is_touched(self) -> bool:
        return self._touched

    def untouched(self) -> PlaneFrame:
        """Another frame over the same samples, which do not change with this one; only before the first write."""
        if self._touched:
            raise InternalError('frame-touched', f'frame {self.number} was written to before it was shared')
        return PlaneFrame(self._video, self.number, self.pts, self.color, is_damaged=self.is_damaged)

    @property
    def video(self) -> av.VideoFrame:
        """The frame as it goes to an encoder: the decoder's own when nothing was written."""
        return self._video

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Y, Cb, Cr as they are now: views that must not be written."""
        return self._planes[0], self._planes[1], self._planes[2]

    def read(self, window: Window) -> Pixels:
        self._check(window)
        x0, y0, x1, y1 = window
        luma = self._planes[0][y0:y1, x0:x1]
        return self._to_bgr([luma, self._chroma(self._planes[1], window), self._chroma(self._planes[2], window)])

    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        self._check(window, pixels)
        before = self.read(window) if before is None else before
        self._check(window, before)
        self._touch()
        delta = cv2.subtract(pixels, before, dtype=cv2.CV_32F)
        linear = np.ascontiguousarray(self.color.from_bgr(self.format.bits)[:, :3])
        luma, blue, red = cast(Changes, cv2.split(cv2.transform(delta, linear)))
        x0, y0, x1, y1 = window
        self._add(self._planes[0][y0:y1, x0:x1], luma)
        fx, fy = self.format.sub_x, self.format.sub_y
        for plane, change in ((self._planes[1], blue), (self._planes[2], red)):
            part = plane[y0 // fy : -(-y1 // fy), x0 // fx : -(-x1 // fx)]
            self._add(part, self._averaged(change, window))

    def add_luma(self, delta: NDArray[np.float32]) -> None:
        self._touch()
        scale = float(1 << (self.format.bits - 8))
        self._add(self._planes[0], delta if scale == 1 else delta * np.float32(scale))

    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        self._touch()
        luma = self._planes[0]
        if self.format.bits == 8:
            cv2.subtract(cv2.add(luma, up, dst=luma), down, dst=luma)
            return
        factor = np.uint16(1 << (self.format.bits - 8))
        self._add(luma, cast(Plane, up * factor))
        # OpenCV subtracts saturated: nothing falls below 0.
        cv2.subtract(luma, down * factor, dst=luma)

    def luma(self) -> Pixels:
        return self._to_8_bits(self._planes[0])

    def resized(self, width: int, height: int) -> Pixels:
        return self._to_bgr([resize_plane(plane, width, height) for plane in self._planes])

    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        return self._to_8_bits(resize_plane(self._planes[0], width, height))

    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        return self._to_bgr([warp_plane(plane, sub, matrix, width, height) for plane, sub in self._planes_with_steps()])

    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        return self._to_bgr([sample_plane(plane, sub, map_x, map_y, step) for plane, sub in self._planes_with_steps()])

    def _planes_with_steps(self) -> list[tuple[Plane, tuple[int, int]]]:
        step = (self.format.sub_x, self.format.sub_y)
        return [(self._planes[0], (1, 1)), (self._planes[1], step), (self._planes[2], step)]

    def _chroma(self, plane: Plane, window: Window) -> Plane:
        """The window of a chroma plane at luma size; linear, with a sample around it so that its edges are right."""
        fx, fy = self.format.sub_x, self.format.sub_y
        x0, y0, x1, y1 = window
        if fx == fy == 1:
            return plane[y0:y1, x0:x1]
        high, wide = plane.shape
        left, top = max(x0 // fx - (fx > 1), 0), max(y0 // fy - (fy > 1), 0)
        right, bottom = min(-(-x1 // fx) + (fx > 1), wide), min(-(-y1 // fy) + (fy > 1), high)
        size = ((right - left) * fx, (bottom - top) * fy)
        full = cv2.resize(plane[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        x, y = x0 - left * fx, y0 - top * fy
        return cast(Plane, full[y : y + window.height, x : x + window.width])

    def _averaged(self, change: Change, window: Window) -> Change:
        """The mean change of each chroma block; outside the window nothing changes, outside the frame is nothing."""
        fx, fy = self.format.sub_x, self.format.sub_y
        if fx == fy == 1:
            return change
        x0, y0, x1, y1 = window
        if (x1 == self.width and x1 % fx) or (y1 == self.height and y1 % fy):
            over_x = -x1 % fx if x1 == self.width else 0
            over_y = -y1 % fy if y1 == self.height else 0
            change = cast(Change, cv2.copyMakeBorder(change, 0, over_y, 0, over_x, cv2.BORDER_REPLICATE))
            x1, y1 = x1 + over_x, y1 + over_y
        left, top, right, bottom = x0 % fx, y0 % fy, -x1 % fx, -y1 % fy
        if left or top or right or bottom:
            change = cast(Change, cv2.copyMakeBorder(change, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0.0))
        high, wide = change.shape
        return cast(Change, cv2.resize(change, (wide // fx, high // fy), interpolation=cv2.INTER_AREA))

    def _add(self, part: Plane, change: Change | Plane) -> None:
        total = cv2.add(part, change, dtype=cv2.CV_8U if self.format.bits == 8 else cv2.CV_16U)
        if self.format.bits > 8:
            np.minimum(total, (1 << self.format.bits) - 1, out=total)
        part[...] = total

    def _touch(self) -> None:
        if not self._touched:
            self._video = copy_video(self._video)
            self._planes = plane_views(self._video)
            self._touched = True

    def _to_bgr(self, planes: list[Plane]) -> Pixels:
        codes, matrix = cv2.merge(planes), self.color.to_bgr(self.format.bits)
        if self.format.bits == 8:
            return cast(Pixels, cv2.transform(codes, matrix))
        # In float32: OpenCV's 16-bit path rounds differently at the end of a line, so with the window's place.
        exact = cv2.transform(codes.astype(np.float32), matrix)
        return cast(Pixels, cv2.add(exact, (0.0, 0.0, 0.0, 0.0), dtype=cv2.CV_8U))  # type: ignore[call-overload]

    def _to_8_bits(self, plane: Plane) -> Pixels:
        if self.format.bits == 8:
            return cast(Pixels, plane.copy())
        return cast(Pixels, cv2.convertScaleAbs(plane, alpha=1 / (1 << (self.format.bits - 8))))


class PixelFrame(Frame):
    """A still picture: uint8 HxWx3 BGR pixels, and its alpha (uint8 HxW) kept aside.

    ``extras`` are carried to the output.
    """

    def __init__(
        self,
        pixels: Pixels,
        alpha: Pixels | None = None,
        extras: PictureExtras = NO_PICTURE_EXTRAS,
        *,
        number: int = 0,
    ) -> None:
        super().__init__(number, 0, pixels.shape[1], pixels.shape[0])
        self.pixels = pixels
        self.alpha = alpha
        self.extras = extras
        self._touched = False

    @property
    def is_touched(self) -> bool:
        return self._touched

    def untouched(self) -> PixelFrame:
        """Another frame over the same pixels, which do not change with this one; only before the first write."""
        if self._touched:
            raise InternalError('frame-touched', 'a picture was written to before it was shared')
        return PixelFrame(self.pixels, self.alpha, self.extras, number=self.number)

    def read(self, window: Window) -> Pixels:
        self._check(window)
        return self.pixels[window.y0 : window.y1, window.x0 : window.x1].copy()

    def write(self, window: Window, pixels: Pixels, before: Pixels | None = None) -> None:
        self._check(window, pixels)
        self._own()
        self.pixels[window.y0 : window.y1, window.x0 : window.x1] = pixels

    def add_luma(self, delta: NDArray[np.float32]) -> None:
        self._own()
        self.pixels[...] = cv2.add(self.pixels, cv2.merge([delta, delta, delta]), dtype=cv2.CV_8U)

    def shift_luma(self, up: Pixels, down: Pixels) -> None:
        self._own()
        raised = cv2.add(self.pixels, cv2.merge([up, up, up]))
        cv2.subtract(raised, cv2.merge([down, down, down]), dst=self.pixels)

    def luma(self) -> Pixels:
        return cast(Pixels, cv2.cvtColor(self.pixels, cv2.COLOR_BGR2GRAY))

    def resized(self, width: int, height: int) -> Pixels:
        return cast(Pixels, resize_plane(self.pixels, width, height))

    def luma_thumbnail(self, width: int, height: int) -> Pixels:
        return cast(Pixels, cv2.cvtColor(self.resized(width, height), cv2.COLOR_BGR2GRAY))

    def warp(self, matrix: NDArray[np.float64], width: int, height: int) -> Pixels:
        return cast(Pixels, warp_plane(self.pixels, (1, 1), matrix, width, height))

    def sample(self, map_x: NDArray[np.float32], map_y: NDArray[np.float32], step: float) -> Pixels:
        return cast(Pixels, sample_plane(self.pixels, (1, 1), map_x, map_y, step))

    def _own(self) -> None:
        if not self._touched:
            self.pixels = self.pixels.copy()
            self._touched = True
