"""What kind of media a file is, by its name and by its first bytes."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from facefusion.errors import MediaError

IMAGE_EXTENSIONS = {
    '.jpg': 'jpeg',
    '.jpeg': 'jpeg',
    '.png': 'png',
    '.webp': 'webp',
    '.bmp': 'bmp',
    '.tif': 'tiff',
    '.tiff': 'tiff',
}
VIDEO_EXTENSIONS = {
    '.mp4': 'mp4',
    '.m4v': 'mp4',
    '.mov': 'mp4',
    '.mkv': 'matroska',
    '.webm': 'matroska',
    '.avi': 'avi',
    '.wmv': 'asf',
    '.mpg': 'mpeg',
    '.mpeg': 'mpeg',
    '.ts': 'mpegts',
    '.mxf': 'mxf',
}
AUDIO_EXTENSIONS = {
    '.wav': 'wav',
    '.mp3': 'mp3',
    '.m4a': 'mp4',
    '.aac': 'aac',
    '.flac': 'flac',
    '.ogg': 'ogg',
    '.opus': 'ogg',
}
# Five packets of a transport stream, of 188 bytes or of 192.
_HEAD = 960
_HEIF_BRANDS = (b'heic', b'heix', b'hevc', b'mif1', b'msf1', b'avif', b'avis')
# Boxes that nothing can do without.
_WEIGHTY_BOXES = (b'moov', b'mdat', b'moof')
_SEGMENT = 0x18538067
_TOP_ELEMENTS = 8
_BOXES = (b'moov', b'mdat', b'wide', b'free', b'skip', b'pnot')


class Kind(NamedTuple):
    """``family`` is 'image', 'video' or 'audio'; ``content`` names the format that the first bytes show."""

    family: str
    content: str


def find_kind(path: Path, *, takes_audio: bool = False) -> Kind:
    """The kind of an existing, readable file; with ``takes_audio`` it may be one that holds nothing but sound.

    Raises MediaError: media-missing, media-directory, media-not-a-file, media-unreadable, media-empty,
    media-kind-unsupported (a name this version does not read), media-content-unknown, media-kind-mismatch (name and
    content differ).
    """
    head = _read_head(path)
    extension = path.suffix.lower()
    families = {'image': IMAGE_EXTENSIONS, 'video': VIDEO_EXTENSIONS}
    if takes_audio:
        families['audio'] = AUDIO_EXTENSIONS
    family = next((name for name, extensions in families.items() if extension in extensions), '')
    expected = families[family][extension] if family else None
    if expected is None:
        named = f'files named {extension} are' if extension else 'files without an extension are'
        raise MediaError(
            'media-kind-unsupported',
            f'cannot read {path.name}',
            cause=f'{named} not read',
            hint=_read_kinds(families),
        )
    content = sniff(head)
    if not content:
        shown = 'text' if _is_text(head[:64]) else 'of no media format that is known'
        raise MediaError(
            'media-content-unknown',
            f'{path.name} is named like {extension[1:]}, but its content is {shown}',
            cause='the first bytes are ' + head[:12].hex(' '),
            hint='check that the file is complete and is what its name says',
        )
    if content != expected:
        named_like_it = [name for known in families.values() for name, other in known.items() if other == content]
        raise MediaError(
            'media-kind-mismatch',
            f'{path.name} is named like {extension[1:]}, but its content is {content}',
            cause='the first bytes are ' + head[:12].hex(' '),
            hint=f'rename it to {path.stem}{named_like_it[0]}' if named_like_it else _read_kinds(families),
        )
    return Kind(family, content)


def _read_kinds(families: Mapping[str, Mapping[str, str]]) -> str:
    names = {'image': 'images', 'video': 'videos', 'audio': 'audio'}
    known = (
        f'{names[family]}: ' + ', '.join(name[1:] for name in extensions) for family, extensions in families.items()
    )
    return 'this version reads ' + '; '.join(known)


def sniff(head: bytes) -> str:
    """The format that the first bytes of a file show, '' if none that is known."""
    starts = {
        b'\xff\xd8\xff': 'jpeg',
        b'\x89PNG\r\n\x1a\n': 'png',
        b'BM': 'bmp',
        b'GIF8': 'gif',
        b'II*\0': 'tiff',
        b'MM\0*': 'tiff',
        b'II+\0': 'tiff',
        b'MM\0+': 'tiff',
        b'\x1aE\xdf\xa3': 'matroska',
        b'\x30\x26\xb2\x75\x8e\x66\xcf\x11': 'asf',
        b'\0\0\1\xba': 'mpeg',
        b'\0\0\1\xb3': 'mpeg video without a container',
        b'\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02': 'mxf',
        b'fLaC': 'flac',
        b'OggS': 'ogg',
        b'ID3': 'mp3',
        b'%PDF': 'pdf',
    }
    for start, name in starts.items():
        if head.startswith(start):
            return name
    if head[:4] == b'RIFF':
        return {b'WEBP': 'webp', b'AVI ': 'avi', b'WAVE': 'wav'}.get(head[8:12], '')
    if head[:4] == b'RF64' and head[8:12] == b'WAVE':
        return 'wav'
    if head[4:8] == b'ftyp':
        return 'heif' if head[8:12] in _HEIF_BRANDS else 'mp4'
    if head[4:8] in _BOXES:
        return 'mp4'
    return 'mpegts' if _is_transport_stream(head) else _sniff_audio_frame(head)


def why_truncated(path: Path) -> str:
    """What of an mp4 or mov file is cut off, '' when it is whole.

    It needs its moov box, without which no frame can be found, and all of the bytes that its boxes announce
    (ISO/IEC 14496-12, 4.2): FFmpeg takes a file that ends early for a shorter clip.
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
                # 0 means up to the end of the file; anything else is no box but something appended to the last one.
                break
            if indexed and at + length > size and name in _WEIGHTY_BOXES:
                return f'{at + length - size} bytes are missing at its end'
            at += length
    return '' if indexed else 'its index (the moov box) is missing'


