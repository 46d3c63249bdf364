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
# More than any codec's reordering (16 pictures) and what a decoder's threads hold.
_LATEST = 48
# Frames in a row that are made up for by the picture before them: more than that is no damage but another clip.
_LONGEST_HELD = 250
# Pictures among which one is looked for that comes behind later ones: some files have times that do not ascend.
_DISORDER = 4


class VideoReader:
    """Reads ranges of one clip; every call of ``frames`` opens its own decoder, so calls do not disturb each other."""

    def __init__(self, info: VideoInfo, threads: int = _DEFAULT_THREADS, stop: StopFlag | None = None) -> None:
        self.info = info
        self._threads = threads
        self._stop = stop or StopFlag()

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """Frames start <= number < stop in order, each once, upright, in the clip's ``plane_format``.

        Frames are found by their time, not by counting. One that does not decode shows the picture before it, and
        has ``is_damaged`` set, as has one that the decoder could not read to its end. Closing the generator frees the
        decoder at once. Raises MediaError frame-undecodable with the number of a frame that nothing can stand in for,
        frame-interlaced, frame-size-changes, media-changed when the file is not the one that was probed; Interrupted
        when ``stop`` is set.
        """
        if _is_empty(self.info, start, stop):
            return
        with closing(_Decoder(self.info, self._threads, self._stop)) as decoder:
            yield from decoder.frames(start, stop)


class ReaderPool:
    """Reads ranges of one clip from several threads with decoders that are kept between the ranges.

    A decoder goes on from where it stands when nothing is nearer to the range's start: a clip with one keyframe is
    decoded once for each of ``size`` decoders, however many ranges it is read in. At most ``size`` decoders, and one
    frame of each, are held by what reads at most ``size`` ranges at once. ``close`` frees them.
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
        """As ``VideoReader.frames``, the same frames to the bit."""
        if _is_empty(self.info, start, stop):
            return
        decoder = self._take(start)
        try:
            yield from decoder.frames(start, stop)
        except GeneratorExit:
            self._give_back(decoder)
            raise
        except BaseException:
            # Where it stands now is not known.
            decoder.close()
            with self._lock:
                self._busy -= 1
            raise
        self._give_back(decoder)

    def close(self) -> None:
        """Frees the decoders; one that is being read from is freed when that ends."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.close()

    def _take(self, start: int) -> _Decoder:
        dropped = None
        with self._lock:
            self._busy += 1
            near = [decoder for decoder in self._idle if decoder.goes_on(start)]
            if near:
                best = max(near, key=lambda decoder: decoder.position)
                self._idle.remove(best)
                return best
            if self._idle and len(self._idle) + self._busy > self._size:
                dropped = self._idle.pop(0)
        if dropped is not None:
            dropped.close()
        return _Decoder(self.info, self._threads, self._stop)

    def _give_back(self, decoder: _Decoder) -> None:
        with self._lock:
            self._busy -= 1
            is_kept = not self._is_closed and len(self._idle) + self._busy < self._size
            if is_kept:
                self._idle.append(decoder)
        if not is_kept:
            decoder.close()


