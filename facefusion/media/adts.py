"""Detect AAC that changes its rate or channels within a clip, as in broadcasts."""

from __future__ import annotations

import av


def changes_form(source: av.container.InputContainer, index: int) -> bool:
    """Whether the rate or the channels of an AAC stream change between packets; reads the whole file.

    In ts the ADTS header of each packet has them. Other containers store them once for the whole stream.
    """
    form = None
    for packet in source.demux(source.streams[index]):
        header = bytes(packet)[:4]
        if len(header) == 4 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0:
            # Profile, rate and channels, without the private and copyright bits between them.
            found = header[2] & 0xFD, header[3] & 0xC0
            if form not in (None, found):
                return True
            form = found
    return False
