"""Open a media file for reading with any supported version of PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import av.error

from facefusion.errors import MediaError
from facefusion.media.files import ffmpeg_name
from facefusion.media.kinds import content_of

# Up to PyAV 18, tags that are not UTF-8 make opening fail without this setting, which PyAV 19 does not have.
_LAST_WITH_METADATA_ERRORS = 18
# The FFmpeg demuxer for each content; if none is named, FFmpeg also uses the name of the file to guess.
_SAME_NAME = ('matroska', 'avi', 'asf', 'mpeg', 'mpegts', 'mxf', 'flv', 'wav', 'mp3', 'aac', 'flac', 'ogg')
_DEMUXERS = {'mp4': 'mov', **{name: name for name in _SAME_NAME}}


def open_input(path: Path) -> av.container.InputContainer:
    """Open a file regardless of its name; tags that are not UTF-8 are replaced. Raises av.error.FFmpegError."""
    settings: dict[str, Any] = {'format': _DEMUXERS.get(content_of(path))}
    if int(av.__version__.split('.')[0]) <= _LAST_WITH_METADATA_ERRORS:
        settings['metadata_errors'] = 'replace'
    container = av.open(ffmpeg_name(path), **settings)
    assert isinstance(container, av.container.InputContainer)
    return container


@contextmanager
def open_audio(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file for its audio. Raises MediaError audio-damaged."""
    try:
        source = open_input(path)
    except av.error.FFmpegError as error:
        raise damaged_audio(path, error) from None
    with source:
        yield source


def damaged_audio(path: Path, error: av.error.FFmpegError) -> MediaError:
    """Return the error for unreadable audio."""
    return MediaError(
        'audio-damaged',
        f'the audio of {path.name} cannot be read',
        cause=error.strerror or str(error),
        hint='repair the file, or leave its audio out with --output-audio-volume 0',
    )
