"""Reading a JSON object field by field, so that what is wrong can be named in plain words."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Literal, overload

_SLUG = re.compile(r'^[a-z0-9]+([_.-][a-z0-9]+)*$')
_FILE_NAME = re.compile(r'^[A-Za-z0-9][A-Za-z0-9._-]*$')
_DIGEST = re.compile(r'^[0-9a-f]{64}$')


class InvalidField(ValueError):
    """A field is missing, unknown or holds the wrong thing; the message names it."""


class Fields:
    """One JSON object; each read takes a field away, and ``done`` refuses what is left over."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidField(f'{where}: is not a JSON object')
        self._values = dict(value)
        self.where = where

    def name_after(self, key: str) -> None:
        """Uses the text in ``key`` to name this object in messages, where there is one."""
        if isinstance(self._values.get(key), str):
            self.where = f'{self.where} ({self._values[key]})'

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._values.get(key) is not None

    def done(self) -> None:
        """Raises InvalidField when there were fields that nothing has read."""
        if self._values:
            raise InvalidField(f'{self.where}: unknown field {", ".join(sorted(map(str, self._values)))}')

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, *, optional: Literal[True]) -> str | None: ...
    def text(self, key: str, *, optional: bool = False) -> str | None:
        """A text that is not empty."""
        value: str | None = self._take(key, str, 'a text', optional)
        if value == '':
            raise InvalidField(f'{self.where}: {key} is empty')
        return value

    @overload
    def whole(self, key: str) -> int: ...
    @overload
    def whole(self, key: str, *, optional: Literal[True]) -> int | None: ...
    def whole(self, key: str, *, optional: bool = False) -> int | None:
        """A whole number above zero."""
        value: int | None = self._take(key, int, 'a whole number', optional)
        if value is not None and (isinstance(value, bool) or value < 1):
            raise InvalidField(f'{self.where}: {key} is not a whole number above zero')
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        return bool(self._take(key, bool, 'true or false', False))

    def slug(self, key: str) -> str:
        """Lower-case words joined by ``_``, ``-`` or ``.``."""
        return self._matching(key, _SLUG, 'an identifier in lower case')

    def file_name(self, key: str) -> str:
        """The name of a file, without any folder."""
        return self._matching(key, _FILE_NAME, 'a plain file name')

    def required_digest(self, key: str) -> str:
        """A SHA-256 in lower-case hexadecimal digits."""
        return self._matching(key, _DIGEST, '64 lower-case hexadecimal digits')

    def digest(self, key: str, *, optional: bool) -> str | None:
        """A SHA-256, or None where it is absent."""
        if optional and not self.has(key):
            self._values.pop(key, None)
            return None
        return self.required_digest(key)

    def member_path(self, key: str) -> str:
        """A path inside an archive: relative, with forward slashes, without ``..``."""
        value = self.text(key)
        parts = PurePosixPath(value).parts
        if '\\' in value or value.startswith('/') or '..' in parts or str(PurePosixPath(value)) != value:
            raise InvalidField(f'{self.where}: {key} is not a relative path inside an archive')
        return value

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of ``choices``."""
        value = self._values.pop(key, default)
        if value not in choices:
            raise InvalidField(f'{self.where}: {key} is not one of {", ".join(filter(None, choices))}')
        return str(value)

    def urls(self, key: str) -> tuple[str, ...]:
        """At least one https address."""
        values = self._take(key, list, 'a list', False)
        if not values or not all(isinstance(value, str) and value.startswith('https://') for value in values):
            raise InvalidField(f'{self.where}: {key} is not a list of https addresses')
        return tuple(values)

    def shape(self, key: str) -> tuple[int | str, ...]:
        """Whole numbers and names of free sizes."""
        values = self._take(key, list, 'a list', False)
        for value in values:
            fixed = isinstance(value, int) and not isinstance(value, bool) and value > 0
            if not fixed and not (isinstance(value, str) and value.isidentifier()):
                raise InvalidField(f'{self.where}: {key} holds {value!r}, not a size or a name')
        return tuple(values)

    def pair(self, key: str) -> tuple[float, float] | None:
        """Two numbers in rising order, or None where it is absent."""
        values = self._take(key, list, 'a list', True)
        if values is None:
            return None
        if len(values) != 2 or not all(type(value) in (int, float) for value in values) or values[0] >= values[1]:
            raise InvalidField(f'{self.where}: {key} is not a least and a greatest number')
        return float(values[0]), float(values[1])

    def child(self, key: str) -> Fields:
        """An object inside this one."""
        return Fields(self._take(key, dict, 'an object', False), f'{self.where}: {key}')

    def items(self, key: str) -> list[Fields]:
        """A list of objects."""
        values = self._take(key, list, 'a list', False)
        return [Fields(value, f'{self.where}: {key}[{index}]') for index, value in enumerate(values)]

    def _take(self, key: str, kind: type, noun: str, optional: bool) -> Any:
        value = self._values.pop(key, None)
        if value is None:
            if optional:
                return None
            raise InvalidField(f'{self.where}: {key} is missing')
        if not isinstance(value, kind):
            raise InvalidField(f'{self.where}: {key} is not {noun}')
        return value

    def _matching(self, key: str, pattern: re.Pattern[str], noun: str) -> str:
        value = self.text(key)
        if not pattern.match(value):
            raise InvalidField(f'{self.where}: {key} is not {noun}: {value!r}')
        return value
