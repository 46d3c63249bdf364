"""The argument parser, made from the declared options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

from facefusion.cli.commands import MODE_FLAG, OPTION_MODULES
from facefusion.cli.peer import PEER_KEYS
from facefusion.errors import UsageError
from facefusion.options import OptionInfo, check_items, describe, expand_home, parse_item
from facefusion.safety.refused import REFUSED_OPTIONS, refusal, value_refusal
from facefusion.settings import INI_NAME

_NUMBER = re.compile(r'-\d+|-\d*\.\d+')


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of ending the process.

    Flags may stand before, between and after positional arguments, and a bare ``-1`` is a positional argument. A list
    option takes every word up to the next flag or ``--``.
    """

    _takes_positionals = True

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Reads the flags first and deals what is left to the positional arguments.

        argparse itself deals an optional positional, such as JOB_ID, nothing as soon as the next one can have a word,
        wherever a flag divides them; its parse_intermixed_args takes the value of an unknown flag for a positional.
        """
        positionals = self._get_positional_actions()
        if not positionals or any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in positionals):
            return super().parse_known_args(args, namespace)
        with self._without_positionals(positionals):
            namespace, rest = super().parse_known_args(args, namespace)
        divider = rest.index('--') if '--' in rest else len(rest)
        unknown = [word for word in rest[:divider] if _is_flag(word)]
        if unknown:
            return namespace, unknown
        words = [*rest[:divider], *rest[divider + 1 :]]
        self._check_job_id(positionals, namespace, words)
        with self._without_requirements():
            return super().parse_known_args(['--', *words] if words else [], namespace)

    def _get_positional_actions(self) -> list[argparse.Action]:
        return super()._get_positional_actions() if self._takes_positionals else []

    @contextmanager
    def _without_positionals(self, positionals: Sequence[argparse.Action]) -> Iterator[None]:
        required = [action for action in positionals if action.required]
        self._takes_positionals = False
        for action in required:
            action.required = False
        try:
            yield
        finally:
            self._takes_positionals = True
            for action in required:
                action.required = True

    @contextmanager
    def _without_requirements(self) -> Iterator[None]:
        """Flags that must be given were seen when the flags were read."""
        required: list[Any] = [action for action in self._get_optional_actions() if action.required]
        required += [group for group in self._mutually_exclusive_groups if group.required]
        for entry in required:
            entry.required = False
        try:
            yield
        finally:
            for entry in required:
                entry.required = True

    def _check_job_id(self, positionals: Sequence[argparse.Action], namespace: Any, words: Sequence[str]) -> None:
        """Raises UsageError when JOB_ID must be among the words, which are too few: it would be left out silently."""
        given = vars(namespace)
        if given.get('job_id_flag') is not None or not given.get('job_id_required'):
            return
        wanted = [action for action in positionals if action.nargs is None or action.dest == 'job_id']
        if len(words) >= len(wanted):
            return
        if not words or _NUMBER.fullmatch(words[0]):
            raise _missing_job_id(self.prog)
        names = ', '.join(str(action.metavar or action.dest) for action in wanted[len(words) :])
        self.error(f'the following arguments are required: {names}')

    def _get_option_tuples(self, option_string: str) -> Any:
        if option_string.partition('=')[0] == MODE_FLAG:
            return []  # It is no beginning of --models-path: it is a flag of the program, at the wrong place.
        # A beginning that only names of one option share, as --targ of --target-path and its alias --target, is that
        # option. Not every Python from 3.11 to 3.13 sees that by itself.
        found: list[Any] = super()._get_option_tuples(option_string)
        return found[:1] if len({id(match[0]) for match in found}) == 1 else found

    def error(self, message: str) -> NoReturn:
        """Turns argparse's complaint into an error with advice."""
        hint = f'run `{self.prog} --help`'
        if message.startswith('the following arguments are required:'):
            hint = f'write them right after the command: a list option takes every word behind it; {hint} for all'
        if message.endswith(('expected one argument', 'expected at least one argument')):
            hint = (
                f'a value that begins with a dash is joined with =, as in --option=-value, or ./-name; {hint} for all'
            )
        if message.startswith('unrecognized arguments:'):
            first = message.split(': ', 1)[1].split()[0]
            if first.split('=')[0] == MODE_FLAG:
                raise UsageError(
                    'unknown-option',
                    f'{first} is not an option of this command',
                    cause='the mode is chosen before the command',
                    hint='write `facefusion --mode headless COMMAND`',
                )
            key = first.split('=')[0].removeprefix('--').replace('-', '_')
            if key in REFUSED_OPTIONS:
                raise refusal(first.split('=')[0], REFUSED_OPTIONS[key])
            policies = _policies()
            if key in policies:
                raise UsageError(
                    'unknown-option',
                    f'{first} is not an option of this command',
                    cause='only an ini file sets it: it is for the operator of this installation to decide',
                    hint=f'write `{key} = yes` or `no` under [{policies[key]}] in facefusion.ini',
                )
            if first.startswith('--') and key in PEER_KEYS:
                raise UsageError(
                    'unknown-option',
                    f'{first} is an option of FaceFusion 3.8 that this command does not have yet',
                    hint='leave it out; the README says what this version has',
                )
            if not _is_flag(first):
                raise UsageError('usage', f'{first} is one argument too many', hint=hint)
            flags = [flag for action in self._actions for flag in action.option_strings]
            close = get_close_matches(first.split('=')[0], flags, n=1)
            hint = f'did you mean {close[0]}?' if close else f'run `{self.prog} --help` for what this version takes'
            raise UsageError('unknown-option', f'{first} is not an option of this command', hint=hint)
        raise UsageError('usage', message, hint=hint)


