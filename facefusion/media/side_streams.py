"""What of a clip's subtitles, chapters, tags and attachments an output has: as much as its container holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Any

import av
import av.error
import av.stream

from facefusion.media.container_support import lost_description, lost_tags
from facefusion.media.containers import BOXED
from facefusion.media.extras import describe_stream, not_kept
from facefusion.media.info import ImageInfo, MediaInfo, VideoInfo
from facefusion.media.probe import open_video
from facefusion.media.timeline import Timeline
from facefusion.media.tracks import why_not_copied
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# Decoders (FFmpeg's names) whose subtitles are text, so that another kind of text can be made of them.
_TEXT = ('srt', 'subrip', 'text', 'ass', 'ssa', 'webvtt', 'mov_text')
_OF_MATROSKA = (*(name for name in _TEXT if name != 'mov_text'), 'pgssub', 'dvdsub', 'dvbsub')
# What FFmpeg's muxers take as it is, and the encoder for other text.
_SUBTITLES: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(BOXED, (('mov_text',), 'mov_text')),
    '.mkv': (_OF_MATROSKA, 'subrip'),
    '.webm': (('webvtt',), 'webvtt'),
}
_WITH_CHAPTERS = (*BOXED, '.mkv', '.webm', '.wmv')
_WITH_ATTACHMENTS = ('.mkv',)
_TICK = Fraction(1, 1000)
_FOREVER = 2**62
# For encoders, where a decoder gives none: they read the events, and want the section to be there.
_HEADER = b'[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n'


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """A subtitle stream of the source; ``encoder`` is '' when its packets are copied."""

    index: int
    encoder: str


# Gives a stream of the output for one of the source.
AddStream = Callable[[Any, SubtitleTrack], Any]


@dataclass(frozen=True, slots=True)
class ExtrasPlan:
    """What of them the output has.

    Source time ``origin`` becomes 0; what lies before ``begin`` or after ``end`` is cut off (None: no bound).
    """

    subtitles: tuple[SubtitleTrack, ...]
    has_chapters: bool
    has_attachments: bool
    origin: Fraction
    begin: Fraction | None
    end: Fraction | None
    remarks: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """The plan as plain JSON."""
        return {
            'subtitles': [[track.index, track.encoder] for track in self.subtitles],
            'has_chapters': self.has_chapters,
            'has_attachments': self.has_attachments,
            'origin': str(self.origin),
            'begin': None if self.begin is None else str(self.begin),
            'end': None if self.end is None else str(self.end),
            'remarks': list(self.remarks),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ExtrasPlan:
        """Undoes ``as_record``."""
        return cls(
            subtitles=tuple(SubtitleTrack(*track) for track in record['subtitles']),
            has_chapters=record['has_chapters'],
            has_attachments=record['has_attachments'],
            origin=Fraction(record['origin']),
            begin=None if record['begin'] is None else Fraction(record['begin']),
            end=None if record['end'] is None else Fraction(record['end']),
            remarks=tuple(record['remarks']),
        )


def plan_extras(info: MediaInfo, timeline: Timeline, extension: str) -> ExtrasPlan:
    """Decides what a container of this extension keeps, and says what it does not. Raises MediaError media-damaged.

    Of a picture nothing is kept.
    """
    if isinstance(info, ImageInfo):
        return ExtrasPlan((), False, False, timeline.origin, None, None, ())
    extension = extension.lower()
    extras, name, said = info.extras, extension[1:], list[str]()
    with open_video(info.path) as source:
        said += lost_description('the video', source.streams[info.stream_index], extension)
        tracks = _plan_subtitles(info, source, extension, said)
    if extras.chapters and not has_chapters(extension):
        said.append(f'{not_kept(extras.chapters, "chapter")}: {name} holds none')
    if extras.attachments and not has_attachments(extension):
        said.append(f'{not_kept(extras.attachments, "attachment")}: {name} holds none')
    lost = lost_tags(dict(extras.tags), extension)
    if lost:
        said.append(f'tags that {name} does not hold are left out: {", ".join(lost)}')
    return ExtrasPlan(
        subtitles=tracks,
        has_chapters=has_chapters(extension) and extras.chapters > 0,
        has_attachments=has_attachments(extension) and extras.attachments > 0,
        origin=timeline.origin,
        begin=timeline.begin if timeline.is_trimmed or timeline.origin != info.clock * info.time_base else None,
        end=timeline.end if timeline.is_trimmed else None,
        remarks=tuple(said),
    )


def has_chapters(extension: str) -> bool:
    """Whether a container holds chapters."""
    return extension in _WITH_CHAPTERS


def has_attachments(extension: str) -> bool:
    """Whether a container holds attachments."""
    return extension in _WITH_ATTACHMENTS


def _plan_subtitles(
    info: VideoInfo, source: av.container.InputContainer, extension: str, said: list[str]
) -> tuple[SubtitleTrack, ...]:
    copied, encoder = _SUBTITLES.get(extension, ((), ''))
    tracks = []
    for number, (index, codec) in enumerate(info.extras.subtitles, 1):
        # Tried now: at the end of a run it would be too late to find out.
        if codec in copied and not why_not_copied(source.streams[index], extension):
            tracks.append(SubtitleTrack(index, ''))
            said += lost_description(f'subtitle stream {number}', source.streams[index], extension, encoder)
            continue
        name, what = extension[1:], codec or 'its codec'
        if encoder and codec in _TEXT:
            tracks.append(SubtitleTrack(index, encoder))
            said.append(f'subtitle stream {number} is written as {encoder}: {name} does not hold {what}')
            said += lost_description(f'subtitle stream {number}', source.streams[index], extension, encoder)
        else:
            said.append(f'subtitle stream {number} is not kept: {name} does not hold {what}')
    return tuple(tracks)


def add_chapters(source: av.container.InputContainer, plan: ExtrasPlan, output: av.container.OutputContainer) -> None:
    """Hands the chapters on that lie in the time that is kept, cut to it."""
    output.set_chapters(chapters_of(source, plan))


def chapters_of(source: av.container.InputContainer, plan: ExtrasPlan) -> list[Any]:
    """The chapters that lie in the time that is kept, cut to it, with the output's times."""
    made: list[Any] = []
    for chapter in source.chapters():
        base = chapter['time_base'] or _TICK
        times = _cut(plan, chapter['start'] * base, chapter['end'] * base)
        if times is not None:
            start, end = (_nearest((time - plan.origin) / base) for time in times)
            made.append({**chapter, 'start': start, 'end': end, 'time_base': base})
    return made


