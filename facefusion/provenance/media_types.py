"""Media types of files, and the containers into which the C2PA library writes credentials."""

from __future__ import annotations

from pathlib import Path

from facefusion.media.kinds import content_of, is_named_for

# Media type by extension, as the C2PA library names it. All other files are signed as plain bytes, with a sidecar.
EMBEDDED = {
    '.jpg': 'image/jpeg',
    '.jpeg': 'image/jpeg',
    '.jpe': 'image/jpeg',
    '.jfif': 'image/jpeg',
    '.png': 'image/png',
    '.webp': 'image/webp',
    '.tif': 'image/tiff',
    '.tiff': 'image/tiff',
    '.gif': 'image/gif',
    '.mp4': 'video/mp4',
    '.m4v': 'video/mp4',
    '.mov': 'video/quicktime',
    '.avi': 'video/avi',
}
# Containers of other programs, which this program only reads.
_READABLE = EMBEDDED | {
    '.avif': 'image/avif',
    '.heic': 'image/heic',
    '.heif': 'image/heif',
    '.dng': 'image/dng',
    '.3gp': 'video/mp4',
    '.3g2': 'video/mp4',
    '.m4a': 'audio/mp4',
    '.mp3': 'audio/mpeg',
    '.wav': 'audio/wav',
    '.flac': 'audio/flac',
    '.jxl': 'image/jxl',
    '.svg': 'image/svg+xml',
    '.pdf': 'application/pdf',
}
_BY_EXTENSION = _READABLE | {
    '.bmp': 'image/bmp',
    '.mkv': 'video/x-matroska',
    '.webm': 'video/webm',
    '.wmv': 'video/x-ms-wmv',
    '.mpg': 'video/mpeg',
    '.mpeg': 'video/mpeg',
    '.vob': 'video/mpeg',
    '.ts': 'video/mp2t',
    '.mts': 'video/mp2t',
    '.m2ts': 'video/mp2t',
    '.mxf': 'application/mxf',
    '.asf': 'video/x-ms-wmv',
    '.flv': 'video/x-flv',
}
# Extension by the content that ``kinds.sniff`` names, for files whose names do not fit their content.
_NAMED_CONTENTS = (
    'jpeg',
    'png',
    'webp',
    'tiff',
    'bmp',
    'gif',
    'heic',
    'avif',
    'mp4',
    'avi',
    'asf',
    'mpeg',
    'mxf',
    'flv',
)
_EXTENSIONS = {'matroska': '.mkv', 'mpegts': '.ts'} | {content: f'.{content}' for content in _NAMED_CONTENTS}
PLAIN = 'application/octet-stream'


def holds_credentials(path: Path) -> bool:
    """Whether credentials are embedded in a file of this name; otherwise they are written to a sidecar."""
    return path.suffix.lower() in EMBEDDED


def file_type(path: Path) -> str:
    """Return the media type of an existing file: by its name, or by its content where the two differ."""
    content = content_of(path)
    if content not in _EXTENSIONS or is_named_for(path, content):
        return media_type(path)
    return _BY_EXTENSION[_EXTENSIONS[content]]


def media_type(path: Path) -> str:
    """Return the media type by the extension of a name, as the credentials state it."""
    return _BY_EXTENSION.get(path.suffix.lower(), PLAIN)


def signing_type(path: Path) -> str:
    """Return the media type by which the C2PA library signs a file: its container, or plain bytes."""
    return EMBEDDED.get(path.suffix.lower(), PLAIN)


def reading_type(path: Path) -> str:
    """Return the media type by which the C2PA library looks for credentials in an existing file."""
    found = file_type(path)
    return found if found in _READABLE.values() else PLAIN


def may_hold_credentials(path: Path) -> bool:
    """Whether an existing file has a container that can contain credentials."""
    return reading_type(path) != PLAIN