def _policies() -> dict[str, str]:
    """The options that only ini files set, with their sections."""
    groups = {group for module in OPTION_MODULES for group in import_module(module).GROUPS}
    return {info.key: info.section for group in groups for info in describe(group) if info.is_policy}


def add_options(parser: argparse.ArgumentParser, groups: Iterable[type]) -> None:
    """Adds a flag for every option of the groups; only flags that are given end up in the namespace."""
    sections: dict[str, Any] = {}
    for group in groups:
        for info in describe(group):
            if info.is_policy:
                continue
            if info.section not in sections:
                sections[info.section] = parser.add_argument_group(info.section.replace('_', ' '))
            _add_option(sections[info.section], info)


def path_argument(text: str) -> str:
    """The ``type`` of an argument that is a path and no declared option."""
    try:
        return expand_home(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_config_path(parser: argparse.ArgumentParser, is_repeated: bool = False) -> None:
    """Adds ``--config-path``; a sub-command repeats it unseen, and only what is given counts."""
    parser.add_argument(
        '--config-path',
        metavar='PATH',
        type=path_argument,
        default=argparse.SUPPRESS if is_repeated else None,
        help=argparse.SUPPRESS if is_repeated else f'ini file with defaults [default: {INI_NAME}]',
    )


def add_job_id(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Adds JOB_ID and its other form ``--job-id ID``; ``job_id_of`` gives what was given."""
    parser.add_argument('job_id', nargs='?', metavar='JOB_ID', help='the id of a job')
    parser.add_argument('--job-id', dest='job_id_flag', metavar='ID', help='the same as JOB_ID')
    parser.set_defaults(job_id_required=required, job_id_program=parser.prog)


def job_id_of(arguments: argparse.Namespace) -> str | None:
    """The job id as typed, in either form; None where it may be left out, and is.

    Raises UsageError 'job-id-missing', or 'job-id-twice' when the two forms differ.
    """
    named = [given for given in (arguments.job_id, arguments.job_id_flag) if given is not None]
    if len(set(named)) > 1:
        raise UsageError(
            'job-id-twice',
            f'two jobs are named: {named[0]} and {named[1]}',
            cause='JOB_ID and --job-id are two forms of the same argument',
            hint='leave one of them out',
        )
    if not named and arguments.job_id_required:
        raise _missing_job_id(arguments.job_id_program)
    return named[0] if named else None


def _missing_job_id(program: str) -> UsageError:
    return UsageError(
        'job-id-missing',
        f'{program} needs the id of a job',
        hint=f'write it right after the command: {program} JOB_ID; `facefusion job-list` shows all jobs',
    )


def _is_flag(word: str) -> bool:
    return len(word) > 1 and word.startswith('-') and not _NUMBER.fullmatch(word)


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
        refused = value_refusal(info.flag, info.key, [text])
        if refused is not None:
            raise refused
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
        """Is called with all values of one occurrence of the flag: files add up, of other values the last count."""
        before = getattr(namespace, self.dest, ()) if self._info.kind == 'path' else ()
        try:
            setattr(namespace, self.dest, check_items(self._info, (*before, *values)))
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
    if info.no_effect:
        parts.append(f'(no effect here: {info.no_effect})')
    return ' '.join(parts).replace('%', '%%')
