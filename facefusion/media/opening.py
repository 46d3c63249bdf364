"""Opening a media file for reading, with each version of PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from facefusion.media.files import ffmpeg_name

# Up to PyAV 18 tags that are no UTF-8 fail the opening unless this is said; PyAV 19 has no such setting and copes.
_LAST_WITH_METADATA_ERRORS = 18


def open_input(path: Path) -> av.container.InputContainer:
    """The container of a file; raises av.error.FFmpegError. Tags that are no UTF-8 do not matter."""
    settings: dict[str, Any] = {}
    if int(av.__version__.split('.')[0]) <= _LAST_WITH_METADATA_ERRORS:
        settings['metadata_errors'] = 'replace'
    container = av.open(ffmpeg_name(path), **settings)
    assert isinstance(container, av.container.InputContainer)
    return container
