"""Options, declared once: a dataclass field beside the code that uses it.

From a declaration come the command line flag, the ``facefusion.ini`` key, the environment variable, the key in a
job's JSON and its schema. This module knows nothing of any particular option and imports nothing of the package but
the errors, so that reading the options of every processor costs no array library.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal['text', 'int', 'float', 'flag', 'path']
Stored = Literal['step', 'job']
_WORD = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([^\s"]\S*))(?=\s|$)""")


class UnknownHome(ValueError):
    """A path begins with the home folder of a user who is not known on this machine."""


@dataclass(frozen=True, slots=True)
class OptionInfo:
    """One option as declared: everything a flag, an ini key, a schema or a control needs to know.

    ``stored`` is 'step' for what is frozen into a job's step, 'job' for what belongs to the process that runs it.
    ``step`` is the grid of a float option, counted from ``minimum``. ``most_items`` bounds a list. ``is_policy`` marks
    a flag that only ini files set: it has no form on the command line and in the environment. ``no_effect`` says why an
    option of FaceFusion 3.8 changes nothing here; it is accepted, and not kept in a step.
    """

    key: str
    kind: Kind
    help: str
    section: str
    default: Any
    is_list: bool = False
    most_items: int | None = None
    choices: tuple[str | int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    short: str = ''
    aliases: tuple[str, ...] = ()
    stored: Stored = 'step'
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


def option(
    kind: Kind,
    default: Any,
    help: str,
    *,
    section: str,
    is_list: bool = False,
    most_items: int | None = None,
    choices: Sequence[str | int] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    step: float | None = None,
    short: str = '',
    aliases: Sequence[str] = (),
    stored: Stored = 'step',
    is_policy: bool = False,
    no_effect: str = '',
) -> Any:
    """A dataclass field that declares an option; lists have tuples as defaults and values."""
    info = {
        'kind': kind,
        'help': help,
        'section': section,
        'is_list': is_list,
        'most_items': most_items,
        'choices': tuple(choices),
        'minimum': minimum,
        'maximum': maximum,
        'step': step,
        'short': short,
        'aliases': tuple(aliases),
        'stored': stored,
        'is_policy': is_policy,
        'no_effect': no_effect,
    }
    return dataclasses.field(default=default, metadata={'option': info})


def describe(group: type) -> tuple[OptionInfo, ...]:
    """The options that a dataclass declares, in order."""
    return tuple(
        OptionInfo(key=entry.name, default=entry.default, **entry.metadata['option'])
        for entry in dataclasses.fields(group)
        if 'option' in entry.metadata
    )


def parse_item(info: OptionInfo, text: str) -> Any:
    """One value of an option from its text; ValueError says in plain words what is allowed."""
    if info.kind == 'flag':
        return _parse_flag(text)
    if info.kind == 'path':
        return expand_home(text)
    if info.kind == 'text':
        value: Any = text
    else:
        value = _parse_number(info, text)
    if info.choices and value not in info.choices:
        raise ValueError(f'{text!r} is not one of: ' + ', '.join(str(choice) for choice in info.choices))
    return value


def expand_home(path: str) -> str:
    """A path with the home folder in the place of ``~`` or ``~user`` at its start. Raises UnknownHome."""
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
    why = f'no user {name} is known here' if name else 'there is none: HOME is not set'
    raise UnknownHome(f'{path} begins with a home folder, and {why}; if ~ is part of a name, write ./{path}')


def parse_value(info: OptionInfo, text: str) -> Any:
    """A whole ini or environment value: a list splits at white space, everything else is one item.

    Quotes, double or single, around a path are taken off. A path in a list may hold spaces in two ways: it stands in
    quotes, as in ``"my face.png" b.png``, or the value begins with a line break; then each line is one path, as in an
    ini file

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
    """A text as one word of a command line, for advice that can be copied."""
    import shlex

    return f'"{text}"' if os.name == 'nt' else shlex.quote(text)


def unquoted(text: str) -> str:
    """One path from an ini file or the environment, without white space and a pair of quotes around it.

    Raises ValueError for a double quote without a partner, and for quotes around nothing.
    """
    path = text.strip()
    is_quoted = len(path) > 1 and path[0] == path[-1] and path[0] in '"\''
    inner = path[1:-1] if is_quoted else path
    if is_quoted and not inner.strip():
        raise ValueError('the quotes hold no path')
    if inner.startswith('"') or inner.endswith('"') or (path.startswith('"') and '"' in inner):
        raise ValueError('a double quote has no partner, or the value is more than one path')
    return path if path[:1] == "'" and "'" in inner else inner


def check_items(info: OptionInfo, items: tuple[Any, ...]) -> tuple[Any, ...]:
    """The items of a list; ValueError when they are more than the option takes."""
    if info.most_items is not None and len(items) > info.most_items:
        noun = 'value' if info.most_items == 1 else 'values'
        raise ValueError(f'{len(items)} values are given, at most {info.most_items} {noun} can be used')
    return items


def _split_paths(text: str) -> list[str]:
    if text.startswith('\n'):
        return [unquoted(line) for line in text.splitlines() if line.strip()]
    parts, at, text = [], 0, text.rstrip()
    while at < len(text):
        word = _WORD.match(text, at)
        if word is None:
            raise ValueError('a double quote has no partner, or no space after it')
        parts.append(word[1] or word[2] or word[3])
        at = word.end()
    return parts


def _parse_flag(text: str) -> bool:
    words = {'1': True, 'yes': True, 'true': True, 'on': True, '0': False, 'no': False, 'false': False, 'off': False}
    try:
        return words[text.lower()]
    except KeyError:
        raise ValueError(f'{text!r} is not one of: yes, no, true, false, on, off, 1, 0') from None


def _parse_number(info: OptionInfo, text: str) -> int | float:
    noun = 'a whole number' if info.kind == 'int' else 'a number'
    try:
        value: int | float = int(text) if info.kind == 'int' else float(text)
    except ValueError:
        raise ValueError(f'{text!r} is not {noun}{_range_words(info)}') from None
    below = info.minimum is not None and value < info.minimum
    above = info.maximum is not None and value > info.maximum
    if value != value or below or above:
        raise ValueError(f'{text} is not {noun}{_range_words(info)}')
    if info.step is not None and info.minimum is not None:
        steps = (value - info.minimum) / info.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(f'{text} is not {noun}{_range_words(info)} in steps of {info.step:g}')
    return value


def _range_words(info: OptionInfo) -> str:
    if info.minimum is None and info.maximum is None:
        return ''
    if info.maximum is None:
        return f' from {info.minimum:g} upwards'
    if info.minimum is None:
        return f' up to {info.maximum:g}'
    return f' from {info.minimum:g} to {info.maximum:g}'
