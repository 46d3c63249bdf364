"""Detect bytes missing at the end of a file from its container, because FFmpeg reads a cut file as a shorter one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from facefusion.errors import MediaError

# The essential boxes.
_WEIGHTY_BOXES = (b'moov', b'mdat', b'moof')
_SEGMENT = 0x18538067
_TOP_ELEMENTS = 8
_ASF_HEADER = bytes.fromhex('3026b2758e66cf11a6d900aa0062ce6c')
_ASF_PROPERTIES = bytes.fromhex('a1dcab8c47a9cf118ee400c00c205365')
_ASF_LIVE = 1
_OBJECTS = 64
_CHUNKS = 4096
# The length field of a recording that was interrupted before its length was filled in.
_UNKNOWN_LENGTH = 0xFFFFFFFF
_TAIL = 1 << 18
_PACK, _PROGRAM_END = b'\0\0\1\xba', b'\0\0\1\xb9'
_TS_PACKET, _M2TS_PACKET = 188, 192
_FLV_TAG = 11


def check_complete(path: Path, content: str) -> None:
    """Raise MediaError media-truncated for an incomplete mp4 or mov."""
    lost = why_truncated(path) if content == 'mp4' else ''
    if lost:
        raise MediaError(
            'media-truncated',
            f'{path.name} is incomplete: {lost}',
            cause='the recording or the copy ended before the file was complete',
            hint='copy the file again, or repair it with a tool for broken recordings',
        )


def why_truncated(path: Path) -> str:
    """Return the missing part of an mp4 or mov file, in words; '' when the file is complete.

    A complete file has a moov box, which is the index of all frames, and boxes of their stated lengths (ISO/IEC
    14496-12, 4.2).
    """
    size = path.stat().st_size
    at = 0
    indexed = False
    with path.open('rb') as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, name = int.from_bytes(head[:4], 'big'), head[4:8]
            indexed = indexed or name == b'moov'
            if length == 1:
                length = int.from_bytes(head[8:16], 'big')
            if length < 8:
                # 0 means that the box extends to the end of the file; other small values are appended data, not a box.
                break
            if indexed and at + length > size and name in _WEIGHTY_BOXES:
                return f'{at + length - size} bytes are missing at its end'
            at += length
    return '' if indexed else 'its index (the moov box) is missing'


def missing_at_end(path: Path, content: str) -> str:
    """Return the bytes missing at the end of a file of ``content`` (of ``kinds.sniff``), in words; '' if unknown."""
    measure = _MEASURES.get(content)
    if measure is None:
        return ''
    size = path.stat().st_size
    with path.open('rb') as file:
        missing = measure(path, file, size)
    return f'{missing} bytes are missing' if missing > 0 else ''


def _of_matroska(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the stated length of the Segment, 0 if it is unknown (RFC 8794 4 to 6)."""
    # A file has a header and a segment; other elements on this level (padding) are skipped.
    for _ in range(_TOP_ELEMENTS):
        name, length = _number(file, keeps_marker=True), _number(file)
        if length is None:
            return 0
        if name == _SEGMENT:
            return file.tell() + length - size
        file.seek(length, 1)
    return 0


def _number(file: BinaryIO, keeps_marker: bool = False) -> int | None:
    """Return the next variable-length number of an EBML file; None at the end, and for 'unknown'."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 9
    if length > 8:
        return None
    value = int.from_bytes(first + file.read(length - 1), 'big')
    unmarked = value & ((1 << 7 * length) - 1)
    if keeps_marker:
        return value
    return None if unmarked == (1 << 7 * length) - 1 else unmarked


def _of_avi(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the stated lengths of the RIFF chunks (OpenDML AVI 1.02), about one per gigabyte."""
    at = 0
    for _ in range(_CHUNKS):
        file.seek(at)
        head = file.read(12)
        if len(head) < 12 or head[:4] != b'RIFF' or head[8:] not in (b'AVI ', b'AVIX'):
            return 0
        length = int.from_bytes(head[4:8], 'little')
        if not length:
            # The length was never filled in: the recording was interrupted, and its intended length is unknown.
            return 0
        at += 8 + length + length % 2
        if at >= size:
            # Some writers omit the padding byte at the end.
            return at - size - length % 2
    return 0


