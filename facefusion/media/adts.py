"""AAC that changes its rate or channels in mid-clip, as broadcasts do."""

from __future__ import annotations

import av


def changes_form(source: av.container.InputContainer, index: int) -> bool:
    """Whether the rate or the channels of an AAC stream change from one packet to the next; reads the whole file.

    Each packet of ts says them in its ADTS header. Other containers say them once for the whole stream.
    """
    form = None
    for packet in source.demux(source.streams[index]):
        header = bytes(packet)[:4]
        if len(header) == 4 and header[0] == 0xFF and header[1] & 0xF6 == 0xF0:
            # Profile, rate and channels, without the bits of private use and of copyright that lie among them.
            found = header[2] & 0xFD, header[3] & 0xC0
            if form not in (None, found):
                return True
            form = found
    return False
