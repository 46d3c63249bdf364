"""Probe a media file: measure its packets instead of trusting the values in the header of its container."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import floor
from os import stat_result
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import av.logging
import av.stream

from facefusion.errors import MediaError
from facefusion.media.color import ColorSpec
from facefusion.media.extras import Extras, describe_extras, never_kept
from facefusion.media.file_stamp import FileStamp
from facefusion.media.gaps import TimeGap, find_gaps, gaps_as_text
from facefusion.media.hidden_layers import has_hidden_alpha, has_second_layer, shows_alpha
from facefusion.media.image import probe_image
from facefusion.media.info import AudioInfo, MediaInfo, VideoInfo
from facefusion.media.kinds import find_kind
from facefusion.media.opening import open_input
from facefusion.media.orientation import Orientation
from facefusion.media.planes import nearest_plane_format
from facefusion.media.timestamps import Times, audio_streams, plain_fraction, read_times
from facefusion.media.truncation import check_complete, missing_at_end
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# FFmpeg has one log level for the process: two threads that change it at once would restore the wrong level.
_LOG_LEVEL = threading.Lock()


def probe(path: Path, stop: StopFlag | None = None) -> MediaInfo:
    """Measure a media file: read every packet of its video, and decode one frame.

    Raises MediaError: those of ``find_kind``, media-truncated, media-damaged, media-no-video, media-no-frames,
    frame-interlaced, and for images those of ``facefusion.media.image``. Raises Interrupted when ``stop`` is set.
    """
    stop = stop or StopFlag()
    kind = find_kind(path)
    if kind.family == 'image':
        return probe_image(path)
    check_complete(path, kind.content)
    before = path.stat()
    with open_video(path) as container:
        stream = find_video(container, path)
        first = _first_frame(container, stream, path, stop)
        if first.video.interlaced_frame:
            raise interlaced(path.name)
    with open_video(path) as container:
        extras = describe_extras(container)
        stream = find_video(container, path)
        times = read_times(container, stream, path, kind.content, first.pts, first.delay, stop)
        if not times.trouble:
            times = times._replace(trouble=missing_at_end(path, kind.content))
        return _describe(path, container, stream, _Measured(before, kind.content, first, times, extras))


@contextmanager
def open_video(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a clip for reading. Raises MediaError media-damaged with FFmpeg's reason."""
    try:
        container = open_input(path)
    except av.error.FFmpegError as error:
        raise MediaError(
            'media-damaged',
            f'{path.name} cannot be opened',
            cause=_why(path, error),
            hint='check that the file plays; copy or export it again',
        ) from None
    with container:
        yield container