def _of_wave(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the stated lengths of the chunks (RIFF 1.0, Multimedia Programming Interface 2)."""
    if file.read(12)[:4] != b'RIFF':
        return 0
    at = 12
    for _ in range(_OBJECTS):
        head = file.read(8)
        length = int.from_bytes(head[4:], 'little')
        if len(head) < 8 or (head[:4] == b'data' and length in (0, _UNKNOWN_LENGTH)):
            return 0
        at += 8 + length
        if head[:4] == b'data':
            return at - size
        at += length % 2
        file.seek(at)
    return 0


def _of_asf(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the size in the file properties, 0 for a broadcast (ASF 01.20.03, 3.2)."""
    head = file.read(30)
    at = 30
    for _ in range(_OBJECTS if head.startswith(_ASF_HEADER) else 0):
        file.seek(at)
        entry = file.read(92)
        if len(entry) < 92:
            return 0
        if entry.startswith(_ASF_PROPERTIES):
            is_live = int.from_bytes(entry[88:92], 'little') & _ASF_LIVE
            return 0 if is_live else int.from_bytes(entry[40:48], 'little') - size
        at += max(int.from_bytes(entry[16:24], 'little'), 24)
    return 0


def _of_mxf(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the position of the last partition, stated in the first (SMPTE ST 377-1, 7.1).

    The last partition has at least 88 bytes.
    """
    head = file.read(60)
    length = head[16] if len(head) == 60 else 0
    begin = 17 if length < 0x80 else 17 + (length & 0x7F)
    footer = int.from_bytes(head[begin + 24 : begin + 32], 'big')
    return footer + 88 - size if footer else 0


def _of_program_stream(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the stated lengths of the packets at the end (ISO/IEC 13818-1, 2.5.3)."""
    file.seek(max(size - _TAIL, 0))
    tail = file.read()
    at = tail.find(_PACK)
    while 0 <= at < len(tail):
        head = tail[at : at + 14]
        if head[:4] == _PACK and len(head) == 14:
            at += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
        elif len(head) < 6 and b'\0\0\1'.startswith(head[:3]):
            at += 6
        elif head[:4] == _PROGRAM_END or head[:3] != b'\0\0\1':
            return 0
        else:
            at += 6 + int.from_bytes(head[4:6], 'big')
    return at - len(tail) if at > 0 else 0


def _of_transport_stream(path: Path, file: BinaryIO, size: int) -> int:
    head = file.read(5)
    if head.startswith(b'G'):
        return -size % _TS_PACKET
    return -size % _M2TS_PACKET if head.endswith(b'G') else 0


def _of_flv(path: Path, file: BinaryIO, size: int) -> int:
    """Return the missing bytes by the stated lengths of the tags (Adobe Flash Video 10.1, annex E.3 and E.4).

    Each tag states its length at its beginning, and again after its end.
    """
    head = file.read(9)
    at = int.from_bytes(head[5:9], 'big') + 4
    while at + _FLV_TAG <= size:
        file.seek(at + 1)
        at += _FLV_TAG + int.from_bytes(file.read(3), 'big') + 4
    # Some writers omit the last length.
    return at - size if at - size > 4 else 0


_MEASURES: dict[str, Callable[[Path, BinaryIO, int], int]] = {
    'matroska': _of_matroska,
    'avi': _of_avi,
    'wav': _of_wave,
    'asf': _of_asf,
    'mxf': _of_mxf,
    'mpeg': _of_program_stream,
    'mpegts': _of_transport_stream,
    'flv': _of_flv,
}
