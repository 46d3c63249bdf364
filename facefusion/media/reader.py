"""Frame-exact reading of any range of a clip."""

from __future__ import annotations

from collections.abc import Generator

import av
import av.error

from facefusion.errors import InternalError, MediaError
from facefusion.media.frame import PlaneFrame
from facefusion.media.orientation import Orientation
from facefusion.media.probe import VideoInfo, find_video, open_video
from facefusion.stopping import StopFlag

_DEFAULT_THREADS = 2


class _LandedLate(Exception):
    """A seek ended behind the frame that was asked for."""


class VideoReader:
    """Reads ranges of one clip; every call of ``frames`` opens its own decoder, so calls do not disturb each other."""

    def __init__(self, info: VideoInfo, threads: int = _DEFAULT_THREADS, stop: StopFlag | None = None) -> None:
        self.info = info
        self._threads = threads
        self._stop = stop or StopFlag()
        self._turn = Orientation(info.rotation, info.mirrored)

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """Frames start <= number < stop in order, each once, upright, in the clip's ``plane_format``.

        Frames are found by their time, not by counting. Closing the generator frees the decoder at once. Raises
        MediaError frame-undecodable with the number of a frame that does not decode, media-changed when the file is
        not the one that was probed, Interrupted when ``stop`` is set.
        """
        pts = self.info.pts
        if not 0 <= start <= stop <= len(pts):
            raise InternalError('frame-range', f'frames {start} to {stop} of {len(pts)} were asked for')
        if start == stop:
            return
        self._check_unchanged()
        back = 0
        second = max(int(1 / self.info.time_base), 1)
        while True:
            target = pts[start] - back
            try:
                yield from self._decoded(start, stop, target if start and target > pts[0] else None)
            except _LandedLate:
                back = back * 2 or second
            else:
                return

    def _decoded(self, start: int, stop: int, seek: int | None) -> Generator[PlaneFrame, None, None]:
        """Decodes from ``seek`` (None: from the beginning) and yields the range."""
        pts = self.info.pts
        wanted = start
        trouble: list[str] = []
        with open_video(self.info.path) as container:
            stream = find_video(container, self.info.path)
            stream.thread_type = 'AUTO' if self._threads > 1 else 'NONE'
            stream.thread_count = self._threads
            if seek is not None:
                container.seek(seek, stream=stream, backward=True, any_frame=False)
            for video in _decode(container, stream, trouble):
                self._stop.check()
                if video.pts is None or video.pts < pts[wanted]:
                    continue
                if video.pts > pts[wanted]:
                    if wanted == start and seek is not None:
                        raise _LandedLate
                    break
                yield self._frame(video, wanted)
                wanted += 1
                if wanted == stop:
                    return
        if wanted == start and seek is not None:
            raise _LandedLate
        raise MediaError(
            'frame-undecodable',
            f'frame {wanted} of {self.info.path.name} cannot be decoded',
            cause=trouble[-1] if trouble else 'the decoder gives no picture for it',
            hint='repair or export the clip again, or trim the damaged part off',
        )

    def _frame(self, video: av.VideoFrame, number: int) -> PlaneFrame:
        info = self.info
        if self._turn.size(video.width, video.height) != (info.width, info.height):
            raise MediaError(
                'frame-size-changes',
                f'{info.path.name} changes its picture size at frame {number}',
                cause=f'{video.width}x{video.height} in a clip of {info.width}x{info.height}',
                hint='export the clip with one size',
            )
        if video.format.name != info.plane_format:
            pts, time_base = video.pts, video.time_base
            space = {'dst_colorspace': 'ITU709', 'dst_color_range': 'MPEG'} if _is_rgb(video) else {}
            video = video.reformat(format=info.plane_format, **space)  # type: ignore[arg-type]
            video.pts = pts
            if time_base is not None:
                video.time_base = time_base
        if not self._turn.is_identity:
            video = self._turn.apply(video)
        # An encoder obeys the picture type that the decoder left on a frame.
        video.pict_type = 0
        return PlaneFrame(video, number, info.pts[number], info.color)

    def _check_unchanged(self) -> None:
        info = self.info
        try:
            now = info.path.stat()
        except OSError as error:
            raise MediaError('media-missing', f'{info.path.name} is gone', cause=str(error)) from None
        if (now.st_size, now.st_mtime_ns) != (info.size, info.mtime_ns):
            raise MediaError(
                'media-changed',
                f'{info.path.name} was changed since it was measured',
                hint='start again, and leave the file alone while it is worked on',
            )


def _decode(
    container: av.container.InputContainer, stream: av.VideoStream, trouble: list[str]
) -> Generator[av.VideoFrame, None, None]:
    """All pictures that decode; damaged packets are passed over and noted in ``trouble`` (the last reason)."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
            pictures = packet.decode()
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            trouble[:] = [error.strerror or str(error)]
            continue
        yield from pictures


def _is_rgb(video: av.VideoFrame) -> bool:
    return bool(video.format.is_rgb or video.format.has_palette)
