"""The display times of a clip's frames, from its packets."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import av.error
import av.stream
import numpy as np

from facefusion.errors import MediaError
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# Containers that store display times and in which a seek by time finds every frame.
INDEXED = ('mp4', 'matroska')
# Codecs (FFmpeg's names) whose frames are always stored in display order.
_IN_ORDER = {
    *('mjpeg', 'rawvideo', 'ffv1', 'huffyuv', 'ffvhuff', 'dvvideo', 'prores', 'dnxhd', 'vp8', 'vp9', 'jpeg2000'),
    *('wmv1', 'wmv2', 'msmpeg4v1', 'msmpeg4v2', 'msmpeg4', 'msmpeg4v3', 'cinepak', 'utvideo', 'png', 'qtrle'),
}
_UNKNOWN = -(2**63)


class Times(NamedTuple):
    """The times in a clip's packets; ``last`` is the last frame's duration in ticks (0: unknown).

    ``heard`` are the audio streams with packets; ``trouble`` is the reason why reading ended early ('' if it did not);
    ``is_counted`` is as in ``VideoInfo``; ``doubled`` is the number of frames with the time of another frame.
    """

    pts: array[int]
    last: int
    keyframes: array[int]
    heard: frozenset[int]
    trouble: str
    is_counted: bool
    doubled: int = 0


class _Packets(NamedTuple):
    """Display time, decoding time (or ``_UNKNOWN``) and keyframe flag of every video packet in file order; then the
    fields of ``Times``. ``is_cut``: whether an edit list hides packets before the first stored one."""

    shown: array[int]
    decoded: array[int]
    is_key: bytearray
    duration: int
    heard: frozenset[int]
    trouble: str
    is_cut: bool


def read_times(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    path: Path,
    content: str,
    first: int | None,
    delay: int,
    stop: StopFlag,
) -> Times:
    """Measure a clip whose first decodable frame has the time ``first`` and comes after ``delay`` packets.

    Raises MediaError media-damaged, media-untimed; Interrupted.
    """
    packets = _read(container, stream, path, stop)
    if content not in INDEXED and not _are_stated(packets, content, stream.codec_context.name):
        rate = plain_fraction(stream.average_rate)
        step = 1 / (rate * stream.time_base) if rate and stream.time_base else 0
        return _counted(packets, path, delay, int(step))
    shown = [own if own != _UNKNOWN else other for own, other in zip(packets.shown, packets.decoded, strict=True)]
    if _UNKNOWN in shown or first is None:
        raise _untimed(path, 'frames without a time')
    visible = [time for time in shown if time >= first]
    pts = array('q', sorted(set(visible)))
    keys = sorted({time for time, is_key in zip(shown, packets.is_key, strict=True) if is_key and time >= first})
    # A seek in a program stream may end anywhere, so such a stream is always read from its beginning.
    keyframes = array('q', [0] if content == 'mpeg' else (bisect_left(pts, time) for time in keys))
    last = _last_duration(packets, stream, pts) if content == 'mp4' else packets.duration
    return Times(pts, last, keyframes, packets.heard, packets.trouble, False, len(visible) - len(pts))


def _last_duration(packets: _Packets, stream: av.VideoStream, pts: array[int]) -> int:
    """Return the ticks for which the last frame of an mp4 or mov is shown; 0 if unknown.

    A sample's duration is the time to the next decoded sample (ISO/IEC 14496-12, 8.6.1.2), which is not the duration of
    its frame if frames are reordered. In that case the end of the track is used, if plausible. If an edit list begins
    within a frame, FFmpeg drops that frame and moves the others, but not the end of the track.
    """
    shown = np.frombuffer(packets.shown, np.int64)
    if packets.is_cut or not (np.diff(shown) < 0).any():
        return packets.duration
    longest = max(int(np.diff(np.frombuffer(pts, np.int64)).max(initial=0)), packets.duration)
    stated = (stream.start_time or 0) + (stream.duration or 0) - pts[-1]
    return stated if stream.duration and 0 < stated <= 2 * longest else packets.duration


def plain_fraction(value: Any) -> Fraction | None:
    """Return a rate from PyAV as a plain fraction, None if unknown.

    From version 19 on PyAV has a more limited type of its own, with 0/0 for unknown rates.
    """
    return Fraction(value.numerator, value.denominator) if value is not None and value.denominator else None


def audio_streams(container: av.container.InputContainer) -> list[av.AudioStream]:
    """Return the audio streams with a known codec."""
    return [stream for stream in container.streams.audio if stream.codec_context is not None]


def _read(container: av.container.InputContainer, stream: av.VideoStream, path: Path, stop: StopFlag) -> _Packets:
    shown, decoded, is_key = array('q'), array('q'), bytearray()
    latest, duration = _UNKNOWN, 0
    heard, trouble, is_cut = set[int](), '', False
    sounds = audio_streams(container)
    for sound in sounds:
        sound.discard = av.stream.Discard.default
    try:
        for packet in container.demux(stream, *sounds):
            stop.check()
            if packet.size == 0:
                continue
            if packet.stream.index != stream.index:
                # One packet proves that the stream has audio.
                heard.add(packet.stream.index)
                packet.stream.discard = av.stream.Discard.all
                continue
            if packet.is_discard:
                is_cut = is_cut or not shown
                continue
            shown.append(_UNKNOWN if packet.pts is None else packet.pts)
            decoded.append(_UNKNOWN if packet.dts is None else packet.dts)
            is_key.append(packet.is_keyframe)
            time = max(shown[-1], decoded[-1]) if shown[-1] == _UNKNOWN else shown[-1]
            if time >= latest:
                latest, duration = time, packet.duration or 0
    except av.error.FFmpegError as error:
        raise_shortage(error)
        trouble = error.strerror or str(error)
        if not shown:
            raise MediaError('media-damaged', f'{path.name} cannot be read', cause=trouble) from None
    return _Packets(shown, decoded, is_key, duration, frozenset(heard), trouble, is_cut)


def _are_stated(packets: _Packets, content: str, codec: str) -> bool:
    """Whether the display times are the file's own, not derived by FFmpeg from decoding times."""
    shown = np.frombuffer(packets.shown, np.int64)
    if codec in _IN_ORDER:
        return True
    if (shown == _UNKNOWN).any() or len(np.unique(shown)) != len(shown):
        return False
    # Avi, asf and some mxf files have only decoding times, and times derived from these always ascend.
    return content in ('mpeg', 'mpegts', 'flv') or bool((np.diff(shown) < 0).any())


