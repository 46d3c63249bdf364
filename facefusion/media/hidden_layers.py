"""Parts of a video packet that FFmpeg's decoders do not return: transparency and second layers."""

from __future__ import annotations

from typing import Any

import av

# BlockAddID of the alpha of VP8 and VP9 (Matroska, RFC 9559 5.1.3.5.2).
_ALPHA = (1).to_bytes(8, 'big')
_START = b'\0\0\1'


def has_hidden_alpha(stream: av.VideoStream, packet: av.Packet[Any]) -> bool:
    """Whether a video has an alpha that its decoder does not return; ``packet`` is its first packet."""
    if any(key.lower() == 'alpha_mode' and value != '0' for key, value in stream.metadata.items()):
        return True
    if stream.codec_context.name not in ('vp8', 'vp9') or not packet.has_sidedata('matroska_block_additional'):
        return False
    return bytes(packet.get_sidedata('matroska_block_additional'))[:8] == _ALPHA


def shows_alpha(video: av.VideoFrame) -> bool:
    """Whether a decoded frame has an alpha component, or a palette with transparent colours."""
    if video.format.name == 'pal8':
        return bool((video.to_ndarray(format='rgba')[..., 3] < 255).any())
    return any(component.is_alpha for component in video.format.components)


def has_second_layer(stream: av.VideoStream, packet: av.Packet[Any]) -> bool:
    """Whether an H.265 video has layers that its decoder omits; ``packet`` is its first packet.

    Such a layer is an alpha (as written by iPhones and Final Cut) or the view of the other eye (spatial video).
    """
    if stream.codec_context.name != 'hevc':
        return False
    header, data = stream.codec_context.extradata or b'', bytes(packet)
    # The 6 bits of the layer id are split between the two header bytes of a unit (H.265 7.3.1.2).
    return any((unit[0] & 1) << 5 | unit[1] >> 3 for unit in _units(header, data) if len(unit) > 1)


def _units(header: bytes, data: bytes) -> list[bytes]:
    """Return the first two bytes of each unit of a packet; lengths (hvcC) or start codes precede the units."""

    if len(header) <= 22 or header[0] != 1:
        return [part[:2] for part in data.split(_START)[1:]]
    size, at, units = (header[21] & 3) + 1, 0, []
    while at + size < len(data):
        units.append(data[at + size : at + size + 2])
        at += size + int.from_bytes(data[at : at + size], 'big')
    return units
