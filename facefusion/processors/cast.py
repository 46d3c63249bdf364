"""The cast of a run: the sources of each person of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import UsageError
from facefusion.faces.face_map import MappedPerson
from facefusion.faces.role import NO_SOURCE
from facefusion.media.kinds import find_kind


class CastPerson(NamedTuple):
    """The sources of a person: indexes into ``Cast.images`` and ``Cast.voices``, or NO_SOURCE."""

    person: int
    images: int = NO_SOURCE
    voice: int = NO_SOURCE


@dataclass(frozen=True, slots=True)
class Cast:
    """The sources by person.

    ``images`` are groups of images, each of one person. ``voices`` are recordings or clips. ``people`` is None without
    a face map: then every person has the first group, which contains all images, and the first voice.
    """

    images: tuple[tuple[Path, ...], ...] = ()
    voices: tuple[Path, ...] = ()
    people: tuple[CastPerson, ...] | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, each once: the images, then the voices."""
        return tuple(dict.fromkeys([*(path for group in self.images for path in group), *self.voices]))

    def sources_of(self, person: int) -> CastPerson | None:
        """Return the sources of a person; None for a person that the face map does not name."""
        if self.people is None:
            return CastPerson(person, 0, 0)
        return next((each for each in self.people if each.person == person), None)

    def users_of_images(self, group: int) -> str:
        """Return the people with a group of images for messages, such as ' (person 2)'; '' without a face map."""
        return _users([each.person for each in self.people or () if each.images == group])

    def users_of_voice(self, voice: int) -> str:
        """Return the people with a voice for messages, such as ' (people 0 and 2)'; '' without a face map."""
        return _users([each.person for each in self.people or () if each.voice == voice])


NO_CAST = Cast()


def make_cast(sources: Sequence[Path], entries: Sequence[MappedPerson], takes_audio: bool) -> Cast:
    """Return the cast of ``sources``, or of the entries of a face map if there are any.

    ``takes_audio``: whether a processor uses the audio of sources. Raises UsageError face-map for a person who has two
    entries of one kind, or two voices; and MediaError for a file that cannot be read.
    """
    if not entries:
        images = tuple(path for path in sources if _is_image(path, takes_audio))
        return Cast((images,) if images else (), tuple(path for path in sources if path not in images)[:1])
    groups, voices, people = list[tuple[Path, ...]](), list[Path](), dict[int, CastPerson]()
    for files, person in entries:
        paths = [Path(file) for file in files]
        images = tuple(path for path in paths if _is_image(path, takes_audio))
        recordings = [path for path in paths if path not in images]
        known = people.get(person, CastPerson(person))
        if images:
            if known.images != NO_SOURCE:
                raise _twice(person, 'images', f'{groups[known.images][0].name} and {images[0].name}')
            known = known._replace(images=_index(groups, images))
        if recordings:
            if known.voice != NO_SOURCE or len(recordings) > 1:
                names = [*([voices[known.voice]] if known.voice != NO_SOURCE else []), *recordings]
                raise _twice(person, 'a voice', ' and '.join(path.name for path in names[:2]))
            known = known._replace(voice=_index(voices, recordings[0]))
        people[person] = known
    return Cast(tuple(groups), tuple(voices), tuple(people[number] for number in sorted(people)))


def _users(people: Sequence[int]) -> str:
    if not people:
        return ''
    *others, last = map(str, people)
    return f' (people {", ".join(others)} and {last})' if others else f' (person {last})'


def _is_image(path: Path, takes_audio: bool) -> bool:
    return find_kind(path, takes_audio=takes_audio).family == 'image'


def _index(items: list[Any], item: Any) -> int:
    """Return the index of ``item``, which is added if it is new."""
    if item not in items:
        items.append(item)
    return items.index(item)


def _twice(person: int, what: str, names: str) -> UsageError:
    return UsageError(
        'face-map',
        f'the face map gives person {person} {what} twice: {names}',
        hint='join several images of one source with a plus sign: a.jpg+b.jpg=0',
    )
