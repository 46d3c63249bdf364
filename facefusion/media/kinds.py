"""Detect the kind of a media file from its first bytes, with its name as a hint."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote

from facefusion.errors import MediaError


def _by_extension(formats: Mapping[str, str]) -> dict[str, str]:
    return {f'.{name}': content for content, names in formats.items() for name in names.split()}


IMAGE_EXTENSIONS = _by_extension(
    {'jpeg': 'jpg jpeg jpe jfif', 'png': 'png', 'webp': 'webp', 'bmp': 'bmp', 'tiff': 'tif tiff'}
)
VIDEO_EXTENSIONS = _by_extension(
    {
        'mp4': 'mp4 m4v mov 3gp 3g2',
        'matroska': 'mkv webm',
        'avi': 'avi',
        'asf': 'wmv asf',
        'mpeg': 'mpg mpeg vob',
        'mpegts': 'ts mts m2ts',
        'mxf': 'mxf',
        'flv': 'flv',
    }
)
AUDIO_EXTENSIONS = _by_extension(
    {'wav': 'wav', 'mp3': 'mp3', 'mp4': 'm4a', 'aac': 'aac', 'flac': 'flac', 'ogg': 'ogg opus'}
)
_EXTENSIONS = IMAGE_EXTENSIONS | VIDEO_EXTENSIONS | AUDIO_EXTENSIONS
_FAMILIES = {'image': IMAGE_EXTENSIONS, 'video': VIDEO_EXTENSIONS, 'audio': AUDIO_EXTENSIONS}
# The usual extension of each format.
_USUAL = {content: extension for extension, content in reversed(_EXTENSIONS.items())}
# Formats that are recognised but not read, and how to convert them.
ADVICE = {
    'gif': 'save a single image as png; convert an animation with `ffmpeg -i FILE.gif FILE.mp4`',
    'heic': 'convert it to jpg, for example with `heif-convert FILE.heic FILE.jpg`, or let the phone export JPEG',
    'avif': 'convert it to png, for example with `ffmpeg -i FILE.avif FILE.png`',
    'jpeg 2000': 'convert it to png, for example with `magick FILE.jp2 FILE.png`',
    'jpeg xl': 'convert it to png, for example with `djxl FILE.jxl FILE.png`',
    'psd': 'export it as png or tiff',
    'raw': 'develop it with a raw converter, and export it as tiff or jpg',
    'ogg': 'use an image or a video; convert a video in ogg with `ffmpeg -i FILE.ogv FILE.mkv`',
    'mpeg video without a container': 'put it into a container with `ffmpeg -i FILE -c copy FILE.mkv`',
    'pdf': 'export the page as png',
}
_RAW_EXTENSIONS = ('.3fr', '.arw', '.cr2', '.dng', '.iiq', '.kdc', '.nef', '.nrw', '.pef', '.sr2', '.srw')
# Five packets of a transport stream, of 188 bytes or of 192.
_HEAD = 960
# Valid sizes of the second header of a BMP. They are checked because only two letters identify the first header.
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'mif1', b'msf1')
_BOXES = (b'moov', b'mdat', b'wide', b'free', b'skip', b'pnot')
_QUOTES = ('"', "'")
# One slash is enough for these schemes, because a Path merges two slashes into one.
_SCHEMES = 'file|https?|s?ftps?|s3|gs|smb|nfs|rtsp|rtmps?|rtp|udp|srt'
_ADDRESS = re.compile(rf'(?:({_SCHEMES}):(?=/)|(data):(?=[a-z]+/))(.*)', re.IGNORECASE | re.DOTALL)
_STARTS = {
    b'\xff\xd8\xff': 'jpeg',
    b'\x89PNG\r\n\x1a\n': 'png',
    b'GIF8': 'gif',
    b'II*\0': 'tiff',
    b'MM\0*': 'tiff',
    b'II+\0': 'tiff',
    b'MM\0+': 'tiff',
    b'IIRO': 'raw',
    b'IIRS': 'raw',
    b'IIU\0': 'raw',
    b'FUJIFILMCCD-RAW': 'raw',
    b'\x1aE\xdf\xa3': 'matroska',
    b'\x30\x26\xb2\x75\x8e\x66\xcf\x11': 'asf',
    b'FLV\x01': 'flv',
    b'\0\0\1\xba': 'mpeg',
    b'\0\0\1\xb3': 'mpeg video without a container',
    b'\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02': 'mxf',
    b'\0\0\0\x0cjP  ': 'jpeg 2000',
    b'\xff\x4f\xff\x51': 'jpeg 2000',
    b'\0\0\0\x0cJXL ': 'jpeg xl',
    b'\xff\x0a': 'jpeg xl',
    b'8BPS': 'psd',
    b'fLaC': 'flac',
    b'OggS': 'ogg',
    b'ID3': 'mp3',
    b'%PDF': 'pdf',
}


class Kind(NamedTuple):
    """``family`` is 'image', 'video' or 'audio'; ``content`` names the format of the first bytes.

    ``remark`` reports a file name that belongs to another format; '' if the name fits.
    """

    family: str
    content: str
    remark: str = ''

    @property
    def name(self) -> str:
        """The usual extension of such a file, without its dot."""
        return _USUAL[self.content][1:]


def find_kind(path: Path, *, takes_audio: bool = False) -> Kind:
    """Return the kind of an existing, readable file; ``takes_audio`` allows files that contain only audio.

    Raises MediaError: media-missing, media-directory, media-not-a-file, media-unreadable, media-empty, media-address,
    media-kind-unsupported (a kind that this version does not read), media-content-unknown.
    """
    head = _read_head(path)
    extension = path.suffix.lower()
    content = sniff(head)
    if content == 'tiff' and extension in _RAW_EXTENSIONS:
        # Raw formats resemble TIFF, but a TIFF reader finds only a thumbnail in them.
        content = 'raw'
    families = {name: known for name, known in _FAMILIES.items() if takes_audio or name != 'audio'}
    if not content:
        is_named = any(extension in known for known in families.values())
        raise MediaError(
            'media-content-unknown',
            f'{path.name} cannot be read: its content is {"text" if _is_text(head[:64]) else "in an unknown format"}',
            cause='the first bytes are ' + head[:12].hex(' '),
            hint='check that the file is complete and has the right name' if is_named else _read_kinds(families),
        )
    possible = [name for name, known in families.items() if content in known.values()]
    if not possible:
        raise MediaError(
            'media-kind-unsupported',
            f'{path.name} cannot be read: its content is {content}',
            cause=f'this version does not read {content}',
            hint=ADVICE.get(content, _read_kinds(families)),
        )
    # Only mp4 is in two families, so the name of the file decides whether it is read as a video or as audio.
    named = [name for name in possible if families[name].get(extension) == content]
    kind = Kind((named or possible)[0], content)
    if named:
        return kind
    name = f'its name ends in {extension}' if extension in _EXTENSIONS else 'its name has no known extension'
    return kind._replace(remark=f'{path.name} is read as {kind.name} because of its content, but {name}')


def images_of(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return those of ``paths`` that are images, not audio or videos. Raises the errors of ``find_kind``."""
    return tuple(path for path in paths if find_kind(path, takes_audio=True).family == 'image')


