"""Copy the packets of an audio stream, all or a range, into another file."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any

import av

from facefusion.media.containers import pcm_bits
from facefusion.media.extras import describe_stream
from facefusion.media.tracks import AudioRange, AudioTrack, add_template

# Lead-in of a decoder: RFC 7845 4.6 requires 80 ms for Opus, and an MP3 frame may use up to 511 bytes of earlier
# frames. Packets of PCM, FLAC and ALAC are independent and need no lead-in.
_LEAD = Fraction(1, 10)
# A loss of at most this many seconds at either end is not reported, because encoders add that much padding there.
UNHEARD = Fraction(1, 20)
_WHOLE = ('flac', 'alac')


class CopiedTrack:
    """A track whose packets are copied unchanged.

    Where the container can hide audio before 0 (edit lists), a trim begins with the packets that a decoder needs for a
    correct first sample, and ends at the exact time. In containers without times, PCM is cut at the exact sample.

    Concatenated recordings may overlap. Containers accept only ascending times, so packets whose times do not ascend
    are left out, and ``remarks`` report audible losses.
    """

    def __init__(
        self, stream: av.AudioStream, track: AudioTrack, span: AudioRange, output: av.container.OutputContainer
    ) -> None:
        self._begin, self._end, self._until = span.begin, span.end, span.until
        self._base = stream.time_base or Fraction(1, track.rate)
        self._shift = round(span.origin / self._base)
        self._rate, self._is_pcm = track.rate, track.codec.startswith('pcm_')
        hides = output.format.name in ('mp4', 'mov') and span.begin is not None
        self._is_exact = hides or (self._is_pcm and not span.has_times)
        self._cuts_begin = self._is_exact and not hides
        self._reached = 0
        self._last: int | None = None
        self._overlap = 0
        is_whole = self._is_pcm or track.codec in _WHOLE
        self._lead = Fraction(0) if is_whole else _LEAD
        self._output: Any = add_template(output, stream)
        self._output.time_base = self._base
        describe_stream(stream, self._output)

    def convert(self, packet: av.Packet[Any]) -> Iterator[av.Packet[Any]]:
        """Yield the output packets for a packet of the source."""
        if packet.size == 0:
            return
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or not self._is_in_span(pts, packet.duration or 0):
            return
        if self._cuts_begin and self._begin is not None:
            packet, pts = self._cut_begin(packet, pts)
        if self._is_exact and self._end is not None:
            packet = self._cut_end(packet, floor(self._end / self._base) - pts)
        packet.pts = pts - self._shift
        packet.dts = (pts if packet.dts is None else packet.dts) - self._shift
        if self._last is not None and packet.dts <= self._last:
            self._overlap += packet.duration or 0
            return
        packet.stream = self._output
        self._last, self._reached = packet.dts, packet.pts + (packet.duration or 0)
        yield packet

    @property
    def remarks(self) -> list[str]:
        """The losses as predicates without a subject."""
        lost = float(self._overlap * self._base)
        if lost <= UNHEARD:
            return []
        return [f'has packets with times that do not ascend: {lost:.2f} seconds of audio are left out']

    def _cut_begin(self, packet: av.Packet[Any], pts: int) -> tuple[av.Packet[Any], int]:
        """Return the part of a PCM packet after the beginning of the range, and the time of that part."""
        early = ceil((self._begin or 0) / self._base) - pts
        if early <= 0 or not packet.duration:
            return packet, pts
        part = self._part(packet, bytes(packet)[self._bytes(packet, early) :])
        part.dts, part.duration = pts + early, packet.duration - early
        return part, pts + early

    def _bytes(self, packet: av.Packet[Any], ticks: int) -> int:
        """Return the number of bytes that ``ticks`` take in a PCM packet."""
        frame_size = packet.size // max(round((packet.duration or 0) * self._base * self._rate), 1)
        return round(ticks * self._base * self._rate) * frame_size

    def _part(self, packet: av.Packet[Any], data: bytes) -> av.Packet[Any]:
        part: av.Packet[Any] = av.Packet(data)
        part.time_base, part.dts, part.is_keyframe = packet.time_base, packet.dts, True
        return part

    def _cut_end(self, packet: av.Packet[Any], left: int) -> av.Packet[Any]:
        """Return the packet, or its first ``left`` ticks."""
        if not packet.duration or packet.duration <= left:
            return packet
        if self._is_pcm:
            # Containers count samples of PCM and ignore the duration.
            packet = self._part(packet, bytes(packet)[: self._bytes(packet, left)])
        packet.duration = left
        return packet

    def _is_in_span(self, pts: int, duration: int) -> bool:
        begin, end = self._begin, self._end
        if begin is not None and self._is_exact:
            return (pts + duration) * self._base > begin - self._lead and (end is None or pts * self._base < end)
        return (begin is None or pts * self._base >= begin) and (end is None or pts * self._base < end)

    def finish(self) -> Iterator[av.Packet[Any]]:
        """Yield silence after PCM audio that must last until the end of the video."""
        if self._until is None or not self._is_pcm:
            return
        frame_size = self._output.codec_context.channels * pcm_bits(self._output.codec_context.name) // 8
        end, second = round(self._until / self._base), round(1 / self._base)
        while self._reached < end:
            count = min(second, end - self._reached)
            packet: av.Packet[Any] = av.Packet(bytes(round(count * self._base * self._rate) * frame_size))
            packet.time_base, packet.is_keyframe = self._base, True
            packet.pts = packet.dts = self._reached
            packet.duration, packet.stream = count, self._output
            self._reached += count
            yield packet
