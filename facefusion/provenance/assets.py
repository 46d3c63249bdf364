"""Which files hold their Content Credentials themselves, and which need a side-car."""

from __future__ import annotations

from pathlib import Path

from facefusion.media.kinds import content_of, is_named_for

SIDECAR_SUFFIX = '.c2pa'
# Container by extension, as the C2PA library names it. All others are signed as plain bytes, in a side-car.
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
# What others write, and this program reads in targets and verifies.
_READ = EMBEDDED | {
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
_NAMED = {
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
# By what ``kinds.sniff`` calls the content, for files whose names say something else.
_OF_CONTENT = {
    'jpeg': 'image/jpeg',
    'png': 'image/png',
    'webp': 'image/webp',
    'tiff': 'image/tiff',
    'bmp': 'image/bmp',
    'gif': 'image/gif',
    'heic': 'image/heic',
    'avif': 'image/avif',
    'mp4': 'video/mp4',
    'avi': 'video/avi',
    'matroska': 'video/x-matroska',
    'asf': 'video/x-ms-wmv',
    'mpeg': 'video/mpeg',
    'mpegts': 'video/mp2t',
    'mxf': 'application/mxf',
    'flv': 'video/x-flv',
}
PLAIN = 'application/octet-stream'


def holds_credentials(path: Path) -> bool:
    """Whether a file of this name carries its credentials itself; otherwise they lie beside it."""
    return path.suffix.lower() in EMBEDDED


def sidecar_of(path: Path) -> Path:
    """Where the credentials of a file lie that cannot hold them: ``out.mkv.c2pa``."""
    return path.with_name(path.name + SIDECAR_SUFFIX)


def sidecars_of(path: Path) -> tuple[Path, ...]:
    """Where a side-car of a file is looked for: beside it, and beside the file that it is a link to."""
    try:
        real = path.resolve()
    except (OSError, RuntimeError):
        # A circle of links: opening it says so.
        return (sidecar_of(path),)
    return tuple(dict.fromkeys((sidecar_of(path), sidecar_of(real))))


def file_type(path: Path) -> str:
    """The media type of a file that is there: that of its name, unless its content is another."""
    content = content_of(path)
    named = media_type(path)
    return named if is_named_for(path, content) else _OF_CONTENT.get(content, named)


def media_type(path: Path) -> str:
    """The media type that a name tells, as the credentials state it."""
    extension = path.suffix.lower()
    return _READ.get(extension) or _NAMED.get(extension) or PLAIN


def is_known(path: Path) -> bool:
    """Whether a file is named like media."""
    return media_type(path) != PLAIN


def signing_type(path: Path) -> str:
    """The type by which the C2PA library signs a file: as its container, or as plain bytes."""
    return EMBEDDED.get(path.suffix.lower(), PLAIN)


def reading_type(path: Path) -> str:
    """The type by which the C2PA library looks for credentials in a file that is there."""
    found = file_type(path)
    return found if found in _READ.values() else PLAIN


def may_hold_credentials(path: Path) -> bool:
    """Whether a file that is there is of a kind that carries credentials in itself."""
    return reading_type(path) != PLAIN
