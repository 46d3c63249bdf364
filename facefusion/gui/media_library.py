"""Probed files and exact frames, for the pictures of the page; array libraries are imported at the first use."""

from __future__ import annotations

import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from facefusion.errors import MediaError

if TYPE_CHECKING:
    from facefusion.media.frame import Frame
    from facefusion.media.info import MediaInfo
    from facefusion.media.sources import FrameSource

_MOST_FILES = 16
_MOST_PICTURES = 64
LARGEST_WIDTH = 3840
_QUALITY = 85


class FileKey(NamedTuple):
    """A file in one state."""

    path: Path
    size: int
    modified: int


def key_of(path: Path, shown: str = '') -> FileKey:
    """Return the key of a regular file; messages name it ``shown``.

    Raises MediaError media-missing or media-not-a-file.
    """
    try:
        status = path.stat()
    except OSError as error:
        cause, hint = error.strerror or '', 'choose the file again'
        raise MediaError('media-missing', f'{shown or path} does not exist', cause=cause, hint=hint) from None
    if not stat.S_ISREG(status.st_mode):
        raise MediaError('media-not-a-file', f'{shown or path} is not a file', hint='choose a file')
    return FileKey(path, status.st_size, status.st_mtime_ns)


class MediaLibrary:
    """The files that the page shows; a limited number stays probed, and one of them open.

    One thread works at a time.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._infos: OrderedDict[FileKey, MediaInfo] = OrderedDict()
        self._pictures: OrderedDict[tuple[Any, ...], bytes] = OrderedDict()
        self._open: tuple[FileKey, FrameSource] | None = None

    def info(self, path: Path) -> MediaInfo:
        """Return the facts of an image or a video. Raises MediaError."""
        with self._lock:
            return self._info(key_of(path))

    def frame(self, path: Path, number: int) -> Frame:
        """Return a frame, upright, decoded exactly. Raises MediaError frame-out-of-range and others."""
        with self._lock:
            return self._frame(key_of(path), number)

    def picture(self, path: Path, number: int, width: int) -> bytes:
        """Return a frame as JPEG, not wider than ``width``."""
        width = max(16, min(width or LARGEST_WIDTH, LARGEST_WIDTH))

        def draw(frame: Frame) -> bytes:
            shrink = min(1.0, width / frame.width)
            return jpeg(frame.resized(max(1, round(frame.width * shrink)), max(1, round(frame.height * shrink))))

        return self._drawn(path, (number, width), number, draw)

    def crop(self, path: Path, number: int, box: tuple[float, float, float, float], side: int) -> bytes:
        """Return the square around a box (x, y, width, height) of a frame as JPEG with sides of ``side`` pixels."""
        side = max(16, min(side, 1024))

        def draw(frame: Frame) -> bytes:
            import numpy as np

            x, y, width, height = box
            reach = max(width, height, 1.0)
            corner = (x + width / 2 - reach / 2, y + height / 2 - reach / 2)
            scale = side / reach
            matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
            return jpeg(frame.warp(matrix, side, side))

        return self._drawn(path, (number, box, side), number, draw)

    def close(self) -> None:
        """Close the open file."""
        with self._lock:
            self._close()

    def _drawn(self, path: Path, what: tuple[Any, ...], number: int, draw: Callable[[Frame], bytes]) -> bytes:
        with self._lock:
            key = key_of(path)
            found = self._pictures.pop((key, what), None) or draw(self._frame(key, number))
            self._pictures[key, what] = found
            while len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)
            return found

    def _info(self, key: FileKey) -> MediaInfo:
        from facefusion.media.probe import probe

        found = self._infos.pop(key, None) or probe(key.path)
        self._infos[key] = found
        while len(self._infos) > _MOST_FILES:
            self._infos.popitem(last=False)
        return found

    def _frame(self, key: FileKey, number: int) -> Frame:
        from facefusion.media.info import VideoInfo
        from facefusion.media.sources import frame_out_of_range, open_frames
        from facefusion.stopping import StopFlag

        info = self._info(key)
        count = info.frame_count if isinstance(info, VideoInfo) else 1
        if not 0 <= number < count:
            raise frame_out_of_range(key.path, number, count)
        if self._open is None or self._open[0] != key:
            self._close()
            self._open = key, open_frames(info, 1, StopFlag())
        with closing(self._open[1].frames(number, number + 1)) as frames:
            return next(iter(frames))

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


def jpeg(pixels: Any) -> bytes:
    """Return BGR pixels, uint8 or uint16 [h,w,3], as JPEG."""
    import cv2
    import numpy as np

    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    _, data = cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
