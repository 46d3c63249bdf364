"""Plan and copy the subtitles, chapters, tags and attachments of a clip that the output's container supports."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import av.stream

from facefusion.media.container_support import lost_description, lost_tags
from facefusion.media.containers import BOXED
from facefusion.media.extras import describe_stream, not_kept
from facefusion.media.info import ImageInfo, MediaInfo, VideoInfo
from facefusion.media.probe import open_video
from facefusion.media.timeline import Timeline, nearest
from facefusion.media.tracks import why_not_copied
from facefusion.shortage import raise_shortage
from facefusion.stopping import StopFlag

# Decoders (FFmpeg's names) of text subtitles, which can be converted to other text formats.
_TEXT = ('srt', 'subrip', 'text', 'ass', 'ssa', 'webvtt', 'mov_text')
_OF_MATROSKA = (*(name for name in _TEXT if name != 'mov_text'), 'pgssub', 'dvdsub', 'dvbsub')
# The subtitle formats that FFmpeg's muxers accept, and the encoder for text in other formats.
_SUBTITLES: dict[str, tuple[tuple[str, ...], str]] = {
    **dict.fromkeys(BOXED, (('mov_text',), 'mov_text')),
    '.mkv': (_OF_MATROSKA, 'subrip'),
    '.webm': (('webvtt',), 'webvtt'),
}
WITH_CHAPTERS = (*BOXED, '.mkv', '.webm', '.wmv')
WITH_ATTACHMENTS = ('.mkv',)
_TICK = Fraction(1, 1000)
_FOREVER = 2**62
# The header for encoders if a decoder returns none. Encoders read only the events, but require the styles section.
_HEADER = b'[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n\n[Events]\n'


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """A subtitle stream of the source; ``encoder`` is '' when its packets are copied."""

    index: int
    encoder: str


# A function that returns the output stream for a stream of the source.
AddStream = Callable[[Any, SubtitleTrack], Any]


@dataclass(frozen=True, slots=True)
class ExtrasPlan:
    """The extras of the output.

    Source time ``origin`` becomes 0; extras before ``begin`` or after ``end`` are cut off (None: no bound).
    """

    subtitles: tuple[SubtitleTrack, ...]
    has_chapters: bool
    has_attachments: bool
    origin: Fraction
    begin: Fraction | None
    end: Fraction | None
    remarks: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the plan as plain JSON."""
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
        """Return the plan of a record made by ``as_record``."""
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
    """Plan the extras that a container of this extension supports; none for an image.

    Raises MediaError media-damaged.
    """
    if isinstance(info, ImageInfo):
        return ExtrasPlan((), False, False, timeline.origin, None, None, ())
    extension = extension.lower()
    extras, name, remarks = info.extras, extension[1:], list[str]()
    with open_video(info.path) as source:
        remarks += lost_description('the video', source.streams[info.stream_index], extension)
        tracks = _plan_subtitles(info, source, extension, remarks)
    if extras.chapters and extension not in WITH_CHAPTERS:
        remarks.append(f'{not_kept(extras.chapters, "chapter")}: {name} supports none')
    if extras.attachments and extension not in WITH_ATTACHMENTS:
        remarks.append(f'{not_kept(extras.attachments, "attachment")}: {name} supports none')
    lost = lost_tags(dict(extras.tags), extension)
    if lost:
        remarks.append(f'tags that {name} does not support are left out: {", ".join(lost)}')
    return ExtrasPlan(
        subtitles=tracks,
        has_chapters=extension in WITH_CHAPTERS and extras.chapters > 0,
        has_attachments=extension in WITH_ATTACHMENTS and extras.attachments > 0,
        origin=timeline.origin,
        begin=timeline.begin if timeline.is_trimmed or timeline.origin != info.clock * info.time_base else None,
        end=timeline.end if timeline.is_trimmed else None,
        remarks=tuple(remarks),
    )


def _plan_subtitles(
    info: VideoInfo, source: av.container.InputContainer, extension: str, remarks: list[str]
) -> tuple[SubtitleTrack, ...]:
    copied, encoder = _SUBTITLES.get(extension, ((), ''))
    tracks = []
    for number, (index, codec) in enumerate(info.extras.subtitles, 1):
        # The container is tried now, because a failure at the end of a run would be too late.
        if codec in copied and not why_not_copied(source.streams[index], extension):
            tracks.append(SubtitleTrack(index, ''))
            remarks += lost_description(f'subtitle stream {number}', source.streams[index], extension, encoder)
            continue
        reason = f'{extension[1:]} does not support {codec or "its codec"}'
        if encoder and codec in _TEXT:
            tracks.append(SubtitleTrack(index, encoder))
            remarks.append(f'subtitle stream {number} is written as {encoder}: {reason}')
            remarks += lost_description(f'subtitle stream {number}', source.streams[index], extension, encoder)
        else:
            remarks.append(f'subtitle stream {number} is not kept: {reason}')
    return tuple(tracks)


