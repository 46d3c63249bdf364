"""Join complete clips into one file, one after the other, by copying every packet without encoding it again.

Clips with different encoder settings have different parameter sets under the same numbers, but the header of a file
contains the sets of only one clip. Where the sets differ, each keyframe contains its own, so that decoding can start at
any keyframe. The sample entry stays avc1 or hvc1: avc3 and hev1 would declare such sets, but many players do not
support these entries.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from facefusion.errors import InternalError, MediaError
from facefusion.events import Emit, Message, silent
from facefusion.media.concat_extras import JoinedExtras
from facefusion.media.concat_sound import (
    Sound,
    SoundOfClip,
    add_sounds,
    check_sounds,
    describe_differences,
    measure_sounds,
    read_packets,
    sound_packets,
)
from facefusion.media.containers import BOXED, CONTAINERS
from facefusion.media.encoder import ALPHA_TAG
from facefusion.media.extras import describe_stream
from facefusion.media.info import VideoInfo
from facefusion.media.join import carry_metadata, decoding_times, mux_in_order, open_output, ranks_of, reordering
from facefusion.media.parameter_sets import ParameterSets
from facefusion.media.probe import open_video, probe
from facefusion.media.timeline import nearest
from facefusion.stopping import StopFlag

# Mp4 and mov store the number of ticks in a second, and between two frames, in 32 bits.
_MAXIMUM_TICKS = 2**31 - 1
_WITHOUT_HEADER = ('vp8', 'vp9')


@dataclass(frozen=True, slots=True)
class _Clip:
    """A measured clip: ``ranks`` are its frames' display positions in decoding order.

    ``aspect`` is the aspect of a stored pixel, from the container or else the codec. ``header`` contains the encoder's
    settings in the container; ``has_own_sets``: whether keyframes contain parameter sets, too.
    """

    info: VideoInfo
    ranks: NDArray[np.int64]
    aspect: Fraction
    header: bytes
    has_own_sets: bool
    sounds: tuple[Sound, ...]

    @property
    def sets(self) -> ParameterSets | None:
        return ParameterSets.parse(self.info.codec, self.header)


def concat_clips(clips: Sequence[Path], output_part: Path, extension: str, stop: StopFlag, emit: Emit = silent) -> None:
    """Write the clips one after the other to ``output_part``, in the format of ``extension`` (of ``CONTAINERS``).

    The first clip keeps its times. Every other clip begins at the end of the last frame before it, and its audio
    stays in sync with its video. Audio before a later clip's first frame, or after the next clip's beginning, is cut by
    whole packets. Subtitles and chapters are moved with their clip and cut to it. Tags and stream descriptions are
    those of the first clip; ``emit`` receives the names of the lost tags of other clips.

    Raises MediaError join-mismatch (video codec, size, pixel format, pixel aspect, orientation), join-audio, and those
    of ``probe``; ResourceError disk-full; OutputError output-unwritable; Interrupted. A failure leaves no file.
    """
    if not clips:
        raise InternalError('join-empty', f'there are no clips for {output_part.name}')
    measured = [_measure(clip, stop) for clip in clips]
    for clip in measured[1:]:
        _check_pictures(measured[0], clip)
    sounds = _clip_times(measured)
    sounding = [clip for clip in sounds if clip.sounds]
    for other in sounding[1:]:
        check_sounds(sounding[0], other)
    try:
        _write(measured, sounds, output_part, extension.lower(), stop, emit)
    except BaseException:
        output_part.unlink(missing_ok=True)
        raise


def _measure(path: Path, stop: StopFlag) -> _Clip:
    info = probe(path, stop)
    if not isinstance(info, VideoInfo):
        raise MediaError('join-mismatch', f'{path.name} is an image: only videos can be joined')
    times: list[int] = []
    aspect = Fraction(1)
    header = b''
    sets: ParameterSets | None = None
    has_own_sets = False
    with closing(_pictures(info, stop)) as packets:
        for packet in packets:
            if not times:
                aspect = packet.stream.sample_aspect_ratio or aspect
                header = packet.stream.codec_context.extradata or b''
                sets = ParameterSets.parse(info.codec, header)
            if packet.is_keyframe and sets and not has_own_sets:
                has_own_sets = sets.are_in(packet)
            times.append((packet.dts or 0) if packet.pts is None else packet.pts)
    if info.is_counted and len(times) == info.frame_count:
        # Frames without times are stored in display order (``Container.reorders``).
        times = info.pts.tolist()
    if sorted(times) != info.pts.tolist():
        raise _unjoinable(info, 'it has hidden frames, or several with the same time')
    ranks = ranks_of(np.array(times, np.int64))
    return _Clip(info, ranks, aspect, header, has_own_sets, measure_sounds(info, stop))


def _pictures(info: VideoInfo, stop: StopFlag) -> Generator[av.Packet[Any], None, None]:
    """Yield the packets of all displayed frames in decoding order, without those hidden by an edit list.

    Raises MediaError join-mismatch where a displayed frame may depend on a hidden one, media-damaged; Interrupted.
    """
    is_hidden = False
    with closing(read_packets(info, [info.stream_index], stop)) as packets:
        for packet in packets:
            if packet.is_discard:
                is_hidden = True
            elif is_hidden and not packet.is_keyframe:
                raise _unjoinable(info, 'displayed frames depend on hidden ones')
            else:
                is_hidden = False
                yield packet


def _unjoinable(info: VideoInfo, cause: str) -> MediaError:
    return MediaError(
        'join-mismatch', f'{info.path.name} cannot be joined', cause=cause, hint='run the step that wrote it again'
    )


def _check_pictures(first: _Clip, other: _Clip) -> None:
    one, two = first.info, other.info
    differences = describe_differences(
        [
            ('video codec', one.codec, two.codec),
            ('size', f'{one.width}x{one.height}', f'{two.width}x{two.height}'),
            ('pixel format', one.pix_fmt, two.pix_fmt),
            ('transparency', one.has_alpha, two.has_alpha),
            ('pixel aspect', first.aspect, other.aspect),
            ('orientation', f'{one.rotation} {one.mirrored}', f'{two.rotation} {two.mirrored}'),
        ]
    )
    if not differences and first.header != other.header and one.codec not in _WITHOUT_HEADER:
        sets, others = first.sets, other.sets
        if sets is None or others is None or sets.length_size != others.length_size:
            differences = 'the settings of the video encoder'
    if differences:
        raise MediaError(
            'join-mismatch',
            f'{two.path.name} cannot be joined to {one.path.name}',
            cause=f'they differ in {differences}',
            hint='give both steps the same --output-video-encoder and --output-video-scale, or different output paths',
        )


def _clip_times(clips: Sequence[_Clip]) -> list[SoundOfClip]:
    """Return the beginning of each clip, which is the end of the last frame before it."""
    placed = []
    begin = clips[0].info.pts[0] * clips[0].info.time_base
    for clip in clips:
        shift = begin - clip.info.pts[0] * clip.info.time_base
        placed.append(SoundOfClip(clip.info, clip.sounds, begin, shift))
        begin += clip.info.duration
    return placed


def _time_base(clips: Sequence[_Clip], extension: str) -> Fraction:
    """Return a tick that divides all times if the container supports so short a tick; mkv counts milliseconds."""
    container = CONTAINERS[extension]
    if not container.has_times:
        # Empty frame slots lower the average rate. In a container with such slots, the clip's tick is one slot.
        return clips[0].info.time_base if container.has_gaps else 1 / clips[0].info.average_rate
    if container.tick:
        return container.tick
    longest = 1
    for info in (clip.info for clip in clips):
        gaps = np.diff(np.frombuffer(info.pts, np.int64))
        longest = max(longest, math.ceil(max(int(gaps.max(initial=0)), info.last_duration) * info.time_base))
    # The shortest tick comes first. Times in other ticks that do not fit are rounded by at most half of it.
    ticks, *others = sorted({clip.info.time_base.denominator for clip in clips}, reverse=True)
    for wanted in others:
        common = math.lcm(ticks, wanted)
        ticks = common if common * longest <= _MAXIMUM_TICKS else ticks
    return Fraction(1, ticks)


def _frame_times(placed: Sequence[SoundOfClip], time_base: Fraction) -> NDArray[np.int64]:
    """Return the times of all frames of the output, ascending, in ticks, and the end of the last frame."""
    found: list[int] = []
    for clip in placed:
        ratio, offset = clip.info.time_base / time_base, clip.shift / time_base
        factor = ratio.numerator * offset.denominator
        more, divisor = offset.numerator * ratio.denominator, ratio.denominator * offset.denominator
        # Times are rounded with integers, because fractions would take seconds for a long clip.
        found += [(2 * (tick * factor + more) + divisor) // (2 * divisor) for tick in clip.info.pts]
    found.append(nearest((placed[-1].begin + placed[-1].info.duration) / time_base))
    times = np.array(found, np.int64)
    if (np.diff(times) <= 0).any():
        raise MediaError(
            'join-mismatch',
            f'{placed[0].info.path.name} cannot be joined with the clips after it',
            cause=f'frames are less than {float(time_base)} seconds apart',
        )
    return times


def _write(
    clips: Sequence[_Clip], placed: Sequence[SoundOfClip], output_part: Path, extension: str, stop: StopFlag, emit: Emit
) -> None:
    time_base = _time_base(clips, extension)
    times = _frame_times(placed, time_base)
    rates = next(([sound.audio.rate for sound in clip.sounds] for clip in clips if clip.sounds), [])
    tags = dict(clips[0].info.extras.tags)
    for clip in clips[1:]:
        others = sorted(key for key, value in clip.info.extras.tags if tags.get(key, value) != value or key not in tags)
        if others:
            text = f'tags of {clip.info.path.name} are lost in the joined output: {", ".join(others)}'
            emit(Message('info', 'join', text))
    with open_output(output_part, extension, time_base, rates, stop, tags) as output, ExitStack() as stack:
        stream = _add_video(output, clips, time_base, extension)
        tracks = add_sounds(placed, output, extension not in BOXED and CONTAINERS[extension].has_times)
        sources: list[Iterator[av.Packet[Any]]] = [
            stack.enter_context(closing(_video_packets(clips, stream, times, time_base, stop)))
        ]
        if tracks:
            sources.append(stack.enter_context(closing(sound_packets(placed, tracks, stop))))
        extras = JoinedExtras(placed, output, extension, emit, stop)
        if extras.has_subtitles:
            sources.append(stack.enter_context(closing(extras.packets())))
        mux_in_order(sources, output, stop)


def _add_video(
    output: av.container.OutputContainer, clips: Sequence[_Clip], time_base: Fraction, extension: str
) -> Any:
    """Add the video stream, with the description of the first clip's video stream."""
    info = clips[0].info
    rates = {clip.info.average_rate for clip in clips}
    frames = sum(clip.info.frame_count for clip in clips)
    seconds = sum((clip.info.duration for clip in clips), Fraction(0))
    with open_video(info.path) as source:
        carry_metadata(source, output)
        template = source.streams[info.stream_index]
        # ``opaque`` creates the stream from the decoder, because there may be no encoder of that name.
        stream: Any = output.add_stream_from_template(template, opaque=True)
        describe_stream(template, stream)
        stream.metadata.update({key: value for key, value in template.metadata.items() if key.lower() == ALPHA_TAG})
        name = template.codec_context.codec_tag
    stream.time_base = time_base
    context = stream.codec_context
    context.framerate = rates.pop() if len(rates) == 1 else (frames / seconds).limit_denominator(1001 * 60)
    context.sample_aspect_ratio = clips[0].aspect
    if info.codec == 'hevc' and extension in BOXED:
        context.codec_tag = 'hvc1'
    if info.codec == 'prores' and extension in BOXED:
        # The muxer would choose the tag of a profile without alpha.
        context.codec_tag = name
    return stream


def _video_packets(
    clips: Sequence[_Clip], stream: Any, times: NDArray[np.int64], time_base: Fraction, stop: StopFlag
) -> Generator[av.Packet[Any], None, None]:
    """Yield all packets in decoding order with output times, and with their parameter sets where clips differ."""
    decoding = decoding_times(times[:-1], max(reordering(clip.ranks) for clip in clips))
    in_stream = len({clip.header for clip in clips}) > 1 or any(clip.has_own_sets for clip in clips)
    count = begin = 0
    for clip in clips:
        sets = clip.sets if in_stream else None
        with closing(_pictures(clip.info, stop)) as packets:
            for packet, rank in zip(packets, clip.ranks.tolist(), strict=False):
                output = sets.put_into(packet) if sets and packet.is_keyframe else packet
                at = begin + rank
                output.time_base = time_base
                output.pts, output.dts = int(times[at]), int(decoding[count])
                output.duration = int(times[at + 1]) - output.pts
                output.stream = stream
                count += 1
                yield output
        begin += clip.info.frame_count
        if count != begin:
            raise MediaError('media-damaged', f'{clip.info.path.name} changed while it was read')