class _Decoder:
    """One open decoder; it stands before frame ``position`` and keeps the frame before that."""

    def __init__(self, info: VideoInfo, threads: int, stop: StopFlag) -> None:
        self.info = info
        self.position = 0
        self._threads = threads
        self._stop = stop
        self._turn = Orientation(info.rotation, info.mirrored)
        self._open = ExitStack()
        self._pictures: Generator[av.VideoFrame, None, None] | None = None
        self._kept: PlaneFrame | None = None
        # The latest picture with its time (who has it may change its own), and those that were decoded but lie behind
        # the frame that was looked for, by their times.
        self._before: tuple[av.VideoFrame, int] | None = None
        self._ahead: list[tuple[int, av.VideoFrame]] = []
        self._trouble: list[str] = []

    def goes_on(self, start: int) -> bool:
        """Whether decoding on is the shortest way to frame ``start``: no keyframe lies before it that is nearer."""
        if self._pictures is None:
            return False
        if self._kept is not None and start == self.position - 1:
            return True
        keyframes = self.info.keyframes
        return self.position <= start and bisect_right(keyframes, start) == bisect_right(keyframes, self.position)

    def frames(self, start: int, stop: int) -> Generator[PlaneFrame, None, None]:
        """The frames from ``start`` on, at least one; after an error or a stop the decoder is of no use."""
        check_unchanged(self.info, self._stop)
        if self._kept is not None and start == self.position - 1:
            # What was made of it does not show: a frame copies its planes before it writes them.
            yield self._made(self._kept.video, start, self._kept.is_damaged)
            start += 1
            if start == stop:
                return
        picture = self._find(start) if self.goes_on(start) else self._landed(start)
        for number in range(start, stop):
            if number > start:
                picture = self._find(number)
            frame = self._frame(self._held(number) if picture is None else picture, number, picture is None)
            self.position, self._kept = number + 1, self._made(frame.video, number, frame.is_damaged)
            yield frame

    def close(self) -> None:
        """Frees decoder and file."""
        self._pictures = None
        self._kept = self._before = None
        self._ahead = []
        self._open.close()

    def _landed(self, start: int) -> av.VideoFrame | None:
        """The picture of frame ``start``, decoded from where a seek ends, or from further back when that ended behind
        the frame; None when the decoder gives pictures before the frame, but none for it."""
        pts, keyframes = self.info.pts, self.info.keyframes
        # A clip that is decoded from its beginning at any rate needs no seek.
        first_key = keyframes[1] if len(keyframes) > 1 else len(pts)
        back = 0
        while True:
            target = pts[start] - back
            is_beginning = start == 0 or target <= pts[0] or start < first_key
            self._begin(None if is_beginning else target)
            picture = self._find(start)
            if picture is not None or self._before is not None:
                return picture
            if is_beginning:
                raise self._undecodable(start)
            back = back * 2 or max(int(1 / self.info.time_base), 1)

    def _begin(self, seek: int | None) -> None:
        """Opens the clip anew, at the keyframe before the time ``seek`` (None: at its beginning)."""
        self.close()
        self._open = ExitStack()
        container = self._open.enter_context(open_video(self.info.path))
        stream = find_video(container, self.info.path)
        stream.thread_type = 'AUTO' if self._threads > 1 else 'NONE'
        stream.thread_count = self._threads
        if seek is not None:
            container.seek(seek, stream=stream, backward=True, any_frame=False)
        self._trouble = []
        self._pictures = _decode(self._packets(container, stream, seek is not None), self._trouble)
        if self.info.is_counted:
            self._pictures = _counted(container.demux(stream), self.info, self._trouble)

    def _packets(
        self, container: av.container.InputContainer, stream: av.VideoStream, has_sought: bool
    ) -> Iterator[av.Packet[av.VideoStream]]:
        packets = container.demux(stream)
        return _from_keyframe(packets) if has_sought and self.info.content not in INDEXED else packets

    def _find(self, wanted: int) -> av.VideoFrame | None:
        """The picture of a frame, those before it passed over; None when the decoder has none for it."""
        wanted_time = self.info.pts[wanted]
        while self._look_ahead(wanted_time):
            time, picture = self._ahead[0]
            if time > wanted_time:
                return None
            del self._ahead[0]
            if self._before is None or time > self._before[1]:
                self._before = picture, time
            if time == wanted_time:
                return picture
        return None

    def _look_ahead(self, wanted_time: int) -> bool:
        """Decodes until it has a picture for a time or one before it, or enough to know that there is none; False
        behind the last picture."""
        while len(self._ahead) < _DISORDER and not (self._ahead and self._ahead[0][0] <= wanted_time):
            picture = next(self._pictures or iter(()), None)
            if picture is None:
                break
            self._stop.check()
            if picture.pts is not None:
                insort(self._ahead, (picture.pts, picture), key=lambda entry: entry[0])
        return bool(self._ahead)

    def _held(self, number: int) -> av.VideoFrame:
        """The picture that stands in for a frame without one: the latest before it."""
        if self._before is None or self.info.is_counted:
            # Where pictures are counted, those behind one that is lost cannot be told apart.
            raise self._undecodable(number)
        held, time = self._before
        if number - bisect_right(self.info.pts, time) >= _LONGEST_HELD:
            raise self._undecodable(number)
        return held

    def _undecodable(self, number: int) -> MediaError:
        return MediaError(
            'frame-undecodable',
            f'frame {number} of {self.info.path.name} cannot be decoded',
            cause=self._trouble[-1] if self._trouble else 'the decoder gives no picture for it',
            hint='repair or export the clip again, or trim the damaged part off',
        )

    def _frame(self, picture: av.VideoFrame, number: int, is_held: bool) -> PlaneFrame:
        info, video = self.info, picture
        if video.interlaced_frame:
            raise interlaced(info.path.name, f' from frame {number} on')
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
        return self._made(video, number, is_held or picture.is_corrupt)

    def _made(self, video: av.VideoFrame, number: int, is_damaged: bool) -> PlaneFrame:
        return PlaneFrame(video, number, self.info.pts[number], self.info.color, is_damaged=is_damaged)


def _is_empty(info: VideoInfo, start: int, stop: int) -> bool:
    if not 0 <= start <= stop <= info.frame_count:
        raise InternalError('frame-range', f'frames {start} to {stop} of {info.frame_count} were asked for')
    return start == stop


def _decode(packets: Iterator[av.Packet[av.VideoStream]], trouble: list[str]) -> Generator[av.VideoFrame, None, None]:
    """All pictures that decode; damaged packets are passed over and noted in ``trouble`` (the last reason).

    Raises ResourceError memory-out, threads-out: a picture that lacks only these is not damaged.
    """
    while True:
        try:
            packet = next(packets)
            pictures = packet.decode()
        except (StopIteration, av.error.EOFError):
            return
        except av.error.FFmpegError as error:
            raise_shortage(error)
            trouble[:] = [error.strerror or str(error)]
            continue
        yield from pictures


def _from_keyframe(packets: Iterator[av.Packet[av.VideoStream]]) -> Iterator[av.Packet[av.VideoStream]]:
    """The packets from the first whole keyframe on: a seek by times may end in the middle of anything.

    Packets that are shown before that keyframe build on ones that were not read.
    """
    # The first packet may be the end of one.
    next(packets, None)
    begin: int | None = None
    for packet in packets:
        if begin is None and packet.is_keyframe:
            begin = packet.pts
        if packet.size == 0 or (begin is not None and packet.pts is not None and packet.pts >= begin):
            yield packet


def _counted(
    packets: Iterator[av.Packet[av.VideoStream]], info: VideoInfo, trouble: list[str]
) -> Generator[av.VideoFrame, None, None]:
    """All pictures from the beginning on with the times of ``info``, one after the other.

    Ends where one does not come: those after it could not be told apart. A decoder hands on with each picture the time
    of its packet, which is that packet's number here.
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

    for time, picture in zip(info.pts, _decode(numbered(), trouble), strict=False):
        number = -1 if picture.pts is None else picture.pts
        early.add(number)
        while waiting and waiting[0] in early:
            early.discard(waiting.popleft())
        if trouble or (waiting and waiting[0] < number - _LATEST):
            return
        picture.pts = time
        yield picture


def _is_rgb(video: av.VideoFrame) -> bool:
    return bool(video.format.is_rgb or video.format.has_palette)
