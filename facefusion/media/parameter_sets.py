"""Parameter sets of H.264 and H.265, the encoder settings that a decoder needs, as stored in containers.

Formats: ISO/IEC 14496-15, 5.3.3.1 (avcC) and 8.3.3.1 (hvcC); unit types: H.264 table 7-1, H.265 table 7-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av

_H264_SETS, _H264_DELIMITER = (7, 8), 9
_H265_SETS, _H265_DELIMITER = (32, 33, 34), 35


@dataclass(frozen=True, slots=True)
class ParameterSets:
    """The parameter sets of a header; each is preceded by its length in ``length_size`` bytes, as in packets."""

    codec: str
    length_size: int
    units: bytes

    @classmethod
    def parse(cls, codec: str, header: bytes) -> ParameterSets | None:
        """Return the sets in the header of a stream; None unless it is H.264 or H.265 in a container."""
        if codec == 'h264' and len(header) > 6 and header[0] == 1:
            size = (header[4] & 3) + 1
            units = [*_avc_units(header)]
        elif codec == 'hevc' and len(header) > 22 and header[0] == 1:
            size = (header[21] & 3) + 1
            units = [unit for unit in _hevc_units(header) if _kind(codec, unit) in _H265_SETS]
        else:
            return None
        return cls(codec, size, b''.join(len(unit).to_bytes(size, 'big') + unit for unit in units))

    def are_in(self, packet: av.Packet[Any]) -> bool:
        """Whether a packet has sets of its own."""
        sets = _H264_SETS if self.codec == 'h264' else _H265_SETS
        return any(_kind(self.codec, unit) in sets for unit in self._units(memoryview(packet)))

    def put_into(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """Return a copy of a packet that begins with the sets; the packet itself if it already contains sets."""
        if self.are_in(packet):
            return packet
        data = bytes(packet)
        # A delimiter must stay the first unit (H.264 7.4.1.2.3, H.265 7.4.2.4.4).
        delimiter = _H264_DELIMITER if self.codec == 'h264' else _H265_DELIMITER
        first = next(self._units(memoryview(data)), b'')
        at = self.length_size + len(first) if first and _kind(self.codec, first) == delimiter else 0
        extended: av.Packet[Any] = av.Packet(data[:at] + self.units + data[at:])
        extended.is_keyframe = packet.is_keyframe
        for side in packet.iter_sidedata():
            extended.set_sidedata(side)
        return extended

    def _units(self, data: memoryview) -> Iterator[memoryview]:
        at = 0
        while at + self.length_size < len(data):
            length = int.from_bytes(data[at : at + self.length_size], 'big')
            at += self.length_size
            if length:
                yield data[at : at + length]
            at += length


def _kind(codec: str, unit: bytes | memoryview) -> int:
    return unit[0] & 0x1F if codec == 'h264' else unit[0] >> 1 & 0x3F


def _avc_units(header: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (0x1F, 0xFF):
        count = header[at] & mask
        at += 1
        for _ in range(count):
            length = int.from_bytes(header[at : at + 2], 'big')
            yield header[at + 2 : at + 2 + length]
            at += 2 + length


def _hevc_units(header: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(header[22]):
        count = int.from_bytes(header[at + 1 : at + 3], 'big')
        at += 3
        for _ in range(count):
            length = int.from_bytes(header[at : at + 2], 'big')
            yield header[at + 2 : at + 2 + length]
            at += 2 + length
