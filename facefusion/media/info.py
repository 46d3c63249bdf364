"""Facts about a probed media file."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from facefusion.media.color import ColorSpec
from facefusion.media.extras import NO_EXTRAS, Extras
from facefusion.media.file_stamp import FileStamp
from facefusion.media.gaps import TimeGap

# 64-bit integers; ``array`` cannot be subscripted at run time.
if TYPE_CHECKING:
    Ticks = array[int]
else:
    Ticks = array

# The frame rate of a clip made from an image.
PICTURE_RATE = Fraction(25)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """One audio stream; ``start`` is in ticks of ``time_base``, None when the container does not state it."""

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    time_base: Fraction
    start: int | None


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image; width and height as displayed. ``stamp`` detects later changes of the file.

    The class attributes have the names of attributes of ``VideoInfo`` and describe a clip that shows only the image.
    """

    path: Path
    size: int
    stamp: FileStamp = field(compare=False, repr=False)
    width: int
    height: int
    format: str
    mode: str
    has_alpha: bool

    aspect: ClassVar[Fraction] = Fraction(1)
    # The format that every player supports, with the bit depth of ``read_image``.
    plane_format: ClassVar[str] = 'yuv420p'
    bits: ClassVar[int] = 8
    # The matrix and range to which RGB clips are converted, too.
    color: ClassVar[ColorSpec] = ColorSpec('bt709', False, 1, 1)
    time_base: ClassVar[Fraction] = 1 / PICTURE_RATE
    average_rate: ClassVar[Fraction] = PICTURE_RATE


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A clip; width and height as displayed.

    ``pts`` are the presentation times of all frames in ticks of ``time_base``, ascending and distinct.
    ``plane_format`` is the format of the reader's frames, ``pix_fmt`` the decoder's. A stored frame is mirrored (left
    to right) if ``mirrored``, then turned counter-clockwise by ``rotation`` degrees.
    ``aspect`` is the width of a displayed pixel divided by its height. ``audio`` are the streams that have packets.
    ``keyframes`` are the numbers of the frames where decoding can begin, ascending. ``remarks`` report unreadable
    parts of the file and parts that no output will have. ``extras`` are contents other than video and audio.
    ``gaps`` are the missing frames of a clip of constant frame rate. ``stamp`` is as in ``ImageInfo``.

    ``content`` is the container as named by ``kinds.sniff``. ``is_counted``: the container stores no frame times, so
    the n-th frame that a decoder returns from the beginning on is frame n. ``clock`` is the time, in ticks, at which
    the file begins if its container counts from an arbitrary time (mpeg, ts), else 0.
    """

    path: Path
    size: int
    stamp: FileStamp = field(compare=False, repr=False)
    width: int
    height: int
    rotation: int
    mirrored: bool
    aspect: Fraction
    stream_index: int
    codec: str
    pix_fmt: str
    plane_format: str
    bits: int
    has_alpha: bool
    color: ColorSpec
    time_base: Fraction
    average_rate: Fraction
    pts: Ticks
    last_duration: int
    audio: tuple[AudioInfo, ...]
    keyframes: Ticks
    remarks: tuple[str, ...]
    content: str = 'mp4'
    is_counted: bool = False
    clock: int = 0
    extras: Extras = NO_EXTRAS
    gaps: tuple[TimeGap, ...] = ()

    @property
    def frame_count(self) -> int:
        """Number of frames."""
        return len(self.pts)

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame's start to the last one's end."""
        return (self.pts[-1] + self.last_duration - self.pts[0]) * self.time_base


MediaInfo = ImageInfo | VideoInfo
