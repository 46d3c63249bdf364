"""Join encoded segments and the source's audio into one file, with every frame at its exact time."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError, Interrupted, ResourceError
from facefusion.media.audio import AudioPlan
from facefusion.media.audio_feed import AudioFeed
from facefusion.media.container_support import tag_options
from facefusion.media.containers import BOXED, CONTAINERS
from facefusion.media.encoder import ALPHA_TAG, SEGMENT_TICK, EncoderSettings, tag_colors
from facefusion.media.extras import carried_tags, describe_stream
from facefusion.media.files import ffmpeg_name, write_failure
from facefusion.media.info import MediaInfo, VideoInfo
from facefusion.media.probe import open_video
from facefusion.media.side_streams import ExtrasPlan, SubtitleFeed, add_attachments, add_subtitles, chapters_of
from facefusion.media.timeline import Timeline
from facefusion.stopping import StopFlag

_MAXIMUM_DELAY = 16


Opener = Callable[[Path], AbstractContextManager[Any]]


class _DelayTooShort(Exception):
    """A packet must be decoded earlier than the current delay allows; ``needed`` is a sufficient delay."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Joining:
    """The parts of an output: the segments contain all frames of the timeline, in order.

    ``delay`` is the number of frames by which the decoding order of the segments precedes the presentation order
    (``SegmentWriter.delay``).
    ``extras`` are further streams and data of the clip ``info`` (None: only its tags); unused for an image.
    ``opener`` opens a segment for one read from start to end; by default FFmpeg opens its path.
    """

    segments: Sequence[Path]
    timeline: Timeline
    info: MediaInfo
    encoder: EncoderSettings
    audio: AudioPlan
    extras: ExtrasPlan | None = None
    delay: int = 0
    opener: Opener | None = None


def join_segments(joining: Joining, output_part: Path, stop: StopFlag) -> tuple[str, ...]:
    """Write segments with the planned audio to ``output_part``; return the losses that were unknown to the plan.

    Only audio that is encoded again is decoded. Frame times are exactly those of the timeline, or rounded to the unit
    of the container (mkv, webm, wmv: milliseconds; mpg, ts: 1/90000 s, counted from one second; avi, mxf: frames).
    Raises InternalError when the segments do not fit together, MediaError when the audio cannot be read, ResourceError
    disk-full, work-unreadable, Interrupted; a failure leaves no file.
    """
    encoder = joining.encoder
    if encoder.is_counted:
        slots = joining.timeline.counted(encoder.rate, CONTAINERS[encoder.extension].has_gaps)
        joining = replace(joining, timeline=slots)
    delay = joining.delay
    try:
        while True:
            try:
                return _write(joining, output_part, stop, delay)
            except _DelayTooShort as short:
                if not delay < short.needed <= _MAXIMUM_DELAY:
                    raise InternalError(
                        'join-delay', f'frames of {joining.info.path.name} are reordered by {short.needed}'
                    ) from None
                delay = short.needed
    except BaseException:
        output_part.unlink(missing_ok=True)
        raise


def _write(joining: Joining, output_part: Path, stop: StopFlag, delay: int) -> tuple[str, ...]:
    feed = None
    info, encoder, timeline = joining.info, joining.encoder, joining.timeline
    rates = [track.rate for track in joining.audio.tracks]
    tags = dict(info.extras.tags) if isinstance(info, VideoInfo) else {}
    with (
        open_output(output_part, encoder.extension, timeline.time_base, rates, stop, tags) as output,
        ExitStack() as stack,
    ):
        opened = stack.enter_context(closing(_packets(joining.segments[0], stop, joining.opener)))
        first = next(opened)
        stream = output.add_stream_from_template(first.stream)
        extradata = first.stream.codec_context.extradata
        _describe(stream, encoder, timeline)
        sources = [_video_packets(joining, chain([first], opened), extradata, stream, delay, stop)]
        if joining.audio.tracks:
            feed = stack.enter_context(closing(AudioFeed(info, joining.audio, output, stop)))
            sources.append(iter(feed))
        if isinstance(info, VideoInfo):
            source = stack.enter_context(open_video(info.path))
            carry_metadata(source, output)
            describe_stream(source.streams[info.stream_index], stream)
            if joining.extras is not None:
                sources += _add_extras(source, info, joining.extras, output, stop, stack)
        mux_in_order(sources, output, stop)
        return feed.remarks if feed is not None else ()


def _add_extras(
    source: av.container.InputContainer,
    info: VideoInfo,
    extras: ExtrasPlan,
    output: av.container.OutputContainer,
    stop: StopFlag,
    stack: ExitStack,
) -> list[Iterator[av.Packet[Any]]]:
    """Add the extras of a clip to an output; return the packets still to be written."""
    packets: list[Iterator[av.Packet[Any]]] = []
    if extras.subtitles:
        texts = stack.enter_context(closing(SubtitleFeed(info, extras, add_subtitles(output), stop)))
        packets.append(iter(texts))
    if extras.has_attachments:
        add_attachments(source, output)
    if extras.has_chapters:
        output.set_chapters(chapters_of(source, extras))
    return packets


