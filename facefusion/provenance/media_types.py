"""Media types of files, and the containers into which the C2PA library writes credentials."""

from __future__ import annotations

from pathlib import Path

from facefusion.media.kinds import content_of, is_named_for

# Extensions by media type in the C2PA library's spelling. All other files are signed as plain bytes, with a sidecar.
_EMBEDDED_TYPES = {
    'image/jpeg': ('.jpg', '.jpeg', '.jpe', '.jfif'),
    'image/png': ('.png',),
    'image/webp': ('.webp',),
    'image/tiff': ('.tif', '.tiff'),
    'image/gif': ('.gif',),
    'video/mp4': ('.mp4', '.m4v'),
    'video/quicktime': ('.mov',),
    'video/avi': ('.avi',),
}
# Containers that this program reads but never writes.
_READABLE_TYPES = {
    'image/avif': ('.avif',),
    'image/heic': ('.heic',),
    'image/heif': ('.heif',),
    'image/dng': ('.dng',),
    'video/mp4': ('.3gp', '.3g2'),
    'audio/mp4': ('.m4a',),
    'audio/mpeg': ('.mp3',),
    'audio/wav': ('.wav',),
    'audio/flac': ('.flac',),
    'image/jxl': ('.jxl',),
    'image/svg+xml': ('.svg',),
    'application/pdf': ('.pdf',),
}
_SIDECAR_TYPES = {
    'image/bmp': ('.bmp',),
    'video/x-matroska': ('.mkv',),
    'video/webm': ('.webm',),
    'video/x-ms-wmv': ('.wmv', '.asf'),
    'video/mpeg': ('.mpg', '.mpeg', '.vob'),
    'video/mp2t': ('.ts', '.mts', '.m2ts'),
    'application/mxf': ('.mxf',),
    'video/x-flv': ('.flv',),
}


def _by_extension(types: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {extension: media_type for media_type, extensions in types.items() for extension in extensions}


EMBEDDED = _by_extension(_EMBEDDED_TYPES)
_READABLE = EMBEDDED | _by_extension(_READABLE_TYPES)
_BY_EXTENSION = _READABLE | _by_extension(_SIDECAR_TYPES)
# Extensions by the result of ``kinds.sniff``, for files whose extension does not match their content.
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
    """Return the media type of an existing file by its name, or by its content if the name does not match it."""
    content = content_of(path)
    if content not in _EXTENSIONS or is_named_for(path, content):
        return media_type(path)
    return _BY_EXTENSION[_EXTENSIONS[content]]


def media_type(path: Path) -> str:
    """Return the media type for the extension of a name, in the spelling of the credentials."""
    return _BY_EXTENSION.get(path.suffix.lower(), PLAIN)


def signing_type(path: Path) -> str:
    """Return the media type to pass to the C2PA library for signing: the container's, or plain bytes."""
    return EMBEDDED.get(path.suffix.lower(), PLAIN)


def reading_type(path: Path) -> str:
    """Return the media type to pass to the C2PA library for reading the credentials of an existing file."""
    found = file_type(path)
    return found if found in _READABLE.values() else PLAIN


def may_hold_credentials(path: Path) -> bool:
    """Whether an existing file has a container that can contain credentials."""
    return reading_type(path) != PLAIN
