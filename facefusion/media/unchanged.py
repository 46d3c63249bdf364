"""Whether a media file is still the one that was measured."""

from __future__ import annotations

from facefusion.errors import MediaError
from facefusion.media.probe import MediaInfo

LEAVE_ALONE = 'start again, and leave the file alone while it is worked on'


def check_unchanged(target: MediaInfo) -> None:
    """Raises MediaError media-changed or media-missing when size, time of change or inode are not those probed."""
    try:
        now = target.path.stat()
    except OSError as error:
        raise MediaError(
            'media-missing', f'{target.path.name} is gone', cause=error.strerror or str(error), hint=LEAVE_ALONE
        ) from None
    before = (target.size, target.mtime_ns, target.inode)
    if (now.st_size, now.st_mtime_ns, now.st_ino) != before:
        is_other = now.st_ino != target.inode
        what = 'another file stands in its place' if is_other else 'its size or time of change differs'
        raise MediaError(
            'media-changed', f'{target.path.name} was changed since it was measured', cause=what, hint=LEAVE_ALONE
        )
