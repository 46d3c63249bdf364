"""Subtitles, chapters and attachments of joined clips, each at the time of its clip in the output."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import av
import av.container

from facefusion.events import Emit, Message
from facefusion.media.concat_sound import SoundOfClip
from facefusion.media.probe import open_video
from facefusion.media.side_streams import (
    WITH_ATTACHMENTS,
    WITH_CHAPTERS,
    ExtrasPlan,
    SubtitleFeed,
    SubtitleTrack,
    add_attachments,
    add_copied,
    chapters_of,
)
from facefusion.media.tracks import why_not_copied
from facefusion.stopping import StopFlag

# Decoders that need the styles or colours in the header of their stream.
_NEED_HEADER = ('ass', 'ssa', 'dvdsub', 'dvbsub')
_NUMBERED = ('ass', 'ssa')


class JoinedExtras:
    """Subtitles, chapters and attachments of ``clips``, moved to their times in the output.

    The first subtitle streams of one codec and language in all clips are joined into one stream, the second streams
    into another.
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
                    add_attachments(source, output, attached)
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
        """Whether there are subtitle packets."""
        return bool(self._added)

    def packets(self) -> Generator[av.Packet[Any], None, None]:
        """Yield the packets of all subtitles in clip order. Raises MediaError media-damaged, Interrupted."""
        for clip, plan, keys in zip(self._clips, self._plans, self._keys, strict=True):
            if not plan.subtitles:
                continue
            streams = {index: self._added[key] for index, key in keys.items()}
            add: Any = lambda _, track, streams=streams: streams[track.index]  # noqa: E731
            with closing(SubtitleFeed(clip.info, plan, add, self._stop)) as feed:
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
        """Add the missing output streams; return the key of the output stream of each subtitle stream of a clip."""
        keys: dict[int, tuple[Any, ...]] = {}
        for number, (index, codec) in enumerate(clip.info.extras.subtitles, 1):
            stream: Any = source.streams[index]
            reason = why_not_copied(stream, extension)
            if reason:
                text = f'subtitle stream {number} of {clip.info.path.name} is not kept: {reason}'
                emit(Message('warn', 'join', text))
                continue
            header = (stream.codec_context.extradata or b'') if codec in _NEED_HEADER else b''
            kind = (codec, stream.metadata.get('language', ''), header)
            nth = sum(key[:-1] == kind for key in keys.values())
            keys[index] = (*kind, nth)
            if keys[index] not in self._added:
                self._added[keys[index]] = add_copied(output, stream)
        return keys

    def _plan(self, clip: SoundOfClip, keys: Mapping[int, object], extension: str) -> ExtrasPlan:
        """Return the plan for a clip, limited to its time; the first clip has no beginning and the last one no end."""
        info = clip.info
        begin = info.pts[0] * info.time_base
        return ExtrasPlan(
            subtitles=tuple(SubtitleTrack(index, '') for index in keys),
            has_chapters=extension in WITH_CHAPTERS and info.extras.chapters > 0,
            has_attachments=extension in WITH_ATTACHMENTS and info.extras.attachments > 0,
            origin=-clip.shift,
            begin=None if clip is self._clips[0] else begin,
            end=None if clip is self._clips[-1] else begin + info.duration,
            remarks=(),
        )

    def _numbered(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """Return the packet, with a new number if lines are numbered, because players skip repeated numbers."""
        if packet.stream.codec_context.name not in _NUMBERED:
            return packet
        _, comma, line = bytes(packet).partition(b',')
        numbered: av.Packet[Any] = av.Packet(str(self._shown).encode() + comma + line)
        numbered.time_base, numbered.pts, numbered.dts = packet.time_base, packet.pts, packet.dts
        numbered.duration, numbered.is_keyframe, numbered.stream = packet.duration, True, packet.stream
        self._shown += 1
        return numbered
