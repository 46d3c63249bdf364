"""Joining encoded segments and the source's audio into one file, every frame at its exact time."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
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
from facefusion.media.side_streams import ExtrasPlan, SubtitleFeed, add_attachments, add_chapters, add_subtitles
from facefusion.media.timeline import Timeline
from facefusion.stopping import StopFlag

_MAXIMUM_DELAY = 16


class _DelayTooShort(Exception):
    """A packet must be decoded earlier than the delay in use allows; holds the delay that would do."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


@dataclass(frozen=True, slots=True)
class Joining:
    """All that an output is made of: the segments hold all frames of the timeline, in order.

    ``extras`` is what else of the clip ``info`` the output has (None: its tags); nothing where that is a picture.
    """

    segments: Sequence[Path]
    timeline: Timeline
    info: MediaInfo
    encoder: EncoderSettings
    audio: AudioPlan
    extras: ExtrasPlan | None = None


def join_segments(joining: Joining, output_part: Path, stop: StopFlag) -> tuple[str, ...]:
    """Writes segments with the planned audio to ``output_part``; gives what the plan could not know to be lost.

    Nothing is decoded but audio that is encoded again. Frame times are those of the timeline to the tick, as far as
    the container holds them (mkv, webm, wmv: milliseconds; mpg, ts: 1/90000 s, counted from one second; avi, mxf:
    frames). Raises InternalError when the segments do not fit together, MediaError when the audio cannot be read,
    ResourceError disk-full, work-unreadable, Interrupted; on failure nothing stays.
    """
    encoder = joining.encoder
    if encoder.is_counted:
        places = joining.timeline.counted(encoder.rate, CONTAINERS[encoder.extension].has_gaps)
        joining = replace(joining, timeline=places)
    delay = _delay_of(joining.segments[0], stop)
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
        with closing(_packets(joining.segments[0], stop)) as first:
            template = next(first).stream
            stream = output.add_stream_from_template(template)
            extradata = template.codec_context.extradata
        _describe(stream, encoder, timeline)
        sources = [_video_packets(joining, extradata, stream, delay, stop)]
        if joining.audio.tracks:
            feed = stack.enter_context(closing(AudioFeed(info, joining.audio, output, stop)))
            sources.append(iter(feed))
        if isinstance(info, VideoInfo):
            source = stack.enter_context(open_video(info.path))
            carry_metadata(source, output)
            describe_stream(source.streams[info.stream_index], stream)
            if joining.extras is not None:
                sources += _carry(source, info, joining.extras, output, stop, stack)
        mux_in_order(sources, output, stop)
        return feed.remarks if feed is not None else ()


def _carry(
    source: av.container.InputContainer,
    info: VideoInfo,
    extras: ExtrasPlan,
    output: av.container.OutputContainer,
    stop: StopFlag,
    stack: ExitStack,
) -> list[Iterator[av.Packet[Any]]]:
    """Gives an output the extras of a clip; those that are packets are still to be written."""
    packets: list[Iterator[av.Packet[Any]]] = []
    if extras.subtitles:
        texts = stack.enter_context(closing(SubtitleFeed(info, extras, add_subtitles(output), stop)))
        packets.append(iter(texts))
    if extras.has_attachments:
        add_attachments(source, output)
    if extras.has_chapters:
        add_chapters(source, extras, output)
    return packets


def carry_metadata(source: av.container.InputContainer, output: av.container.OutputContainer) -> None:
    """Hands the tags of a clip on, but for those that FFmpeg writes of its own."""
    output.metadata.update(carried_tags(source.metadata))


def mux_in_order(
    sources: Sequence[Iterator[av.Packet[Any]]], output: av.container.OutputContainer, stop: StopFlag
) -> None:
    """Writes the packets of all sources by their decoding times. Raises Interrupted, FFmpegError."""
    has_begun = output.format.name != 'avi'
    for _, packet in heapq.merge(*map(_timed, sources), key=lambda entry: entry[0]):
        stop.check()
        if not has_begun and packet.stream.type == 'video':
            has_begun = True
            if packet.dts:
                output.mux(_free_place(packet))
        output.mux(packet)