def missing_bytes(path: Path) -> int:
    """How many bytes a mkv file is shorter than its Segment announces (RFC 8794 4 to 6); 0 where it announces none.

    FFmpeg takes a file that was cut off for a shorter clip.
    """
    size = path.stat().st_size
    with path.open('rb') as file:
        # The header and the segment; anything else on this level (padding) is passed over.
        for _ in range(_TOP_ELEMENTS):
            name, length = _number(file, keeps_marker=True), _number(file)
            if length is None:
                return 0
            if name == _SEGMENT:
                return max(file.tell() + length - size, 0)
            file.seek(length, 1)
    return 0


def _number(file: BinaryIO, keeps_marker: bool = False) -> int | None:
    """The next number of variable length of an EBML file; None at the end, and where its bits say 'unknown'."""
    first = file.read(1)
    length = 9 - first[0].bit_length() if first else 9
    if length > 8:
        return None
    value = int.from_bytes(first + file.read(length - 1), 'big')
    unmarked = value & ((1 << 7 * length) - 1)
    if keeps_marker:
        return value
    return None if unmarked == (1 << 7 * length) - 1 else unmarked


def _read_head(path: Path) -> bytes:
    name = path.name or str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(
                'media-directory', f'{path} is a directory', cause='one file is read', hint='name the media file in it'
            )
        if not stat.S_ISREG(mode):
            # Opening a pipe would wait for a writer, perhaps for ever, and none of these can be read twice.
            raise MediaError(
                'media-not-a-file',
                f'{path} is no regular file',
                cause='it is a pipe, a socket or a device',
                hint='save what it gives as a file first',
            )
        with path.open('rb') as file:
            head = _behind_tag(file, file.read(_HEAD))
    except (FileNotFoundError, NotADirectoryError):
        folder = path.absolute().parent
        cause = f'{folder} has no such file' if folder.is_dir() else f'there is no folder {folder}'
        raise MediaError('media-missing', f'no file at {path}', cause=cause, hint='check the path') from None
    except PermissionError as error:
        raise MediaError(
            'media-unreadable', f'{name} may not be read', cause=str(error), hint='check the permissions of the file'
        ) from None
    except OSError as error:
        raise MediaError(
            'media-unreadable', f'{name} cannot be read', cause=error.strerror or str(error), hint='check the path'
        ) from None
    if not head:
        raise MediaError(
            'media-empty',
            f'{name} is empty (0 bytes)',
            cause='the copy or the download that made it did not finish',
            hint='copy or download it again',
        )
    return head


def _behind_tag(file: BinaryIO, head: bytes) -> bytes:
    """The first bytes behind an ID3 tag, which mp3, aac and flac files may begin with, where they tell anything."""
    if not head.startswith(b'ID3') or len(head) < 10:
        return head
    # Four bytes of seven bits (ID3v2.4.0, 3.1), not counting these ten.
    length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(10 + length)
    behind = file.read(_HEAD)
    return behind if sniff(behind) else head


def _sniff_audio_frame(head: bytes) -> str:
    """An MP3 frame (ISO/IEC 11172-3, 2.4.1.3) or one of AAC (ADTS: ISO/IEC 13818-7, 6.2) without a container."""
    if len(head) < 4 or head[0] != 0xFF:
        return ''
    if head[1] & 0xE6 == 0xE2 and head[1] >> 3 & 3 != 1 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3:
        return 'mp3'
    return 'aac' if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13 else ''


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes begin with a G (ISO/IEC 13818-1, 2.4.3.2), recorders put 4 bytes before each."""
    return any(
        len(head) > begin + step and all(byte == ord('G') for byte in head[begin::step])
        for begin, step in ((0, 188), (4, 192))
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode('utf-8')
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in '\r\n\t' for character in text)
