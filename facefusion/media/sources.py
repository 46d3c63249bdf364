"""Sources of a target's frames: a clip that is decoded, or an image as the only frame."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from facefusion.errors import MediaError
from facefusion.events import Emit, silent
from facefusion.media.frame import Frame
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.reader import ReaderPool
from facefusion.media.still import read_still
from facefusion.stopping import StopFlag


class StillFrames:
    """An image as the only frame of a clip, read once; several threads may use it, as with ``ReaderPool``."""

    def __init__(self, info: MediaInfo, emit: Emit = silent) -> None:
        self._frame = read_still(info.path, emit)

    def frames(self, start: int, stop: int) -> Generator[Frame, None, None]:
        """Yield frame 0 if it is in the range, a new frame over the same pixels each time."""
        if start <= 0 < stop:
            yield self._frame.untouched()

    def close(self) -> None:
        """Do nothing."""


FrameSource = ReaderPool | StillFrames


def open_frames(info: MediaInfo, readers: int, flag: StopFlag) -> FrameSource:
    """Return the frames of a target, decoded by at most ``readers`` at once. Raises the errors of ``read_still``."""
    return ReaderPool(info, readers, stop=flag) if isinstance(info, VideoInfo) else StillFrames(info)


def frame_out_of_range(path: Path, number: int, count: int) -> MediaError:
    """Return the error for a frame that a target with ``count`` frames does not have."""
    hint = f'use a number from 0 to {count - 1}'
    return MediaError('frame-out-of-range', f'{path.name} has no frame {number}', hint=hint)
