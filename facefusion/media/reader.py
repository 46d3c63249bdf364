"""Frame-exact reading of any range of a clip."""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing

import av
import av.error

from facefusion.errors import InternalError, MediaError
from facefusion.media.file_stamp import check_unchanged
from facefusion.media.frame import PlaneFrame
from facefusion.media.info import VideoInfo
from facefusion.media.orientation import Orientation
from facefusion.media.probe import find_video, interlaced, open_video
from facefusion.media.timestamps import INDEXED
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

_DEFAULT_THREADS = 2
# More than any codec's reordering (16 frames) plus the frames in the threads of a decoder.
_MAXIMUM_DELAY = 48
# Maximum number of consecutive frames that are replaced by the frame before them; more are an error.
_MAXIMUM_REPLACED = 250
# Number of decoded frames in which to search for a frame, because the times in some files do not ascend.
_DISORDER = 4


class VideoReader:
    """A reader of ranges of one clip; every call of ``frames`` opens a decoder of its own."""

    def __init__(self, info: VideoInfo, threads: int = _DEFAULT_THREADS, stop: StopFlag | None = None) -> None:
        self.info = info
        self._threads = threads
        self._stop = stop or StopFlag()

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """Yield frames start <= number < stop in order, each once, upright, in the clip's ``plane_format``.

        Frames are found by their time, not by counting. A frame that cannot be decoded is replaced by the frame before
        it. ``is_damaged`` is set for a replaced frame, and for a frame that is decoded incompletely. Closing the
        generator closes the decoder.
        Raises MediaError frame-undecodable with the number of a frame without a replacement, frame-interlaced,
        frame-size-changes, media-changed when the file is not the probed one; Interrupted when ``stop`` is set.
        """
        if _is_empty(self.info, start, stop):
            return
        with closing(_Decoder(self.info, self._threads, self._stop)) as decoder:
            yield from decoder.frames(start, stop)