def carry_metadata(source: av.container.InputContainer, output: av.container.OutputContainer) -> None:
    """Copy the tags of a clip, except those that FFmpeg writes itself."""
    output.metadata.update(carried_tags(source.metadata))


def mux_in_order(
    sources: Sequence[Iterator[av.Packet[Any]]], output: av.container.OutputContainer, stop: StopFlag
) -> None:
    """Write the packets of all sources in the order of their decoding times. Raises Interrupted, FFmpegError."""
    has_begun = output.format.name != 'avi'
    for _, packet in heapq.merge(*map(_timed, sources), key=lambda entry: entry[0]):
        stop.check()
        if not has_begun and packet.stream.type == 'video':
            has_begun = True
            if packet.dts:
                output.mux(_empty_slot(packet))
        output.mux(packet)


def _empty_slot(first: av.Packet[Any]) -> av.Packet[Any]:
    """Return an empty packet at time 0: the muxer adds empty slots itself, but only after the first packet."""
    slot: av.Packet[Any] = av.Packet(0)
    slot.stream, slot.time_base = first.stream, first.time_base
    slot.pts = slot.dts = 0
    return slot


@contextmanager
def open_output(
    path: Path,
    extension: str,
    time_base: Fraction,
    rates: Sequence[int],
    stop: StopFlag,
    tags: Mapping[str, str] | None = None,
) -> Iterator[av.container.OutputContainer]:
    """Open an output for video in ``time_base`` and audio of ``rates``; complete it at the end of the block.

    ``tags`` are its tags, which may change the muxer's options.

    FFmpeg errors in the block must come from writing: they become ResourceError disk-full, OutputError
    output-unwritable or InternalError join-failed. Code that reads must raise errors of its own.
    """
    options = _container_options(extension, time_base, rates)
    for name, more in tag_options(tags or {}, extension).items():
        options[name] = options.get(name, '') + more
    try:
        with _finished(path, CONTAINERS[extension].muxer, options, stop) as output:
            yield output
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise write_failure(error, path) from None
        raise InternalError('join-failed', f'{path.name} cannot be written', cause=str(error)) from None


@contextmanager
def _finished(
    path: Path, container_format: str, options: dict[str, str], stop: StopFlag
) -> Iterator[av.container.OutputContainer]:
    """Open an output and complete it at the end of the block, except after an error or a stop.

    In those cases, closing the output would move all its bytes to put the index in front, although the file is then
    deleted. To move the bytes, FFmpeg reads the file through ``_ReadBack``, which then raises an error.
    """
    abandoned = StopFlag(stop)

    def open_again(url: str, flags: int, options: Mapping[str, str]) -> _ReadBack:
        return _ReadBack(path, abandoned)

    output = av.open(ffmpeg_name(path), 'w', format=container_format, options=options, io_open=open_again)
    try:
        yield output
    except BaseException:
        abandoned.set('the output is abandoned')
        with suppress(av.error.FFmpegError, Interrupted):
            output.close()
        raise
    output.close()
    stop.check()


class _ReadBack:
    """The bytes of an output for FFmpeg; reading fails once the output is abandoned."""

    def __init__(self, path: Path, abandoned: StopFlag) -> None:
        abandoned.check()
        self._file = path.open('rb', buffering=0)
        self._abandoned = abandoned

    def read(self, count: int) -> bytes:
        self._abandoned.check()
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def _container_options(extension: str, time_base: Fraction, rates: Sequence[int]) -> dict[str, str]:
    # By default FFmpeg shifts all times to make the first decoding time positive, but they must stay exact.
    options = {'avoid_negative_ts': 'disabled'}
    if CONTAINERS[extension].starts_at:
        # The decoding times before the first frame would be negative, which these containers cannot store.
        options['output_ts_offset'] = str(CONTAINERS[extension].starts_at)
    if extension in BOXED:
        # The start of a track is stored in ticks of the movie: by default milliseconds, too coarse for some tracks.
        common = math.lcm(time_base.denominator, *rates)
        options['movie_timescale'] = str(common if common < 2**31 else time_base.denominator)
        options['movflags'] = '+faststart'
        options['video_track_timescale'] = str(time_base.denominator)
    return options


def _describe(stream: Any, encoder: EncoderSettings, timeline: Timeline) -> None:
    stream.time_base = timeline.time_base
    context = stream.codec_context
    context.framerate = timeline.rate
    context.sample_aspect_ratio = encoder.aspect
    tag_colors(context, encoder)
    if encoder.segment_suffix == '.mkv':
        stream.metadata[ALPHA_TAG] = '1'
    if encoder.tag:
        context.codec_tag = encoder.tag


def _timed(packets: Iterator[av.Packet[Any]]) -> Iterator[tuple[Fraction, av.Packet[Any]]]:
    for packet in packets:
        ticks = packet.pts if packet.dts is None else packet.dts
        yield (ticks or 0) * packet.time_base, packet