def _counted(packets: _Packets, path: Path, delay: int, usual: int) -> Times:
    """Return the decoding times, one for each frame, plus the decoder's delay.

    ``usual`` is the distance between frames, in ticks, to use if no packet has a time (0: unknown).
    """
    decoded = np.frombuffer(packets.decoded, np.int64)
    if usual and (decoded == _UNKNOWN).all():
        decoded = np.arange(len(decoded), dtype=np.int64) * usual
    known = np.flatnonzero(decoded != _UNKNOWN)
    steps = np.diff(decoded[known])
    if not len(known) or (steps <= 0).any():
        raise _untimed(path, 'frames without a time of their own')
    step = int(np.median(steps / np.diff(known))) if len(known) > 1 else 1
    begin = decoded[known[0]] - step * known[0]
    places = np.arange(len(decoded))
    times = np.rint(np.interp(places, known, decoded[known] - begin)).astype(np.int64) + begin
    times[: known[0]] = begin + step * places[: known[0]]
    times[known[-1] + 1 :] = decoded[known[-1]] + step * (places[known[-1] + 1 :] - known[-1])
    lag = int(times[min(delay, len(times) - 1)] - times[0])
    pts = array('q', (times + lag).tolist())
    if (np.diff(times) <= 0).any():
        raise _untimed(path, 'frames without a time of their own')
    return Times(pts, packets.duration, array('q', [0]), packets.heard, packets.trouble, True)


def _untimed(path: Path, reason: str) -> MediaError:
    return MediaError('media-untimed', f'{path.name} has {reason}', hint='export the clip as mp4')
