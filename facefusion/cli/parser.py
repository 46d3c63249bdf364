"""The argument parser, made from the declared options."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, NoReturn

from facefusion.cli.peer import PEER_FLAGS
from facefusion.errors import UsageError
from facefusion.options import OptionInfo, check_items, describe, parse_item


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of ending the process."""

    def _get_option_tuples(self, option_string: str) -> Any:
        # A beginning that only names of one option share, as --targ of --target-path and its alias --target, is that
        # option. Not every Python from 3.11 to 3.13 sees that by itself.
        found: list[Any] = super()._get_option_tuples(option_string)
        return found[:1] if len({id(match[0]) for match in found}) == 1 else found

    def error(self, message: str) -> NoReturn:
        """Turns argparse's complaint into an error with advice."""
        hint = f'run `{self.prog} --help`'
        if message.startswith('unrecognized arguments:'):
            first = message.split(': ', 1)[1].split()[0]
            if first.split('=')[0] in PEER_FLAGS:
                raise UsageError(
                    'unknown-option',
                    f'{first} is an option of FaceFusion 3.8 that this command does not have yet',
                    hint='leave it out; the README says what this version has',
                )
            flags = [flag for action in self._actions for flag in action.option_strings]
            close = get_close_matches(first.split('=')[0], flags, n=1)
            hint = f'did you mean {close[0]}?' if close else f'run `{self.prog} --help` for what this version takes'
            raise UsageError('unknown-option', f'{first} is not an option of this command', hint=hint)
        raise UsageError('usage', message, hint=hint)


def add_options(parser: argparse.ArgumentParser, groups: Iterable[type]) -> None:
    """Adds a flag for every option of the groups; only flags that are given end up in the namespace."""
    sections: dict[str, Any] = {}
    for group in groups:
        for info in describe(group):
            if info.section not in sections:
                sections[info.section] = parser.add_argument_group(info.section.replace('_', ' '))
            _add_option(sections[info.section], info)


def given_flags(arguments: argparse.Namespace, groups: Iterable[type]) -> dict[str, Any]:
    """The options that were given on the command line, by key."""
    given = vars(arguments)
    keys = [info.key for group in groups for info in describe(group)]
    return {key: given[key] for key in keys if key in given}


def _add_option(section: Any, info: OptionInfo) -> None:
    flags = [*([info.short] if info.short else []), info.flag, *info.aliases]
    common: dict[str, Any] = {'dest': info.key, 'default': argparse.SUPPRESS, 'help': _help_text(info)}
    if info.kind == 'flag':
        # With a --no- form: what an ini file or the environment has switched on can be switched off.
        section.add_argument(*flags, action=argparse.BooleanOptionalAction, **common)
        return

    def parse(text: str) -> Any:
        try:
            return parse_item(info, text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    if info.is_list:
        common |= {'nargs': '+', 'action': _ListAction, 'info': info}
    section.add_argument(*flags, type=parse, metavar=_metavar(info), **common)


class _ListAction(argparse.Action):
    """Keeps the values of a list option, unless they are too many."""

    def __init__(self, *arguments: Any, info: OptionInfo, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._info = info

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Is called with all values of one occurrence of the flag; the last occurrence counts."""
        try:
            setattr(namespace, self.dest, check_items(self._info, tuple(values)))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def _metavar(info: OptionInfo) -> str:
    words = {'path': 'PATH', 'text': 'NAME', 'int': 'N', 'float': 'X'}
    return words[info.kind]


def _help_text(info: OptionInfo) -> str:
    parts = [info.help]
    if info.choices:
        parts.append('(' + ', '.join(str(choice) for choice in info.choices) + ')')
    elif info.minimum is not None and info.maximum is not None:
        steps = f' in steps of {info.step:g}' if info.step else ''
        parts.append(f'({info.minimum:g} to {info.maximum:g}{steps})')
    if info.most_items is not None:
        parts.append(f'(at most {info.most_items})')
    default = info.default
    if default is not None and default != () and info.kind != 'flag':
        shown = ' '.join(str(item) for item in default) if isinstance(default, tuple) else str(default)
        parts.append(f'[default: {shown}]')
    return ' '.join(parts).replace('%', '%%')
