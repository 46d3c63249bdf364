"""The file of ``--profile``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facefusion.errors import OutputError
from facefusion.events import Emit, Message
from facefusion.media.files import try_writing
from facefusion.profiling import NO_PROFILE, Profile, RecordedProfile


@contextmanager
def profile_file(path: str | None, emit: Emit) -> Iterator[Profile]:
    """Yield a profile, and write it to ``path`` when the block ends or fails; without a path yield NO_PROFILE.

    Raises OutputError profile-unwritable before the block if the file cannot be written.
    """
    if path is None:
        yield NO_PROFILE
        return
    check_writable(Path(path))
    profile = RecordedProfile()
    try:
        yield profile
    finally:
        save_profile(profile, Path(path), emit)


def check_writable(path: Path) -> None:
    """Raise OutputError profile-unwritable if the profile cannot be written to ``path``, whose content is kept."""
    try:
        try_writing(path)
    except OSError as error:
        raise OutputError(
            'profile-unwritable',
            f'the profile cannot be written to {path}',
            cause=error.strerror or str(error),
            hint='name a file in an existing folder with --profile',
        ) from None


def save_profile(profile: RecordedProfile, path: Path, emit: Emit) -> None:
    """Write the trace of a profile; a failure is only a warning, because the run itself has ended."""
    try:
        with path.open('w', encoding='utf-8') as stream:
            profile.write(stream)
    except OSError as error:
        emit(Message('warn', 'profile', f'the profile was not written to {path}: {error.strerror or error}'))
        return
    emit(Message('info', 'profile', f'wrote the profile {path}: open it in Perfetto or speedscope'))
    if profile.dropped_events:
        text = f'the profile is full: it lacks the last {profile.dropped_events} stages of the run'
        emit(Message('warn', 'profile', text))
