"""Settings of a command, merged from defaults < ini file < environment < flags.

``Settings`` contains one frozen instance of each option group of the command:
``settings[FaceSelectorOptions].face_selector_mode``.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from facefusion.errors import UsageError
from facefusion.options import OptionInfo, check_items, describe, expand_home, parse_item, parse_value, unquoted

T = TypeVar('T')
Layer = Literal['default', 'ini', 'environment', 'flag']
INI_NAME = 'facefusion.ini'
HOME_VARIABLE = 'FACEFUSION_HOME'


class Settings:
    """Frozen option groups, found by their type."""

    def __init__(self, groups: Iterable[object]) -> None:
        self._groups = {type(group): group for group in groups}

    def __getitem__(self, group: type[T]) -> T:
        instance = self._groups[group]
        assert isinstance(instance, group)
        return instance

    def __contains__(self, group: type) -> bool:
        return group in self._groups

    def replace(self, group: object) -> Settings:
        """Return a copy in which ``group`` replaces the group of the same type."""
        return Settings({**self._groups, type(group): group}.values())

    def as_record(self, stored: str = 'step') -> dict[str, Any]:
        """Return the effective options whose ``OptionInfo.stored`` is ``stored`` ('step' or 'job'), as plain JSON."""
        record: dict[str, Any] = {}
        for kind, group in self._groups.items():
            for info in describe(kind):
                if info.stored == stored and not info.no_effect:
                    value = getattr(group, info.key)
                    record[info.key] = list(value) if isinstance(value, tuple) else value
        return record


@dataclass(frozen=True, slots=True)
class IniFile:
    """Non-blank values of an ini file by (section, key), with the line number of each key.

    White space around a value is removed, except the line break before a value that starts on the line after its key.
    """

    path: Path
    values: Mapping[tuple[str, str], str]
    lines: Mapping[tuple[str, str], int]

    def where(self, place: tuple[str, str]) -> str:
        """Return file, line and name of a (section, key) for a message."""
        return f'{self.path}, line {self.lines[place]}: [{place[0]}] {place[1]}'


def program_path() -> Path:
    """Return the folder of the program, which contains the package, the model catalogue and the default ini file."""
    return Path(__file__).resolve().parent.parent


def program_command(*words: str) -> list[str]:
    """Return the command that runs this program with the same Python in a process of its own."""
    return [sys.executable, str(program_path() / 'facefusion.py'), *words]


def home_path(environ: Mapping[str, str]) -> Path:
    """Return the folder of weights, jobs and the ini file: FACEFUSION_HOME, or the folder of the program.

    The folder may be missing. Raises UsageError environment-value.
    """
    home = environ.get(HOME_VARIABLE, '')
    if not home.strip():
        return program_path()
    try:
        return Path(expand_home(unquoted(home)))
    except ValueError as error:
        raise _invalid_variable(HOME_VARIABLE, error) from None


def read_ini(path: Path, *, required: bool) -> IniFile | None:
    """Read an ini file; None when it is missing and not required. Raises UsageError with file and line."""
    try:
        text = path.read_text(encoding='utf-8-sig')
    except FileNotFoundError:
        if not required:
            return None
        raise UsageError(
            'config-missing',
            f'the config file {path} does not exist',
            cause='it was named by --config-path',
            hint='check --config-path, or remove it',
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            'config-unreadable', f'cannot read the config file {path}', cause=str(error), hint='it must be UTF-8 text'
        ) from None
    parser = _LineParser()
    try:
        lines = parser.read_located(text, str(path))
    except configparser.Error as error:
        message = ' '.join(str(error).split())
        raise UsageError(
            'config-invalid',
            f'{path} is not a valid ini file',
            cause=message,
            hint='write lines of the form key = value below a [section]',
        ) from None
    values = {(section, key): value for section in parser.sections() for key, value in parser.items(section)}
    stripped = {place: value.strip(' \t\r') for place, value in values.items() if value.strip()}
    return IniFile(path, stripped, lines)


class _LineParser(configparser.ConfigParser):
    """A parser that records the line of each key; only the parser can distinguish a key from a continued value."""

    def __init__(self) -> None:
        self._line = 0
        self._key_lines: list[int] = []
        # No section can be named '', so no section passes its values to the others.
        super().__init__(interpolation=None, default_section='')

    def read_located(self, text: str, source: str) -> dict[tuple[str, str], int]:
        """Read the text and return the line of each (section, key). Raises configparser.Error."""
        self.read_file(self._counted(text), source)
        # Both lists are in the order of the file, because no section, and no key within a section, can occur twice.
        places = [(section, key) for section in self.sections() for key in self.options(section)]
        return dict(zip(places, self._key_lines, strict=True))

    def optionxform(self, optionstr: str) -> str:
        """Record the current line; the parser calls this once for each key, while it reads the key's line."""
        self._key_lines.append(self._line)
        return super().optionxform(optionstr)

    def _counted(self, text: str) -> Iterator[str]:
        for self._line, line in enumerate(text.split('\n'), 1):
            yield line


