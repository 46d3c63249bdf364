"""The argument parser, built from the declared options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from facefusion.cli.commands import MODE_FLAG, OPTION_MODULES
from facefusion.cli.peer import PEER_KEYS
from facefusion.errors import UsageError
from facefusion.options import OptionInfo, check_items, describe, expand_home, parse_item, range_text
from facefusion.safety.refused import REFUSED_OPTIONS, refusal, value_refusal
from facefusion.settings import INI_NAME

_NUMBER = re.compile(r'-\d+|-\d*\.\d+')


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of ending the process.

    Flags may precede, separate and follow positional arguments, and a bare ``-1`` is a positional argument. A list
    option takes every word up to the next flag or ``--``.
    """

    _takes_positionals = True

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the flags first, then assign the remaining words to the positional arguments.

        argparse itself leaves an optional positional, such as JOB_ID, empty when a flag separates it from the next one,
        and its parse_intermixed_args mistakes the value of an unknown flag for a positional.
        """
        positionals = self._get_positional_actions()
        if not positionals or any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in positionals):
            return super().parse_known_args(args, namespace)
        self._takes_positionals = False
        try:
            with _made_optional(positionals):
                namespace, rest = super().parse_known_args(args, namespace)
        finally:
            self._takes_positionals = True
        divider = rest.index('--') if '--' in rest else len(rest)
        unknown = [word for word in rest[:divider] if _is_flag(word)]
        if unknown:
            return namespace, unknown
        words = [*rest[:divider], *rest[divider + 1 :]]
        self._check_job_id(positionals, namespace, words)
        # The first pass has checked that required flags are present.
        with _made_optional([*self._get_optional_actions(), *self._mutually_exclusive_groups]):
            return super().parse_known_args(['--', *words] if words else [], namespace)

    def _get_positional_actions(self) -> list[argparse.Action]:
        return super()._get_positional_actions() if self._takes_positionals else []

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        if action.option_strings and action.nargs is None and arg_strings == ['--']:
            # The value of --option=--, which some versions of Python remove.
            return self._get_value(action, '--')
        return super()._get_values(action, arg_strings)

    def _check_job_id(self, positionals: Sequence[argparse.Action], namespace: Any, words: Sequence[str]) -> None:
        """Raise UsageError if there are too few words for a required JOB_ID, because argparse would leave it empty."""
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
            return []  # This is the flag of the program in the wrong position, not an abbreviation of --models-path.
        # An abbreviation may match several names of one option: --targ matches --target-path and its alias --target.
        # Some versions of Python from 3.11 to 3.13 reject this.
        found: list[Any] = super()._get_option_tuples(option_string)
        return found[:1] if len({id(match[0]) for match in found}) == 1 else found

    def error(self, message: str) -> NoReturn:
        """Turn an error of argparse into a UsageError with a hint."""
        hint = f'run `{self.prog} --help`'
        if message.startswith('unrecognized arguments:'):
            raise self._unknown_argument(message.split(': ', 1)[1].split()[0], hint)
        if message.startswith('the following arguments are required:'):
            hint = (
                f'write them right after the command: a list option takes every word after it; {hint} for all options'
            )
        if message.endswith(('expected one argument', 'expected at least one argument')):
            hint = f'join a value that starts with a dash with =, as in --option=-value, or write ./-name; {hint}'
        raise UsageError('usage', message, hint=hint)

    def _unknown_argument(self, word: str, hint: str) -> UsageError:
        flag = word.split('=')[0]
        key, cause = flag.removeprefix('--').replace('-', '_'), ''
        message = f'{word} is not an option of this command'
        if key in REFUSED_OPTIONS:
            return refusal(flag, REFUSED_OPTIONS[key])
        policies = _policies()
        flags = [name for action in self._actions for name in action.option_strings]
        close = get_close_matches(flag, flags, n=1)
        if flag == MODE_FLAG:
            cause, hint = 'the mode must come before the command', 'write `facefusion --mode headless COMMAND`'
        elif key in policies:
            cause = 'only an ini file sets it: the operator of this installation decides'
            hint = f'write `{key} = yes` or `no` under [{policies[key]}] in facefusion.ini'
        elif word.startswith('--') and key in PEER_KEYS:
            message = f'{word} is an option of FaceFusion 3.8 that this command does not have yet'
            hint = 'remove it; the README lists the features of this version'
        elif not _is_flag(word):
            hint = f'put a pattern such as "*.png" in quotes; {hint}' if Path(word).exists() else hint
            return UsageError('usage', f'{word} is one argument too many', hint=hint)
        elif close:
            hint = f'did you mean {close[0]}?'
        return UsageError('unknown-option', message, cause=cause, hint=hint)


@contextmanager
def _made_optional(entries: Iterable[Any]) -> Iterator[None]:
    """Treat required actions and groups of a parser as optional inside the block."""
    required = [entry for entry in entries if entry.required]
    for entry in required:
        entry.required = False
    try:
        yield
    finally:
        for entry in required:
            entry.required = True


def _policies() -> dict[str, str]:
    """Return the section of each option that only an ini file can set."""
    groups = {group for module in OPTION_MODULES for group in import_module(module).GROUPS}
    return {info.key: info.section for group in groups for info in describe(group) if info.is_policy}


def add_options(parser: argparse.ArgumentParser, groups: Iterable[type], unread: Collection[str] = ()) -> None:
    """Add a flag for every option of the groups; the namespace gets only flags that the command line contains.

    The help lists neither the keys in ``unread`` nor options without an effect.
    """
    sections: dict[str, Any] = {}
    for group in groups:
        for info in describe(group):
            if info.is_policy:
                continue
            if info.section not in sections:
                sections[info.section] = parser.add_argument_group(info.section.replace('_', ' '))
            is_listed = not info.no_effect and info.key not in unread
            _add_option(sections[info.section], info, _help_text(info) if is_listed else argparse.SUPPRESS)


def path_argument(text: str) -> str:
    """Parse a path argument that is not a declared option; used as ``type`` in argparse."""
    try:
        return expand_home(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_config_path(parser: argparse.ArgumentParser, is_repeated: bool = False) -> None:
    """Add ``--config-path``; a sub-command (``is_repeated``) accepts it too, but its help does not list it."""
    parser.add_argument(
        '--config-path',
        metavar='FILE',
        type=path_argument,
        default=argparse.SUPPRESS if is_repeated else None,
        help=argparse.SUPPRESS if is_repeated else f'ini file with defaults [default: {INI_NAME}]',
    )


def add_job_id(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add JOB_ID and its other form ``--job-id ID``; ``job_id_of`` returns the value of either form."""
    parser.add_argument('job_id', nargs='?', metavar='JOB_ID', help='id of a job')
    parser.add_argument('--job-id', dest='job_id_flag', metavar='ID', help='same as JOB_ID')
    parser.set_defaults(job_id_required=required, job_id_program=parser.prog)


