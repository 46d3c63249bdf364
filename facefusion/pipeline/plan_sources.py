"""Plan the sources of a run: check them against its processors, and measure its voices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from facefusion.errors import UsageError
from facefusion.faces.face_map import parse_face_map
from facefusion.faces.options import ReferenceFaceOptions
from facefusion.media.kinds import find_kind
from facefusion.media.sound import SoundInfo, probe_sound
from facefusion.processors.cast import Cast, make_cast
from facefusion.settings import Settings
from facefusion.stopping import StopFlag


class SourceUsers(NamedTuple):
    """The names of the processors that use the faces, and of those that use the audio of sources; '' if none does."""

    faces: str
    audio: str


def find_cast(settings: Settings, sources: Sequence[Path], users: SourceUsers) -> Cast:
    """Return the sources of each person.

    Raises UsageError source-kind, source-missing, source-audio-missing and face-map, and those of ``make_cast``.
    """
    text = settings[ReferenceFaceOptions].face_map
    if text is None:
        _check_kinds(sources, users)
        cast = make_cast(sources, (), bool(users.audio))
    else:
        cast = make_cast(sources, parse_face_map(text), takes_audio=True)
        _check_map(cast, users)
    if users.audio and not cast.voices:
        raise UsageError(
            'source-audio-missing',
            f'{users.audio} needs a source with audio',
            cause=f'{_listed(sources)} an image' if sources else '',
            hint=f'add a wav, mp3, m4a, flac, ogg, opus or a video with {_option(cast)}',
        )
    if users.faces and not cast.images:
        hint = f'add an image to {_option(cast)}' if cast.people is not None else 'add -s/--source-paths PATH'
        raise UsageError('source-missing', f'{users.faces} needs an image of a face as a source', hint=hint)
    return cast


def find_sounds(
    cast: Cast, sources: Sequence[Path], users: SourceUsers, flag: StopFlag | None
) -> tuple[SoundInfo, ...]:
    """Return the voices of a cast, measured, if a processor uses them.

    Without a face map, the first source that is not an image is the only voice. Raises the errors of ``probe_sound``.
    """
    if not users.audio:
        return ()
    sounds = [probe_sound(path, flag) for path in cast.voices]
    if cast.people is None:
        (first,) = sounds
        used = {first.path, *(path for group in cast.images for path in group)}
        others = [path.name for path in sources if path not in used]
        ignored = tuple(f'the audio of {name} is ignored: {first.path.name} is the voice' for name in others)
        sounds = [replace(first, remarks=(*first.remarks, *ignored))]
    return tuple(sounds)


def _check_kinds(sources: Sequence[Path], users: SourceUsers) -> None:
    kinds = [find_kind(source, takes_audio=bool(users.audio)) for source in sources]
    if not users.faces or users.audio:
        return
    for source, kind in zip(sources, kinds, strict=True):
        if kind.family != 'image':
            raise UsageError(
                'source-kind',
                f'{users.faces} needs images as sources, and {source} is not an image',
                cause=f'its content is {kind.family} ({kind.name})',
                hint='use a jpg, png, webp, bmp or tiff',
            )


def _check_map(cast: Cast, users: SourceUsers) -> None:
    """Raise UsageError face-map for files that no processor uses."""
    if cast.voices and not users.audio:
        raise UsageError(
            'face-map',
            f'the face map has a voice, and no processor uses it: {cast.voices[0].name}{cast.users_of_voice(0)}',
            hint='add lip_syncer to --processors, or remove the file from --face-map',
        )
    if cast.images and not users.faces:
        raise UsageError(
            'face-map',
            f'the face map has an image, and no processor uses it: {cast.images[0][0].name}{cast.users_of_images(0)}',
            hint='add face_swapper to --processors, or remove the file from --face-map',
        )


def _option(cast: Cast) -> str:
    return '-s/--source-paths' if cast.people is None else '--face-map'


def _listed(sources: Sequence[Path]) -> str:
    return f'each of {len(sources)} sources is' if len(sources) > 1 else f'{sources[0].name} is'
