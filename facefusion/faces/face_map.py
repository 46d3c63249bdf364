"""The face map: which source files replace which person, as text such as ``a.jpg=0,b.jpg+c.jpg=2,voice.mp3=2``."""

from __future__ import annotations

import re
from typing import NamedTuple

from facefusion.errors import UsageError

MOST_PEOPLE = 1000
# A backslash before one of the three signs makes it part of a file name. Other backslashes stay, as in Windows paths.
_SIGNS = ',+='
_FORM = 'the form is FILE=NUMBER or FILE+FILE=NUMBER, separated by commas'


class MappedPerson(NamedTuple):
    """An entry of a face map: files, and the number of the person that they are for."""

    files: tuple[str, ...]
    person: int


def parse_face_map(text: str) -> tuple[MappedPerson, ...]:
    """Return the entries of a face map in order. Raises UsageError face-map."""
    entries = tuple(_entry(part) for part in _split(text, ',') if part.strip())
    if not entries:
        raise _invalid('the face map is empty', _FORM)
    return entries


def write_face_map(entries: tuple[MappedPerson, ...]) -> str:
    """Return the text of a face map, which ``parse_face_map`` reads."""
    return ','.join(f'{"+".join(_escaped(file) for file in files)}={person}' for files, person in entries)


def _entry(text: str) -> MappedPerson:
    names, sign, number = _split_last(text)
    if not sign or not re.fullmatch(r'\s*\d{1,6}\s*', number):
        raise _invalid(f'the face map has an entry without a person: {text.strip()}', _FORM)
    person = int(number)
    if person >= MOST_PEOPLE:
        raise _invalid(f'the face map names the person {person}', f'the largest number is {MOST_PEOPLE - 1}')
    files = tuple(_unescaped(name.strip()) for name in _split(names, '+'))
    if not all(files):
        raise _invalid(f'the face map has an entry without a file: {text.strip()}', _FORM)
    return MappedPerson(files, person)


def _split(text: str, sign: str) -> list[str]:
    return re.split(rf'(?<!\\){re.escape(sign)}', text)


def _split_last(text: str) -> tuple[str, str, str]:
    parts = _split(text, '=')
    return '='.join(parts[:-1]), '=' if len(parts) > 1 else '', parts[-1]


def _unescaped(name: str) -> str:
    return re.sub(rf'\\([{re.escape(_SIGNS)}])', r'\1', name)


def _escaped(name: str) -> str:
    return re.sub(rf'([{re.escape(_SIGNS)}])', r'\\\1', name)


def _invalid(message: str, cause: str) -> UsageError:
    return UsageError('face-map', message, cause=cause, hint='see `facefusion faces TARGET` for the numbers of people')