def _video_packets(
    joining: Joining, opened: Iterator[av.Packet[Any]], extradata: bytes | None, stream: Any, delay: int, stop: StopFlag
) -> Iterator[av.Packet[Any]]:
    """Yield all packets in decoding order, with the timeline's presentation times and the times of ``decoding_times``.

    Each segment is read once, with one packet in memory at a time. ``opened`` are the packets of the first segment.
    """
    timeline, pts = joining.timeline, joining.timeline.pts
    count, begin = timeline.frame_count, 0
    repeated, dts = _repeated_header(joining.encoder, extradata), decoding_times(pts, delay)
    for path in joining.segments:
        frames = set[int]()
        packets = opened if begin == 0 else _packets(path, stop, joining.opener)
        for found_packet, frame in _numbered(joining, path, packets, begin, extradata):
            packet = _with_header(found_packet, repeated)
            packet.time_base = timeline.time_base
            packet.pts, packet.dts = int(pts[frame]), int(dts[begin + len(frames)])
            if packet.dts > packet.pts:
                raise _DelayTooShort(begin + len(frames) - frame)
            packet.duration = int(pts[frame + 1] - pts[frame]) if frame + 1 < count else timeline.last_duration
            packet.stream = stream
            frames.add(frame)
            yield packet
        if frames != {*range(begin, begin + len(frames))}:
            raise _wrong_times(path, begin)
        begin += len(frames)
    if begin != count:
        raise InternalError('join-frames', f'the segments contain {begin} of {count} frames')


def _numbered(
    joining: Joining, path: Path, packets: Iterator[av.Packet[Any]], begin: int, extradata: bytes | None
) -> Iterator[tuple[av.Packet[Any], int]]:
    """Yield the packets of a segment, which are in decoding order, each with its frame number.

    The times must be those of the timeline from frame ``begin`` on or, in a container without exact times, count
    frames. The first packet is a keyframe and therefore the first frame in presentation order.
    """
    timeline, is_nut = joining.timeline, joining.encoder.segment_suffix == '.nut'
    tick, first = timeline.time_base if is_nut else SEGMENT_TICK, None
    expected = np.arange(timeline.frame_count - begin)
    if is_nut and not joining.encoder.is_counted:
        expected = timeline.pts[begin:] - timeline.pts[begin : begin + 1]
    for packet in packets:
        if packet.pts is None:
            raise InternalError('join-times', f'{path.name} has a frame without a time')
        if first is None:
            first = packet.pts
            if packet.stream.codec_context.extradata != extradata:
                raise InternalError('join-settings', f'{path.name} and the first segment differ in encoder settings')
        ticks = (packet.pts - first) * ((packet.stream.time_base or tick) / tick)
        offset = int(np.searchsorted(expected, int(ticks)))
        if offset >= len(expected) or expected[offset] != ticks:
            raise _wrong_times(path, begin)
        yield packet, begin + offset


def _wrong_times(path: Path, begin: int) -> InternalError:
    return InternalError('join-times', f'{path.name} does not contain the frames from {begin} on')


def _repeated_header(encoder: EncoderSettings, extradata: bytes | None) -> bytes:
    """Return the encoder's settings for every keyframe if readers of the container expect them there; else b''."""
    has_header = CONTAINERS[encoder.extension].repeats_header and not encoder.codec.startswith(('wmv', 'mpeg2'))
    return extradata or b'' if has_header else b''


def _with_header(packet: av.Packet[Any], header: bytes) -> av.Packet[Any]:
    if not header or not packet.is_keyframe or bytes(packet).startswith(header):
        return packet
    extended: av.Packet[Any] = av.Packet(header + bytes(packet))
    extended.is_keyframe = True
    return extended


def decoding_times(pts: NDArray[np.int64], delay: int) -> NDArray[np.int64]:
    """Return the decoding time of each packet, in decoding order: the time of the frame ``delay`` frames earlier."""
    if not delay:
        return pts
    lead = pts[min(delay, len(pts) - 1)] - pts[0]
    return np.concatenate([pts[:delay] - lead, pts[:-delay]])


def _packets(path: Path, stop: StopFlag, opener: Opener | None = None) -> Generator[av.Packet[Any], None, None]:
    """Yield the packets of a segment in decoding order. Raises ResourceError work-unreadable, Interrupted."""
    try:
        with (
            opener(path) if opener is not None else nullcontext(ffmpeg_name(path)) as source,
            av.open(source) as container,
        ):
            for packet in container.demux(container.streams.video[0]):
                stop.check()
                if packet.size:
                    yield packet
    except av.error.FFmpegError as error:
        raise ResourceError(
            'work-unreadable',
            f'{path.name}, written by this run, cannot be read again',
            cause=error.strerror or str(error),
            hint='run the same command again; if it fails again, check the disk, or choose another with --temp-path',
        ) from None


def ranks_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the position of each packet in the presentation order."""
    ranks = np.empty(len(times), np.int64)
    ranks[np.argsort(times, kind='stable')] = np.arange(len(times))
    return ranks


def reordering(ranks: NDArray[np.int64]) -> int:
    """Return the number of frames by which the decoding order (that of ``ranks``) precedes the presentation order."""
    return max(int((np.arange(len(ranks)) - ranks).max(initial=0)), 0)