def job_id_of(arguments: argparse.Namespace) -> str | None:
    """Return the job id from either form, as typed, or None if it is optional and missing.

    Raises UsageError job-id-missing, or job-id-twice when the two forms differ.
    """
    named = [given for given in (arguments.job_id, arguments.job_id_flag) if given is not None]
    if len(set(named)) > 1:
        raise UsageError(
            'job-id-twice',
            f'two different job ids: {named[0]} and {named[1]}',
            cause='JOB_ID and --job-id are two forms of the same argument',
            hint='remove one of them',
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
    """Return the options of the command line, by key."""
    given = vars(arguments)
    keys = [info.key for group in groups for info in describe(group)]
    return {key: given[key] for key in keys if key in given}


def _add_option(section: Any, info: OptionInfo, help_text: str) -> None:
    flags = [*([info.short] if info.short else []), info.flag, *info.aliases]
    common: dict[str, Any] = {'dest': info.key, 'default': argparse.SUPPRESS, 'help': help_text}
    if info.kind == 'flag':
        # The --no- form disables a flag that an ini file or the environment enables.
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
    section.add_argument(*flags, type=parse, metavar=info.placeholder, **common)


class _ListAction(argparse.Action):
    """An action that stores the values of a list option. Raises ArgumentError for too many values."""

    def __init__(self, *arguments: Any, info: OptionInfo, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._info = info

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Store the values of one occurrence of the flag: paths are appended, other values replace earlier ones."""
        before = getattr(namespace, self.dest, ()) if self._info.kind == 'path' else ()
        try:
            setattr(namespace, self.dest, check_items(self._info, (*before, *values)))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None


def _help_text(info: OptionInfo) -> str:
    parts, limits, default = [info.help], range_text(info), info.default
    if info.choices:
        parts.append('(' + ', '.join(str(choice) for choice in info.choices) + ')')
    elif limits:
        parts.append(f'({limits})')
    if info.most_items is not None:
        parts.append(f'(at most {info.most_items})')
    if default is not None and default != () and info.kind != 'flag':
        shown = ' '.join(str(item) for item in default) if isinstance(default, tuple) else str(default)
        parts.append(f'[default: {shown}]')
    return ' '.join(parts).replace('%', '%%')