def add_attachments(source: av.container.InputContainer, output: av.container.OutputContainer) -> None:
    """Hands the attachments on."""
    for stream in source.streams:
        if stream.type == 'attachment':
            held: Any = stream
            output.add_attachment(held.name or 'attachment', held.mimetype or 'application/octet-stream', held.data)


def add_copied(output: av.container.OutputContainer, stream: Any) -> Any:
    """Adds a subtitle stream of which the packets are copied; gives it."""
    added: Any = output.add_stream_from_template(stream)
    added.time_base = stream.time_base
    describe_stream(stream, added)
    return added


def add_subtitles(output: av.container.OutputContainer) -> AddStream:
    """What adds the streams of a feed to an output."""

    def add(stream: Any, track: SubtitleTrack) -> Any:
        if not track.encoder:
            return add_copied(output, stream)
        added: Any = output.add_stream(track.encoder)
        if not stream.codec_context.is_open:
            stream.codec_context.open()
        added.codec_context.subtitle_header = stream.codec_context.subtitle_header or _HEADER
        added.time_base = _TICK
        describe_stream(stream, added)
        return added

    return add


class SubtitleFeed:
    """Yields the packets of the subtitle streams of a plan in the order of the file.

    ``add`` gives, or makes, the stream of the output for a stream of the clip. Raises MediaError media-damaged when
    the file cannot be opened, Interrupted.
    A text that its decoder does not take is passed over: no player shows it either.
    """

    def __init__(self, info: VideoInfo, plan: ExtrasPlan, add: AddStream, stop: StopFlag) -> None:
        self._plan, self._stop = plan, stop
        self._tracks: dict[int, tuple[Any, SubtitleTrack]] = {}
        with ExitStack() as stack:
            # Closed here again when a track cannot be set up.
            self._source = stack.enter_context(open_video(info.path))
            for track in plan.subtitles:
                self._tracks[track.index] = add(self._source.streams[track.index], track), track
            for stream in self._source.streams:
                if stream.index not in self._tracks:
                    stream.discard = av.stream.Discard.all
            self._open = stack.pop_all()

    def __iter__(self) -> Iterator[av.Packet[Any]]:
        streams = [self._source.streams[index] for index in self._tracks]
        # A file that cannot be read to its end was called so when it was measured.
        with suppress(av.error.FFmpegError):
            for packet in self._source.demux(streams):
                self._stop.check()
                yield from self._made(packet, *self._tracks[packet.stream.index])

    def _made(self, packet: av.Packet[Any], added: Any, track: SubtitleTrack) -> Iterator[av.Packet[Any]]:
        base = packet.time_base
        if not packet.size or packet.pts is None:
            return
        # Where no end is known it is shown up to the next one.
        ends = packet.pts + packet.duration if packet.duration else _FOREVER
        times = _cut(self._plan, packet.pts * base, ends * base)
        made = self._encoded(packet, added) if track.encoder and times is not None else packet
        if times is None or made is None:
            return
        made.duration = _nearest((times[1] - times[0]) / base) if packet.duration else 0
        made.time_base = base
        made.pts = made.dts = _nearest((times[0] - self._plan.origin) / base)
        made.stream = added
        yield made

    def _encoded(self, packet: av.Packet[Any], added: Any) -> av.Packet[Any] | None:
        stream: Any = packet.stream
        try:
            shown = stream.decode2(packet)
            return None if shown is None or not len(shown) else added.codec_context.encode_subtitle(shown)
        except (av.error.FFmpegError, ValueError) as error:
            raise_shortage(error)
            return None

    def close(self) -> None:
        """Closes the source."""
        self._open.close()


def _cut(plan: ExtrasPlan, start: Fraction, end: Fraction) -> tuple[Fraction, Fraction] | None:
    """The part of a span that lies in the time that is kept; None when nothing does."""
    begin = start if plan.begin is None else max(start, plan.begin)
    last = end if plan.end is None else min(end, plan.end)
    return (begin, last) if last > begin else None


def _nearest(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