def _read_kinds(families: Mapping[str, Mapping[str, str]]) -> str:
    names = {'image': 'images', 'video': 'videos', 'audio': 'audio'}
    known = (f'{names[family]}: ' + ', '.join(name[1:] for name in named) for family, named in families.items())
    return 'this version reads ' + '; '.join(known)


def is_named_for(path: Path, content: str) -> bool:
    """Whether the extension of a file belongs to the format ``content``."""
    return _EXTENSIONS.get(path.suffix.lower()) == content


def content_of(path: Path) -> str:
    """Return the format of the first bytes of a file, '' if it is unknown or the file cannot be read."""
    try:
        return sniff(_read_head(path))
    except MediaError:
        return ''


def is_address(text: str) -> bool:
    """Whether a text is a URL such as https://host/name, not a path."""
    return _ADDRESS.match(text) is not None


def address_text(text: str) -> str:
    """Return the beginning of a URL as the user wrote it; a Path has merged the slashes of ``text``."""
    restored = re.sub('^([^:/]+):/+', r'\1://', text)
    return re.sub('^file://(?!localhost/)', 'file:///', restored, flags=re.IGNORECASE)[:80]


def check_address(text: str) -> None:
    """Raise MediaError media-address for a URL."""
    found = _ADDRESS.match(text.replace('\\', '/'))
    if found is None:
        return
    scheme, rest = (found[1] or found[2]).lower(), found[3]
    hint = 'download it first, and use the file'
    if scheme == 'file':
        # The forms are file:///a (file:/a in a Path), file://localhost/a and, on Windows, file:///C:/a.
        plain = re.sub('^/+(localhost/)?', '/', rest)
        hint = f'use its path: {unquote(plain[1:] if plain[2:3] == ":" else plain)}'
    elif scheme == 'data':
        hint = 'save it as a file first'
    raise MediaError(
        'media-address', f'{address_text(text)} is a URL', cause='only paths of files are supported', hint=hint
    )