def _free_place(first: av.Packet[Any]) -> av.Packet[Any]:
    """A place 0 without a frame: the muxer leaves others free by itself, but only behind the first packet."""
    made: av.Packet[Any] = av.Packet(0)
    made.stream, made.time_base = first.stream, first.time_base
    made.pts = made.dts = 0
    return made


@contextmanager
def open_output(
    path: Path,
    extension: str,
    time_base: Fraction,
    rates: Sequence[int],
    stop: StopFlag,
    tags: Mapping[str, str] | None = None,
) -> Iterator[av.container.OutputContainer]:
    """An output for video in ``time_base`` and audio of ``rates``, finished at the end of the block.

    ``tags`` are those that it will have, where they matter to how they are written.

    What FFmpeg raises in the block must be of writing: it becomes ResourceError disk-full, OutputError
    output-unwritable or InternalError join-failed. What reads must raise errors of its own.
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
    """After an error or a stop nothing more is done with the output.

    Closing it would move all of the file to put the index in front, for a file that is removed then. FFmpeg reads
    the file for that through what is opened here.
    """
    wanted = StopFlag(stop)

    def open_again(url: str, flags: int, options: Mapping[str, str]) -> _ReadBack:
        return _ReadBack(path, wanted)

    output = av.open(ffmpeg_name(path), 'w', format=container_format, options=options, io_open=open_again)
    try:
        yield output
    except BaseException:
        wanted.set('the output is not wanted')
        with suppress(av.error.FFmpegError, Interrupted):
            output.close()
        raise
    output.close()
    stop.check()


class _ReadBack:
    """The bytes of an output for FFmpeg, which reads no more of them once they are not wanted."""

    def __init__(self, path: Path, wanted: StopFlag) -> None:
        wanted.check()
        self._file = path.open('rb', buffering=0)
        self._wanted = wanted

    def read(self, count: int) -> bytes:
        self._wanted.check()
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def _container_options(extension: str, time_base: Fraction, rates: Sequence[int]) -> dict[str, str]:
    # Times are exact already: FFmpeg would shift all of them to make the first decoding time positive.
    options = {'avoid_negative_ts': 'disabled'}
    if CONTAINERS[extension].starts_at:
        # What comes before the first frame, as decoding times do, has no time below 0 there.
        options['output_ts_offset'] = str(CONTAINERS[extension].starts_at)
    if extension in BOXED:
        # Where a track starts is counted in the movie's ticks: milliseconds unless they are made to fit all tracks.
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
    joining: Joining, extradata: bytes | None, stream: Any, delay: int, stop: StopFlag
) -> Iterator[av.Packet[Any]]:
    """All packets in decoding order with the timeline's times; decoding times are the sorted ones, ``delay`` ago.

    A segment is read twice, for its times and for its packets, so that only one packet is held.
    """
    timeline, encoder = joining.timeline, joining.encoder
    repeated = _repeated_header(encoder, extradata)
    has_times = encoder.segment_suffix == '.nut' and not encoder.is_counted
    tick = timeline.time_base if encoder.segment_suffix == '.nut' else SEGMENT_TICK
    pts = timeline.pts
    count = timeline.frame_count
    dts = decoding_times(pts, delay)
    begin = done = 0
    for path in joining.segments:
        times, base, found = _measured(path, stop)
        if found != extradata:
            raise InternalError('join-settings', f'{path.name} was encoded with other settings than its neighbours')
        span = pts[begin : begin + len(times)]
        if not has_times:
            span = np.arange(len(span))
        ranks = _ranks(times, path, (base or tick) / tick, span, begin)
        for found_packet, rank in zip(_packets(path, stop), ranks.tolist(), strict=True):
            packet = _with_header(found_packet, repeated)
            packet.time_base = timeline.time_base
            packet.pts = int(pts[rank])
            packet.dts = int(dts[done])
            if packet.dts > packet.pts:
                raise _DelayTooShort(done - rank)
            packet.duration = int(pts[rank + 1] - pts[rank]) if rank + 1 < count else timeline.last_duration
            packet.stream = stream
            done += 1
            yield packet
        begin += len(times)
    if begin != count:
        raise InternalError('join-frames', f'the segments hold {begin} of {count} frames')


def _repeated_header(encoder: EncoderSettings, extradata: bytes | None) -> bytes:
    """The settings that every keyframe carries, in containers whose readers look for them there."""
    has_header = CONTAINERS[encoder.extension].repeats_header and not encoder.codec.startswith(('wmv', 'mpeg2'))
    return extradata or b'' if has_header else b''


def _with_header(packet: av.Packet[Any], header: bytes) -> av.Packet[Any]:
    if not header or not packet.is_keyframe or bytes(packet).startswith(header):
        return packet
    made: av.Packet[Any] = av.Packet(header + bytes(packet))
    made.is_keyframe = True
    return made


def decoding_times(pts: NDArray[np.int64], delay: int) -> NDArray[np.int64]:
    """When each packet of a stream is decoded, in decoding order: at the sorted ``pts``, ``delay`` frames ago."""
    if not delay:
        return pts
    lead = pts[min(delay, len(pts) - 1)] - pts[0]
    return np.concatenate([pts[:delay] - lead, pts[:-delay]])


def _packets(path: Path, stop: StopFlag) -> Generator[av.Packet[Any], None, None]:
    """The packets of a segment in decoding order. Raises ResourceError work-unreadable, Interrupted."""
    try:
        with av.open(ffmpeg_name(path)) as container:
            for packet in container.demux(container.streams.video[0]):
                stop.check()
                if packet.size:
                    yield packet
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from None


def _measured(path: Path, stop: StopFlag) -> tuple[NDArray[np.int64], Fraction | None, bytes | None]:
    """The times of a segment's packets in decoding order, their base, and the encoder's settings in its header."""
    base: Fraction | None = None
    extradata: bytes | None = None
    times = array('q')
    for packet in _packets(path, stop):
        if not times:
            base, extradata = packet.stream.time_base, packet.stream.codec_context.extradata
        if packet.pts is None:
            raise InternalError('join-times', f'{path.name} has a frame without a time')
        times.append(packet.pts)
    return np.array(times, np.int64), base, extradata


def _unreadable(path: Path, error: av.error.FFmpegError) -> ResourceError:
    return ResourceError(
        'work-unreadable',
        f'{path.name}, which this run has written, cannot be read again',
        cause=error.strerror or str(error),
        hint='run the same command again; if that does not help, check the disk, or choose another with --temp-path',
    )


def _ranks(
    times: NDArray[np.int64], path: Path, ratio: Fraction, span: NDArray[np.int64], begin: int
) -> NDArray[np.int64]:
    """Which frame of the timeline each packet is: a segment's times must be those of ``span``, from its first frame.

    ``ratio`` is the segment's tick over that of ``span``.
    """
    order = np.argsort(times, kind='stable')
    expected = (span - span[0]) * ratio.denominator if len(span) else span
    if len(span) != len(times) or not np.array_equal((times[order] - times[order[0]]) * ratio.numerator, expected):
        raise InternalError('join-times', f'{path.name} does not hold the frames from {begin} on')
    ranks = np.empty(len(times), np.int64)
    ranks[order] = np.arange(begin, begin + len(times))
    return ranks


def _delay_of(path: Path, stop: StopFlag) -> int:
    """By how many frames the decoding order of a segment runs ahead of the order of presentation."""
    times, _, _ = _measured(path, stop)
    return reordering(ranks_of(times))


def ranks_of(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """The place of each packet in the order of presentation."""
    ranks = np.empty(len(times), np.int64)
    ranks[np.argsort(times, kind='stable')] = np.arange(len(times))
    return ranks


def reordering(ranks: NDArray[np.int64]) -> int:
    """By how many frames the order of decoding, in which ``ranks`` stand, runs ahead of that of presentation."""
    return max(int((np.arange(len(ranks)) - ranks).max(initial=0)), 0)
