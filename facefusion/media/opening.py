"""Opening a media file for reading, with each version of PyAV."""

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

# Up to PyAV 18 tags that are no UTF-8 fail the opening unless this is said; PyAV 19 has no such setting and copes.
_LAST_WITH_METADATA_ERRORS = 18
# FFmpeg's names of what reads a content. It is told, since FFmpeg guesses by the name of the file, too.
_DEMUXERS = {
    'mp4': 'mov',
    'matroska': 'matroska',
    'avi': 'avi',
    'asf': 'asf',
    'mpeg': 'mpeg',
    'mpegts': 'mpegts',
    'mxf': 'mxf',
    'flv': 'flv',
    'wav': 'wav',
    'mp3': 'mp3',
    'aac': 'aac',
    'flac': 'flac',
    'ogg': 'ogg',
}


def open_input(path: Path) -> av.container.InputContainer:
    """The container of a file; raises av.error.FFmpegError. Tags that are no UTF-8 do not matter, nor does its name."""
    settings: dict[str, Any] = {'format': _DEMUXERS.get(content_of(path))}
    if int(av.__version__.split('.')[0]) <= _LAST_WITH_METADATA_ERRORS:
        settings['metadata_errors'] = 'replace'
    container = av.open(ffmpeg_name(path), **settings)
    assert isinstance(container, av.container.InputContainer)
    return container


@contextmanager
def open_audio(path: Path) -> Iterator[av.container.InputContainer]:
    """Opens a file for its audio. Raises MediaError audio-damaged."""
    try:
        source = open_input(path)
    except av.error.FFmpegError as error:
        raise damaged_audio(path, error) from None
    with source:
        yield source


def damaged_audio(path: Path, error: av.error.FFmpegError) -> MediaError:
    """The error of a file whose audio cannot be read."""
    return MediaError(
        'audio-damaged',
        f'the audio of {path.name} cannot be read',
        cause=error.strerror or str(error),
        hint='repair the file, or leave its audio out with --output-audio-volume 0',
    )