def chapters_of(source: av.container.InputContainer, plan: ExtrasPlan) -> list[Any]:
    """Return the chapters within the range, cut to it, with the output's times."""
    chapters: list[Any] = []
    for chapter in source.chapters():
        base = chapter['time_base'] or _TICK
        times = _cut(plan, chapter['start'] * base, chapter['end'] * base)
        if times is not None:
            start, end = (nearest((time - plan.origin) / base) for time in times)
            chapters.append({**chapter, 'start': start, 'end': end, 'time_base': base})
    return chapters


def add_attachments(
    source: av.container.InputContainer, output: av.container.OutputContainer, known: set[str] | None = None
) -> None:
    """Copy the attachments; with ``known`` only those whose SHA-256 is not in it, which are added to it."""
    for stream in source.streams:
        if stream.type != 'attachment':
            continue
        attachment: Any = stream
        if known is not None:
            digest = hashlib.sha256(attachment.data).hexdigest()
            if digest in known:
                continue
            known.add(digest)
        kind = attachment.mimetype or 'application/octet-stream'
        output.add_attachment(attachment.name or 'attachment', kind, attachment.data)


def add_copied(output: av.container.OutputContainer, stream: Any) -> Any:
    """Add a subtitle stream for copied packets and return it."""
    added: Any = output.add_stream_from_template(stream)
    added.time_base = stream.time_base
    describe_stream(stream, added)
    return added


def add_subtitles(output: av.container.OutputContainer) -> AddStream:
    """Return the function with which a ``SubtitleFeed`` adds its streams to an output."""

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
    """The packets of the subtitle streams of a plan, in file order.

    ``add`` returns the output stream for a stream of the clip, and may create it. Text that its decoder rejects is
    skipped, because no player would show it. Raises MediaError media-damaged when the file cannot be opened,
    Interrupted.
    """

    def __init__(self, info: VideoInfo, plan: ExtrasPlan, add: AddStream, stop: StopFlag) -> None:
        self._plan, self._stop = plan, stop
        self._tracks: dict[int, tuple[Any, SubtitleTrack]] = {}
        with ExitStack() as stack:
            # The stack closes the source when a track cannot be set up.
            self._source = stack.enter_context(open_video(info.path))
            for track in plan.subtitles:
                self._tracks[track.index] = add(self._source.streams[track.index], track), track
            for stream in self._source.streams:
                if stream.index not in self._tracks:
                    stream.discard = av.stream.Discard.all
            self._open = stack.pop_all()

    def __iter__(self) -> Iterator[av.Packet[Any]]:
        streams = [self._source.streams[index] for index in self._tracks]
        # The probe has already reported a file that cannot be read to its end.
        with suppress(av.error.FFmpegError):
            for packet in self._source.demux(streams):
                self._stop.check()
                yield from self._timed(packet, *self._tracks[packet.stream.index])

    def _timed(self, packet: av.Packet[Any], added: Any, track: SubtitleTrack) -> Iterator[av.Packet[Any]]:
        base = packet.time_base
        if not packet.size or packet.pts is None:
            return
        # A subtitle without a known end is shown until the next one.
        end = packet.pts + packet.duration if packet.duration else _FOREVER
        times = _cut(self._plan, packet.pts * base, end * base)
        output = self._encoded(packet, added) if track.encoder and times is not None else packet
        if times is None or output is None:
            return
        output.duration = nearest((times[1] - times[0]) / base) if packet.duration else 0
        output.time_base = base
        output.pts = output.dts = nearest((times[0] - self._plan.origin) / base)
        output.stream = added
        yield output

    def _encoded(self, packet: av.Packet[Any], added: Any) -> av.Packet[Any] | None:
        stream: Any = packet.stream
        try:
            subtitle = stream.decode2(packet)
            is_empty = subtitle is None or not len(subtitle)
            return None if is_empty else added.codec_context.encode_subtitle(subtitle)
        except (av.error.FFmpegError, ValueError) as error:
            raise_shortage(error)
            return None

    def close(self) -> None:
        """Close the source."""
        self._open.close()


def _cut(plan: ExtrasPlan, start: Fraction, end: Fraction) -> tuple[Fraction, Fraction] | None:
    """Return the part of a span within the range; None when it is outside."""
    begin = start if plan.begin is None else max(start, plan.begin)
    last = end if plan.end is None else min(end, plan.end)
    return (begin, last) if last > begin else None