class ReaderPool:
    """A reader of ranges of one clip for several threads, with decoders that are reused between ranges.

    A range continues the decoder with the nearest position before it, unless a keyframe is nearer. So a clip with one
    keyframe is decoded at most once by each of ``size`` decoders, for any number of ranges. Reading at most ``size``
    ranges at once uses at most ``size`` decoders, with one frame each. ``close`` closes them.
    """

    def __init__(
        self, info: VideoInfo, size: int, threads: int = _DEFAULT_THREADS, stop: StopFlag | None = None
    ) -> None:
        self.info = info
        self._size = size
        self._threads = threads
        self._stop = stop or StopFlag()
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._busy = 0
        self._is_closed = False

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """Yield the same frames as ``VideoReader.frames``."""
        if _is_empty(self.info, start, stop):
            return
        decoder = self._acquire(start)
        try:
            yield from decoder.frames(start, stop)
        except GeneratorExit:
            self._release(decoder)
            raise
        except BaseException:
            # The position of the decoder is unknown now.
            decoder.close()
            with self._lock:
                self._busy -= 1
            raise
        self._release(decoder)

    def close(self) -> None:
        """Close the decoders; a decoder in use is closed when its range ends."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()

    def _acquire(self, start: int) -> _Decoder:
        dropped = None
        with self._lock:
            self._busy += 1
            near = [decoder for decoder in self._idle if decoder.can_continue(start)]
            if near:
                best = max(near, key=lambda decoder: decoder.position)
                self._idle.remove(best)
                return best
            if self._idle and len(self._idle) + self._busy > self._size:
                dropped = self._idle.pop(0)
        if dropped is not None:
            dropped.close()
        return _Decoder(self.info, self._threads, self._stop)

    def _release(self, decoder: _Decoder) -> None:
        with self._lock:
            self._busy -= 1
            is_reused = not self._is_closed and len(self._idle) + self._busy < self._size
            if is_reused:
                self._idle.append(decoder)
        if not is_reused:
            decoder.close()


class _Decoder:
    """An open decoder at frame ``position``; it stores the previous frame."""

    def __init__(self, info: VideoInfo, threads: int, stop: StopFlag) -> None:
        self.info = info
        self.position = 0
        self._threads = threads
        self._stop = stop
        self._turn = Orientation(info.rotation, info.mirrored)
        self._open = ExitStack()
        self._decoded: Generator[av.VideoFrame, None, None] | None = None
        self._previous: PlaneFrame | None = None
        # The latest decoded frame with its time (stored separately, because the user of the frame may change it), and
        # the frames that are decoded ahead, by their times.
        self._latest: tuple[av.VideoFrame, int] | None = None
        self._ahead: list[tuple[int, av.VideoFrame]] = []
        self._errors: list[str] = []

    def can_continue(self, start: int) -> bool:
        """Whether continuing is the shortest way to frame ``start``, because no keyframe lies between."""
        if self._decoded is None:
            return False
        if self._previous is not None and start == self.position - 1:
            return True
        keyframes = self.info.keyframes
        return self.position <= start and bisect_right(keyframes, start) == bisect_right(keyframes, self.position)

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """Yield the frames from ``start`` on, at least one; after an error or Interrupted the decoder is unusable."""
        check_unchanged(self.info, self._stop)
        if self._previous is not None and start == self.position - 1:
            # The stored frame is unchanged, because frames copy their planes before writing to them.
            yield self._as_frame(self._previous.video, start, self._previous.is_damaged)
            start += 1
            if start == stop:
                return
        video = self._find(start) if self.can_continue(start) else self._seek(start)
        for number in range(start, stop):
            if number > start:
                video = self._find(number)
            frame = self._frame(self._replacement(number) if video is None else video, number, video is None)
            self.position, self._previous = number + 1, self._as_frame(frame.video, number, frame.is_damaged)
            yield frame

    def close(self) -> None:
        """Close decoder and file."""
        self._decoded = None
        self._previous = self._latest = None
        self._ahead = []
        self._open.close()

    def _seek(self, start: int) -> av.VideoFrame | None:
        """Return frame ``start``, decoded after a seek to its time; if the seek ends after it, seek further back.

        Returns None when the decoder returns frames before it, but not the frame itself.
        """
        pts, keyframes = self.info.pts, self.info.keyframes
        # A clip that is decoded from its beginning needs no seek.
        first_key = keyframes[1] if len(keyframes) > 1 else len(pts)
        back = 0
        while True:
            target = pts[start] - back
            is_beginning = start == 0 or target <= pts[0] or start < first_key
            self._begin(None if is_beginning else target)
            video = self._find(start)
            if video is not None or self._latest is not None:
                return video
            if is_beginning:
                raise self._undecodable(start)
            back = back * 2 or max(int(1 / self.info.time_base), 1)

    def _begin(self, seek: int | None) -> None:
        """Open the clip again, at the keyframe before the time ``seek`` (None: at its beginning)."""
        self.close()
        self._open = ExitStack()
        container = self._open.enter_context(open_video(self.info.path))
        stream = find_video(container, self.info.path)
        stream.thread_type = 'AUTO' if self._threads > 1 else 'NONE'
        stream.thread_count = self._threads
        if seek is not None:
            container.seek(seek, stream=stream, backward=True, any_frame=False)
        self._errors = []
        self._decoded = _decode(self._packets(container, stream, seek is not None), self._errors)
        if self.info.is_counted:
            self._decoded = _counted(container.demux(stream), self.info, self._errors)

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream, has_sought: bool
    ) -> Iterator[av.Packet[av.VideoStream]]:
        packets = container.demux(stream)
        return _from_keyframe(packets) if has_sought and self.info.content not in INDEXED else packets

    def _find(self, wanted: int) -> av.VideoFrame | None:
        """Decode up to frame ``wanted`` and return it; None when the decoder does not return it."""
        wanted_time = self.info.pts[wanted]
        while self._look_ahead(wanted_time):
            time, video = self._ahead[0]
            if time > wanted_time:
                return None
            del self._ahead[0]
            if self._latest is None or time > self._latest[1]:
                self._latest = video, time
            if time == wanted_time:
                return video
        return None

    def _look_ahead(self, wanted_time: int) -> bool:
        """Decode up to ``wanted_time``, or until no later frame can have this time; return False at the end."""
        while len(self._ahead) < _DISORDER and not (self._ahead and self._ahead[0][0] <= wanted_time):
            video = next(self._decoded or iter(()), None)
            if video is None:
                break
            self._stop.check()
            if video.pts is not None:
                insort(self._ahead, (video.pts, video), key=lambda entry: entry[0])
        return bool(self._ahead)

    def _replacement(self, number: int) -> av.VideoFrame:
        """Return the latest frame as a replacement for a frame that does not decode."""
        if self._latest is None or self.info.is_counted:
            # If frames are counted, a lost frame makes the numbers of all later frames unknown.
            raise self._undecodable(number)
        video, time = self._latest
        if number - bisect_right(self.info.pts, time) >= _MAXIMUM_REPLACED:
            raise self._undecodable(number)
        return video

    def _undecodable(self, number: int) -> MediaError:
        return MediaError(
            'frame-undecodable',
            f'frame {number} of {self.info.path.name} cannot be decoded',
            cause=self._errors[-1] if self._errors else 'the decoder returns no frame for it',
            hint='repair the clip, export it again, or trim the damaged part off',
        )

    def _frame(self, decoded: av.VideoFrame, number: int, is_replaced: bool) -> PlaneFrame:
        info, video = self.info, decoded
        if video.interlaced_frame:
            raise interlaced(info.path.name, f' from frame {number} on')
        if self._turn.size(video.width, video.height) != (info.width, info.height):
            raise MediaError(
                'frame-size-changes',
                f'{info.path.name} changes its frame size at frame {number}',
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
        # Encoders would reuse the picture type that the decoder set.
        video.pict_type = 0
        return self._as_frame(video, number, is_replaced or decoded.is_corrupt)

    def _as_frame(self, video: av.VideoFrame, number: int, is_damaged: bool) -> PlaneFrame:
        return PlaneFrame(video, number, self.info.pts[number], self.info.color, is_damaged=is_damaged)


def _is_empty(info: VideoInfo, start: int, stop: int) -> bool:
    if not 0 <= start <= stop <= info.frame_count:
        raise InternalError('frame-range', f'frames {start} to {stop} of {info.frame_count} were requested')
    return start == stop


def _decode(packets: Iterator[av.Packet[av.VideoStream]], errors: list[str]) -> Generator[av.VideoFrame, None, None]:
    """Yield all frames that decode; skip damaged packets and store the last reason in ``errors``.

    Raises ResourceError memory-out, threads-out, because a shortage is not damage.
    """
    while True:
        try:
            packet = next(packets)
            frames = packet.decode()
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            raise_shortage(error)
            errors[:] = [error.strerror or str(error)]
            continue
        yield from frames


def _from_keyframe(packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.Packet[av.VideoStream]]:
    """Yield the packets from the first complete keyframe on, because a seek may end within a packet.

    Packets shown before that keyframe depend on packets that were not read.
    """
    # The first packet may be incomplete.
    next(packets, None)
    begin: int | None = None
    for packet in packets:
        if begin is None and packet.is_keyframe:
            begin = packet.pts
        if packet.size == 0 or (begin is not None and packet.pts is not None and packet.pts >= begin):
            yield packet


def _counted(
    packets: Iterator[av.Packet[av.VideoStream]], info: VideoInfo, errors: list[str]
) -> Generator[av.VideoFrame, None, None]:
    """Yield all frames from the beginning on; they get the times of ``info`` in order.

    The generator ends at a missing frame, because the numbers of later frames are unknown. A decoder gives each frame
    the time of its packet, so the time of each packet is set to its number here.
    """
    waiting: deque[int] = deque()
    early = set[int]()

    def numbered() -> Iterator[av.Packet[av.VideoStream]]:
        number = 0
        for packet in packets:
            if packet.is_discard:
                continue
            if packet.size:
                packet.pts = packet.dts = number
                waiting.append(number)
                number += 1
            yield packet

    for time, video in zip(info.pts, _decode(numbered(), errors), strict=False):
        number = -1 if video.pts is None else video.pts
        early.add(number)
        while waiting and waiting[0] in early:
            early.discard(waiting.popleft())
        if errors or (waiting and waiting[0] < number - _MAXIMUM_DELAY):
            return
        video.pts = time
        yield video


def _is_rgb(video: av.VideoFrame) -> bool:
    return bool(video.format.is_rgb or video.format.has_palette)
