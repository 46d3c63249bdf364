"""Declare each option once, as a dataclass field next to the code that uses it.

The command line flag, the ``facefusion.ini`` key, the environment variable and the key in a job's JSON all come from
that field. This module imports no other module of the package and no array library, so ``--help`` is fast.
"""

from __future__ import annotations

import dataclasses
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal['text', 'int', 'float', 'flag', 'path']
_WORD = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s"]\S*))(?=\s|$)""")


class UnknownHome(ValueError):
    """A path that starts with the home folder of a user unknown to this machine."""


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """A declared option: the facts behind its flag, ini key, environment variable and reference page.

    ``metavar`` represents the value in the help; its default follows from the kind and the key. ``stored`` is 'step'
    for options that are stored in a job's step, 'job' for options of the process that runs the job. ``step`` is the
    grid of a float option, counted from ``minimum``. ``most_items`` limits the length of a list. ``is_policy`` marks an
    option that only ini files set: it has no flag and no environment variable. ``no_effect`` states why an option of
    FaceFusion 3.8 changes nothing here: the option is accepted, but neither listed in the help nor stored in a step.
    """

    key: str
    kind: Kind
    help: str
    section: str
    default: Any
    metavar: str = ''
    is_list: bool = False
    most_items: int | None = None
    choices: tuple[str | int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    short: str = ''
    aliases: tuple[str, ...] = ()
    stored: Literal['step', 'job'] = 'step'
    is_policy: bool = False
    no_effect: str = ''

    @property
    def flag(self) -> str:
        """The long flag, such as ``--output-path``."""
        return '--' + self.key.replace('_', '-')

    @property
    def variable(self) -> str:
        """The environment variable, such as ``FACEFUSION_OUTPUT_PATH``."""
        return 'FACEFUSION_' + self.key.upper()

    @property
    def placeholder(self) -> str:
        """The word for a value in the help: FILE, N, or the last word of the key, such as MODEL."""
        words = {'path': 'FILE', 'int': 'N', 'float': 'N'}
        word = self.key.rpartition('_')[2].upper()
        return self.metavar or words.get(self.kind) or (word.removesuffix('S') if self.is_list else word)


def option(kind: Kind, default: Any, help: str, *, section: str, **facts: Any) -> Any:
    """Return a dataclass field that declares an option; ``facts`` are further fields of ``OptionInfo``.

    List options have tuples as defaults and values.
    """
    return dataclasses.field(
        default=default, metadata={'option': {'kind': kind, 'help': help, 'section': section, **facts}}
    )


def describe(group: type) -> tuple[OptionInfo, ...]:
    """Return the options that a dataclass declares, in order."""
    return tuple(
        OptionInfo(key=entry.name, default=entry.default, **entry.metadata['option'])
        for entry in dataclasses.fields(group)
        if 'option' in entry.metadata
    )


def range_text(info: OptionInfo) -> str:
    """Return the range of a number for help pages, such as '0 to 1 in steps of 0.05'; '' without both limits."""
    if info.minimum is None or info.maximum is None:
        return ''
    return f'{info.minimum:g} to {info.maximum:g}' + (f' in steps of {info.step:g}' if info.step else '')


def parse_item(info: OptionInfo, text: str) -> Any:
    """Return one value of an option from its text. Raises ValueError with the allowed values in its message."""
    if info.kind == 'flag':
        return _parse_flag(text)
    if info.kind == 'path':
        return expand_home(text)
    value = text if info.kind == 'text' else _parse_number(info, text)
    if info.choices and value not in info.choices:
        raise ValueError(f'{text!r} is not one of: ' + ', '.join(str(choice) for choice in info.choices))
    return value


def expand_home(path: str) -> str:
    """Replace ``~`` or ``~user`` at the start of a path with the home folder. Raises UnknownHome."""
    if not path.startswith('~'):
        return path
    name = re.split(r'[/\\]' if os.name == 'nt' else '/', path[1:], maxsplit=1)[0]
    try:
        expanded = str(Path(path).expanduser())
    except RuntimeError:
        expanded = ''
    # An empty HOME would make the root of the file system the home folder.
    if expanded and (name or os.environ.get('HOME') != ''):
        return expanded
    why = f'this machine has no user {name}' if name else 'HOME is not set'
    raise UnknownHome(f'{path} starts with a home folder, but {why}; if ~ is part of a name, write ./{path}')


def parse_value(info: OptionInfo, text: str) -> Any:
    """Return the value of an ini key or environment variable; a list is split at white space.

    Double or single quotes around a path are removed. A path in a list may contain spaces if it is quoted, as in
    ``"my face.png" b.png``, or if the value starts with a line break. In the latter case each line
    is one path, as in this ini file:

        source_paths =
            C:\\My Pictures\\face.png
            b.png

    A backslash is always a plain character. Raises ValueError.
    """
    if not info.is_list:
        return parse_item(info, unquoted(text) if info.kind == 'path' else text.strip())
    parts = _split_paths(text) if info.kind == 'path' else text.split()
    return check_items(info, tuple(parse_item(info, part) for part in parts))


def quoted(text: str) -> str:
    """Return a text quoted as one word of a command line, for hints that the user can copy."""
    import shlex

    return f'"{text}"' if os.name == 'nt' else shlex.quote(text)


def unquoted(text: str) -> str:
    """Return one path from an ini file or the environment, without surrounding white space and quotes.

    Raises ValueError for an unpaired double quote and for empty quotes.
    """
    path = text.strip()
    is_quoted = len(path) > 1 and path[0] == path[-1] and path[0] in '"\''
    inner = path[1:-1] if is_quoted else path
    if is_quoted and not inner.strip():
        raise ValueError('the quotes contain no path')
    if inner.startswith('"') or inner.endswith('"') or (path.startswith('"') and '"' in inner):
        raise ValueError('a double quote is unpaired, or the value is more than one path')
    return path if path[:1] == "'" and "'" in inner else inner


def check_items(info: OptionInfo, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the items of a list. Raises ValueError when there are more than ``most_items``."""
    if info.most_items is not None and len(items) > info.most_items:
        noun = 'value' if info.most_items == 1 else 'values'
        raise ValueError(f'{len(items)} values, but at most {info.most_items} {noun} can be used')
    return items


def _split_paths(text: str) -> list[str]:
    if text.startswith('\n'):
        return [unquoted(line) for line in text.splitlines() if line.strip()]
    parts, position, text = [], 0, text.rstrip()
    while position < len(text):
        word = _WORD.match(text, position)
        if word is None:
            raise ValueError('a double quote is unpaired, or no space follows it')
        parts.append(word[1] or word[2] or word[3])
        position = word.end()
    return parts


def _parse_flag(text: str) -> bool:
    words = {'1': True, 'yes': True, 'true': True, 'on': True, '0': False, 'no': False, 'false': False, 'off': False}
    try:
        return words[text.lower()]
    except KeyError:
        raise ValueError(f'{text!r} is not one of: yes, no, true, false, on, off, 1, 0') from None


def _parse_number(info: OptionInfo, text: str) -> int | float:
    noun = 'a whole number' if info.kind == 'int' else 'a number'
    limits = _limits_text(info)
    try:
        value: int | float = int(text) if info.kind == 'int' else float(text)
    except ValueError:
        raise ValueError(f'{text!r} is not {noun}{limits}') from None
    below = info.minimum is not None and value < info.minimum
    above = info.maximum is not None and value > info.maximum
    if value != value or below or above:
        raise ValueError(f'{text} is not {noun}{limits}')
    if info.step is not None and info.minimum is not None:
        steps = (value - info.minimum) / info.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f'{text} is not {noun}{limits} in steps of {info.step:g}')
    return value


def _limits_text(info: OptionInfo) -> str:
    low, high = info.minimum, info.maximum
    if low is None:
        return '' if high is None else f' up to {high:g}'
    return f' from {low:g} upwards' if high is None else f' from {low:g} to {high:g}'
