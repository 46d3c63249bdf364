"""Copying the packets of an audio stream into another file, whole or a part of them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import Any

import av

from facefusion.media.extras import describe_stream
from facefusion.media.tracks import AudioTrack

# What a decoder is given before the first sound that must be right: RFC 7845 4.6 asks for 80 ms of Opus, an MP3 frame
# may reach back over the ones before it by 511 bytes. Packets of the others build on nothing.
_LEAD = Fraction(1, 10)
_WHOLE = ('flac', 'alac')


class CopiedTrack:
    """Hands packets on as they are: of the time from ``begin`` to ``end`` (None: no bound), counted from ``origin``.

    Where the container can hide what lies before 0 (edit lists), a trim begins with the packets that a decoder needs
    to be right from the first sample on, and ends with it.
    """

    def __init__(
        self,
        stream: av.AudioStream,
        track: AudioTrack,
        origin: Fraction,
        begin: Fraction | None,
        end: Fraction | None,
        output: av.container.OutputContainer,
    ) -> None:
        self._begin, self._end = begin, end
        self._base = stream.time_base or Fraction(1, track.rate)
        self._shift = round(origin / self._base)
        self._hides = output.format.name in ('mp4', 'mov') and begin is not None
        self._rate, self._is_pcm = track.rate, track.codec.startswith('pcm_')
        is_whole = self._is_pcm or track.codec in _WHOLE
        self._lead = Fraction(0) if is_whole else _LEAD
        self._output = output.add_stream_from_template(stream)
        self._output.time_base = self._base
        describe_stream(stream, self._output)

    def take(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """What becomes of a packet of the source."""
        if packet.size == 0:
            return
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or not self._is_kept(pts, packet.duration or 0):
            return
        if self._hides and self._end is not None:
            packet = self._ended(packet, floor(self._end / self._base) - pts)
        packet.pts = pts - self._shift
        packet.dts = (pts if packet.dts is None else packet.dts) - self._shift
        packet.stream = self._output
        yield packet

    def _ended(self, packet: av.Packet[Any], left: int) -> av.Packet[Any]:
        """The packet, or the part of it that lies in the ticks that are ``left``."""
        if not packet.duration or packet.duration <= left:
            return packet
        made = packet
        if self._is_pcm:
            # Of these a container counts the samples, whatever their duration is said to be.
            frame_size = packet.size // max(round(packet.duration * self._base * self._rate), 1)
            made = av.Packet(bytes(packet)[: round(left * self._base * self._rate) * frame_size])
            made.time_base, made.dts, made.is_keyframe = packet.time_base, packet.dts, True
        made.duration = left
        return made

    def _is_kept(self, pts: int, duration: int) -> bool:
        begin, end = self._begin, self._end
        if begin is not None and self._hides:
            return (pts + duration) * self._base > begin - self._lead and (end is None or pts * self._base < end)
        return (begin is None or pts * self._base >= begin) and (end is None or pts * self._base < end)

    def finish(self) -> Iterator[av.Packet[Any]]:
        """What is left when the source has ended."""
        return iter(())
