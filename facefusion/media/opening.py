"""Opening a media file for reading, with each version of PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

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
}


def open_input(path: Path) -> av.container.InputContainer:
    """The container of a file; raises av.error.FFmpegError. Tags that are no UTF-8 do not matter, nor does its name."""
    settings: dict[str, Any] = {'format': _DEMUXERS.get(content_of(path))}
    if int(av.__version__.split('.')[0]) <= _LAST_WITH_METADATA_ERRORS:
        settings['metadata_errors'] = 'replace'
    container = av.open(ffmpeg_name(path), **settings)
    assert isinstance(container, av.container.InputContainer)
    return container