def sniff(head: bytes) -> str:
    """Return the format of the first bytes of a file, '' if it is unknown."""
    for start, name in _STARTS.items():
        if head.startswith(start):
            return 'raw' if name == 'tiff' and head[8:10] == b'CR' else name
    if head[:2] == b'BM' and int.from_bytes(head[14:18], 'little') in _BMP_HEADERS:
        return 'bmp'
    if head[:4] == b'RIFF':
        return {b'WEBP': 'webp', b'AVI ': 'avi', b'WAVE': 'wav'}.get(head[8:12], '')
    if head[:4] == b'RF64' and head[8:12] == b'WAVE':
        return 'wav'
    if head[4:8] == b'ftyp':
        return _of_brands(head)
    # A text file may have a word such as 'free' at this position.
    if head[4:8] in _BOXES and not _is_text(head[:16]):
        return 'mp4'
    return 'mpegts' if _is_transport_stream(head) else _sniff_audio_frame(head)


def _of_brands(head: bytes) -> str:
    """Return the format that the brands in a file type box identify (ISO/IEC 14496-12, 4.3)."""
    main = head[8:12]
    others = head[16 : max(int.from_bytes(head[:4], 'big'), 16)]
    if main in (b'avif', b'avis') or (main in _HEIF_BRANDS and b'avif' in others):
        return 'avif'
    if main in _HEIF_BRANDS:
        return 'heic'
    return 'raw' if main == b'crx ' else 'mp4'


def _read_head(path: Path) -> bytes:
    name = path.name or str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(
                'media-directory', f'{path} is a directory', cause='a file is expected', hint='use a media file in it'
            )
        if not stat.S_ISREG(mode):
            # Opening a pipe may block forever if it has no writer, and a pipe cannot be read twice.
            raise MediaError(
                'media-not-a-file',
                f'{path} is not a regular file',
                cause='it is a pipe, a socket or a device',
                hint='save its content as a file first',
            )
        with path.open('rb') as file:
            head = _behind_tag(file, file.read(_HEAD))
    except (FileNotFoundError, NotADirectoryError):
        check_address(str(path))
        folder = path.absolute().parent
        cause = f'{folder} has no such file' if folder.is_dir() else f'there is no folder {folder}'
        raise MediaError('media-missing', f'no file at {path}', cause=cause, hint=_advice(path)) from None
    except PermissionError as error:
        raise MediaError(
            'media-unreadable', f'{name} is not readable', cause=str(error), hint='check the permissions of the file'
        ) from None
    except OSError as error:
        check_address(str(path))
        raise MediaError(
            'media-unreadable',
            f'{name[:255]} cannot be read',
            cause=error.strerror or str(error),
            hint='check the path',
        ) from None
    if not head:
        raise MediaError(
            'media-empty',
            f'{name} is empty (0 bytes)',
            cause='a copy or download did not finish',
            hint='copy or download it again',
        )
    return head


def _behind_tag(file: BinaryIO, head: bytes) -> bytes:
    """Return the first bytes after an ID3 tag (of mp3, aac and flac files) if their format is known; else ``head``."""
    if not head.startswith(b'ID3') or len(head) < 10:
        return head
    # The length has four bytes of seven bits (ID3v2.4.0, 3.1) and excludes the ten bytes of this header.
    length = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    file.seek(10 + length)
    behind = file.read(_HEAD)
    return behind if sniff(behind) else head


def _sniff_audio_frame(head: bytes) -> str:
    """Detect a frame of MP3 (ISO/IEC 11172-3, 2.4.1.3) or AAC (ADTS: ISO/IEC 13818-7, 6.2) without a container."""
    if len(head) < 4 or head[0] != 0xFF:
        return ''
    if head[1] & 0xE6 == 0xE2 and head[1] >> 3 & 3 != 1 and head[2] >> 4 != 15 and head[2] >> 2 & 3 != 3:
        return 'mp3'
    return 'aac' if head[1] & 0xF6 == 0xF0 and head[2] >> 2 & 15 < 13 else ''


def _is_transport_stream(head: bytes) -> bool:
    """Whether packets of 188 bytes begin with a G (ISO/IEC 13818-1, 2.4.3.2); recorders put 4 bytes before each."""
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


def _advice(path: Path) -> str:
    """Return a hint for a missing file."""
    text = str(path)
    if any(part[0] in _QUOTES or part[-1] in _QUOTES for part in path.parts):
        return 'check the path: it contains quotation marks'
    if '$' in text or re.search('%[A-Za-z]+%', text):
        return 'check the path: it contains variables without their values'
    if os.sep == '/' and re.match(r'[A-Za-z]:\\|\\\\', path.name):
        return 'check the path: this is a Windows path, but here folders are separated by /'
    return 'check the path'
