"""Subtitles, chapters and attachments of clips that are joined, each at the time at which its clip is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import av
import av.container

from facefusion.events import Emit, Message
from facefusion.media.concat_sound import SoundOfClip
from facefusion.media.probe import open_video
from facefusion.media.side_streams import (
    ExtrasPlan,
    SubtitleFeed,
    SubtitleTrack,
    add_copied,
    chapters_of,
    has_attachments,
    has_chapters,
)
from facefusion.media.tracks import why_not_copied
from facefusion.stopping import StopFlag

# Decoders whose packets mean nothing without the styles or colours in the header of their stream.
_OF_THEIR_HEADER = ('ass', 'ssa', 'dvdsub', 'dvbsub')
_NUMBERED = ('ass', 'ssa')


class JoinedExtras:
    """What beside pictures and sound the output of a join gets from ``clips``; they are placed in its time.

    Subtitle streams of one codec and language are one stream of the output, the second ones of it another.
    """

    def __init__(
        self,
        clips: Sequence[SoundOfClip],
        output: av.container.OutputContainer,
        extension: str,
        emit: Emit,
        stop: StopFlag,
    ) -> None:
        self._clips = clips
        self._stop = stop
        self._added: dict[tuple[Any, ...], Any] = {}
        self._plans: list[ExtrasPlan] = []
        self._keys: list[dict[int, tuple[Any, ...]]] = []
        self._shown = 0
        attached = set[str]()
        chapters: list[Any] = []
        for clip in clips:
            with open_video(clip.info.path) as source:
                keys = self._add_subtitles(clip, source, output, extension, emit)
                plan = self._plan(clip, keys, extension)
                if plan.has_attachments:
                    _add_attachments(source, output, attached)
                if plan.has_chapters:
                    chapters += chapters_of(source, plan)
            self._plans.append(plan)
            self._keys.append(keys)
        if chapters:
            for number, chapter in enumerate(chapters, 1):
                chapter['id'] = number
            output.set_chapters(chapters)

    @property
    def has_subtitles(self) -> bool:
        """Whether there are packets to come."""
        return bool(self._added)

    def packets(self) -> Generator[av.Packet[Any], None, None]:
        """The packets of all subtitles, one clip after the other. Raises MediaError media-damaged, Interrupted."""
        for clip, plan, keys in zip(self._clips, self._plans, self._keys, strict=True):
            if not plan.subtitles:
                continue
            streams = {index: self._added[key] for index, key in keys.items()}
            with closing(SubtitleFeed(clip.info, plan, _given(streams), self._stop)) as feed:
                for packet in feed:
                    yield self._numbered(packet)

    def _add_subtitles(
        self,
        clip: SoundOfClip,
        source: av.container.InputContainer,
        output: av.container.OutputContainer,
        extension: str,
        emit: Emit,
    ) -> dict[int, tuple[Any, ...]]:
        """Which stream of the output each subtitle stream of a clip goes to; those that are missing are added."""
        keys: dict[int, tuple[Any, ...]] = {}
        for number, (index, codec) in enumerate(clip.info.extras.subtitles, 1):
            stream: Any = source.streams[index]
            reason = why_not_copied(stream, extension)
            if reason:
                text = f'subtitle stream {number} of {clip.info.path.name} is not kept: {reason}'
                emit(Message('warn', 'join', text))
                continue
            header = (stream.codec_context.extradata or b'') if codec in _OF_THEIR_HEADER else b''
            kind = (codec, stream.metadata.get('language', ''), header)
            nth = sum(key[:-1] == kind for key in keys.values())
            keys[index] = (*kind, nth)
            if keys[index] not in self._added:
                self._added[keys[index]] = add_copied(output, stream)
        return keys

    def _plan(self, clip: SoundOfClip, keys: Mapping[int, object], extension: str) -> ExtrasPlan:
        """What belongs to the time in which the clip is shown; before the first one and after the last all does."""
        info = clip.info
        begin = info.pts[0] * info.time_base
        return ExtrasPlan(
            subtitles=tuple(SubtitleTrack(index, '') for index in keys),
            has_chapters=has_chapters(extension) and info.extras.chapters > 0,
            has_attachments=has_attachments(extension) and info.extras.attachments > 0,
            origin=-clip.shift,
            begin=None if clip is self._clips[0] else begin,
            end=None if clip is self._clips[-1] else begin + info.duration,
            remarks=(),
        )

    def _numbered(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """The packet with a number of its own where lines are numbered: players pass over one that they know."""
        if packet.stream.codec_context.name not in _NUMBERED:
            return packet
        _, comma, line = bytes(packet).partition(b',')
        made: av.Packet[Any] = av.Packet(str(self._shown).encode() + comma + line)
        made.time_base, made.pts, made.dts, made.duration = packet.time_base, packet.pts, packet.dts, packet.duration
        made.is_keyframe = True
        made.stream = packet.stream
        self._shown += 1
        return made


def _given(streams: Mapping[int, Any]) -> Any:
    return lambda stream, track: streams[track.index]


def _add_attachments(
    source: av.container.InputContainer, output: av.container.OutputContainer, attached: set[str]
) -> None:
    """Hands the attachments on that are not there yet."""
    for stream in source.streams:
        if stream.type == 'attachment':
            held: Any = stream
            digest = hashlib.sha256(held.data).hexdigest()
            if digest not in attached:
                attached.add(digest)
                output.add_attachment(held.name or 'attachment', held.mimetype or 'application/octet-stream', held.data)