def find_video(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first video stream that is not a cover image; discard all others. Raises MediaError media-no-video."""
    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    found: av.VideoStream | None = None
    for stream in container.streams:
        if found is None and isinstance(stream, av.VideoStream) and not stream.disposition & covers:
            found = stream
        else:
            stream.discard = av.stream.Discard.all
    if found is None:
        content = 'only audio' if container.streams.audio else 'no stream that can be displayed'
        raise MediaError(
            'media-no-video',
            f'{path.name} has no video stream',
            cause=f'the file has {content}',
            hint='use a video as the target',
        )
    if found.codec_context is None:
        raise MediaError(
            'media-codec-unknown', f'the video codec of {path.name} is unknown', hint='export the clip as H.264'
        )
    return found


class _First(NamedTuple):
    """The first frame that decodes, its time, and the number of packets that the decoder needs before it.

    ``has_alpha`` and ``has_layer`` report parts of the video that the decoder does not return: an alpha channel, a
    second layer.
    """

    video: av.VideoFrame
    pts: int | None
    delay: int
    has_alpha: bool
    has_layer: bool


def interlaced(name: str, where: str = '') -> MediaError:
    """Return the error for a clip whose frames consist of two fields, recorded at two moments."""
    return MediaError(
        'frame-interlaced',
        f'{name} is interlaced{where}, which is not supported',
        cause='each of its frames mixes the lines of two moments, so that a face has no single position',
        hint='deinterlace it first, for example with the filter bwdif of FFmpeg',
    )


def _first_frame(container: av.container.InputContainer, stream: av.VideoStream, path: Path, stop: StopFlag) -> _First:
    """Return the first frame that decodes and its time; earlier packets (of a cut open GOP) yield no frame."""
    cause = ''
    packets = container.demux(stream)
    count = 0
    has_alpha = has_layer = False
    while True:
        stop.check()
        try:
            packet = next(packets)
            if not count and packet.size:
                has_alpha, has_layer = has_hidden_alpha(stream, packet), has_second_layer(stream, packet)
            for frame in packet.decode():
                if not frame.is_corrupt:
                    return _First(frame, frame.pts, count, has_alpha, has_layer)
            count += packet.size > 0
        except StopIteration:
            break
        except av.error.EOFError:
            break
        except av.error.FFmpegError as error:
            raise_shortage(error)
            cause = str(error)
    raise MediaError(
        'media-no-frames',
        f'{path.name} has a video stream, but no frame in it can be decoded',
        cause=cause or 'the stream is empty',
        hint='check that the file plays; copy or export it again',
    )


class _Measured(NamedTuple):
    """The measurements of a clip, and the file's status before it was read."""

    status: stat_result
    content: str
    first: _First
    times: Times
    extras: Extras


def _remarks(container: av.container.InputContainer, measured: _Measured, gaps: tuple[TimeGap, ...]) -> tuple[str, ...]:
    """Return remarks on unreadable parts of a file, and on parts that no output will have."""
    times = measured.times
    remarks = []
    if times.trouble:
        remarks.append(f'the file ends early ({times.trouble}): {len(times.pts)} frames can be read')
    if gaps:
        remarks.append(gaps_as_text(gaps))
    if times.doubled:
        remarks.append(f'frames with the time of another frame are not shown: {times.doubled}')
    if measured.first.has_layer:
        remarks.append('its second layer, a transparency or the view of the other eye, is not kept')
    sounds: list[Any] = list(container.streams.audio)
    for number, sound in enumerate(sounds, 1):
        if sound.codec_context is None:
            remarks.append(f'audio stream {number} is left out: its codec is unknown')
        elif sound.index not in times.heard:
            remarks.append(f'audio stream {number} is left out: it is empty')
    return (*remarks, *never_kept(measured.extras))


def _describe(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, measured: _Measured
) -> VideoInfo:
    status, content, first, times, extras = measured
    video, pts, time_base = first.video, times.pts, stream.time_base
    if time_base is None:
        raise MediaError('media-damaged', f'{path.name} has no time base')
    last = times.last if times.last > 0 else _usual_duration(pts, stream, time_base)
    span = (pts[-1] + last - pts[0]) * time_base
    turn = Orientation.from_frame(video)
    width, height = turn.size(video.width, video.height)
    context = stream.codec_context
    aspect = context.sample_aspect_ratio or Fraction(1)
    gaps = () if times.is_counted else find_gaps(pts, time_base, content)
    audio = tuple(describe_audio(sound) for sound in audio_streams(container) if sound.index in times.heard)
    return VideoInfo(
        path=path,
        size=status.st_size,
        stamp=FileStamp(status),
        width=width,
        height=height,
        rotation=turn.rotation,
        mirrored=turn.mirrored,
        aspect=1 / aspect if turn.swaps_sides else aspect,
        stream_index=stream.index,
        codec=context.name,
        pix_fmt=video.format.name,
        plane_format=turn.plane_format(nearest_plane_format(video.format.name)),
        bits=video.format.components[0].bits,
        has_alpha=first.has_alpha or shows_alpha(video),
        color=ColorSpec.from_frame(video),
        time_base=time_base,
        average_rate=_tidy_rate(Fraction(len(pts)) / span, plain_fraction(stream.average_rate)),
        pts=pts,
        last_duration=last,
        audio=audio,
        keyframes=times.keyframes,
        remarks=_remarks(container, measured, gaps),
        content=content,
        is_counted=times.is_counted,
        clock=_clock(content, pts[0], time_base, audio),
        extras=extras,
        gaps=gaps,
    )


def _usual_duration(pts: array[int], stream: av.VideoStream, time_base: Fraction) -> int:
    """Return the duration in ticks to assume for the last frame if it is unknown: that of the frame before it."""
    rate = plain_fraction(stream.average_rate) or Fraction(25)
    return pts[-1] - pts[-2] if len(pts) > 1 else max(round(1 / (rate * time_base)), 1)


def _clock(content: str, first: int, time_base: Fraction, audio: tuple[AudioInfo, ...]) -> int:
    """Return the ticks at which the first stream begins if the clock may start at any time (mpeg, ts); else 0."""
    if content not in ('mpeg', 'mpegts'):
        return 0
    starts = [floor(sound.start * sound.time_base / time_base) for sound in audio if sound.start is not None]
    return min([first, *starts])


def _tidy_rate(measured: Fraction, claimed: Fraction | None) -> Fraction:
    """Return the container's rate if it agrees with the measured one to a thousandth; else the measured one."""
    if claimed and abs(claimed - measured) <= claimed / 1000:
        return claimed
    return measured.limit_denominator(1001 * 60)


def describe_audio(stream: av.AudioStream) -> AudioInfo:
    """Return the description of an audio stream with a known codec."""
    context = stream.codec_context
    return AudioInfo(
        index=stream.index,
        codec=context.name,
        rate=context.sample_rate,
        channels=context.channels,
        layout=context.layout.name,
        time_base=stream.time_base or Fraction(1, context.sample_rate or 48000),
        start=stream.start_time,
    )


def _why(path: Path, error: av.error.FFmpegError) -> str:
    """Return FFmpeg's reason with its last log line, which requires opening the file again with the log on."""
    with _LOG_LEVEL:
        level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        # FFmpeg would omit the line if another thread had logged the same line just before.
        av.logging.set_skip_repeated(False)
        try:
            # The first capture drops the lines of other threads; this thread's lines go to the second.
            with av.logging.Capture(local=False), av.logging.Capture() as lines, suppress(av.error.FFmpegError):
                open_input(path).close()
            logged = [text.strip() for _, _, text in lines if text.strip()]
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips)
    reason = error.strerror or str(error)
    return f'{reason}; {logged[-1]}' if logged else reason