def resolve(
    groups: Iterable[type],
    flags: Mapping[str, Any],
    ini: IniFile | None,
    environ: Mapping[str, str],
    house: Sequence[IniFile] = (),
) -> Settings:
    """Merge the four layers for ``groups``; ``flags`` contains only the options of the command line.

    ``house`` contains the operator's ini files if ``ini`` is a different file, because their policy applies as well.
    """
    merged = []
    for group in groups:
        values = {}
        for info in describe(group):
            if info.is_policy:
                files = [file for file in (ini, *house) if file and (info.section, info.key) in file.values]
                found = [parse_ini(file, info) for file in files]
                # The strictest file decides. The strictest value is the last of the choices or, for a flag, the
                # opposite of the default.
                if info.choices:
                    values[info.key] = max(found, key=info.choices.index, default=info.default)
                else:
                    values[info.key] = all(found) if info.default else any(found)
                continue
            layer = _layer_of(info, flags, ini, environ)
            if layer == 'flag':
                values[info.key] = flags[info.key]
            elif layer == 'environment':
                values[info.key] = parse_variable(info, environ[info.variable])
            elif layer == 'ini' and ini is not None:
                values[info.key] = parse_ini(ini, info)
        merged.append(group(**values))
    return Settings(merged)


def layers_of(
    groups: Iterable[type], flags: Mapping[str, Any], ini: IniFile | None, environ: Mapping[str, str]
) -> dict[str, Layer]:
    """Return the layer that the value of each option comes from, with the arguments of ``resolve``."""
    return {info.key: _layer_of(info, flags, ini, environ) for group in groups for info in describe(group)}


def _layer_of(info: OptionInfo, flags: Mapping[str, Any], ini: IniFile | None, environ: Mapping[str, str]) -> Layer:
    if info.key in flags and not info.is_policy:
        return 'flag'
    if environ.get(info.variable, '').strip() and not info.is_policy:
        return 'environment'
    return 'ini' if ini is not None and (info.section, info.key) in ini.values else 'default'


def parse_variable(info: OptionInfo, text: str) -> Any:
    """Return the value of an option's environment variable. Raises UsageError environment-value."""
    try:
        if info.is_list and info.kind == 'path':
            parts = [part for part in text.split(os.pathsep) if part.strip()]
            return check_items(info, tuple(parse_item(info, unquoted(part)) for part in parts))
        return parse_value(info, text)
    except ValueError as error:
        raise _invalid_variable(info.variable, error) from None


def _invalid_variable(name: str, error: ValueError) -> UsageError:
    return UsageError(
        'environment-value',
        f'the environment variable {name} has an invalid value',
        cause=str(error),
        hint='correct it, or unset it',
    )


def parse_ini(ini: IniFile, info: OptionInfo) -> Any:
    """Return the value of an option from an ini file that sets it. Raises UsageError config-value with the line."""
    place = (info.section, info.key)
    try:
        text = ini.values[place]
        return parse_value(info, text if info.is_list else text.strip())
    except ValueError as error:
        raise UsageError(
            'config-value',
            f'{ini.where(place)} has an invalid value',
            cause=str(error),
            hint='correct the value, or leave it blank',
        ) from None
