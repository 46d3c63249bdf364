"""Whether a media file is still the one that was measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from facefusion.errors import ContentRefused, Interrupted, JobError, MediaError, OutputError, ResourceError
from facefusion.media.info import MediaInfo
from facefusion.media.sound import SoundInfo
from facefusion.stopping import StopFlag

LEAVE_ALONE = 'start again, and leave the file alone while it is worked on'
PUT_BACK = 'put it back as it was and run the same command again: that goes on; job-delete removes what is done'


def check_unchanged(target: MediaInfo | SoundInfo, stop: StopFlag | None = None) -> None:
    """Raises MediaError media-changed or media-missing when a file is not the one that was probed.

    Reads the file only as ``SeenFile.difference`` does; Interrupted when ``stop`` is set then.
    """
    try:
        what = target.seen.difference(target.path, stop)
    except OSError as error:
        raise MediaError(
            'media-missing', f'{target.path.name} is gone', cause=error.strerror or str(error), hint=PUT_BACK
        ) from None
    if what:
        raise MediaError(
            'media-changed', f'{target.path.name} was changed since it was measured', cause=what, hint=LEAVE_ALONE
        )


@contextmanager
def blaming_change(target: MediaInfo | SoundInfo, stop: StopFlag) -> Iterator[None]:
    """Whatever a block fails with while it reads a file that was changed: the change is what is told.

    Raises what ``check_unchanged`` raises instead of any other error, but for those that no file causes.
    """
    try:
        yield
    except (Interrupted, ContentRefused, JobError, OutputError, ResourceError):
        raise
    except Exception as error:
        try:
            check_unchanged(target, stop)
        except MediaError as changed:
            raise changed from error
        raise
