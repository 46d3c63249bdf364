"""Entry point: find the command, merge its settings, run it, and turn failures into exit codes.

Only this module turns an error into an exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facefusion import version
from facefusion.cli.commands import ALIASES, COMMANDS, MODE_FLAG, MODES, Spec
from facefusion.cli.signals import leave_on_signals
from facefusion.cli.streams import use_utf8
from facefusion.errors import FaceFusionError, UsageError
from facefusion.failures import as_failure
from facefusion.standard_streams import drop_unwritten, open_missing_streams, write_line

if TYPE_CHECKING:
    from facefusion.cli.invocation import Invocation

PROGRAM = 'facefusion'


def run() -> None:
    """Run the command line of this process and end the process."""
    open_missing_streams()
    use_utf8()
    leave_on_signals()
    sys.exit(main(sys.argv[1:], os.environ))


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one command line and return its exit code; stderr explains every failure."""
    try:
        return _run_command(list(argv), environ)
    except (FaceFusionError, KeyboardInterrupt, MemoryError) as error:
        return _fail(as_failure(error))
    except BrokenPipeError:
        # The reader of stdout has ended.
        drop_unwritten(sys.stdout)
        return 1
    except OSError as error:
        drop_unwritten(sys.stdout)
        return _fail(as_failure(error))
    except Exception as error:
        if environ.get('FACEFUSION_DEBUG'):
            raise
        return _fail(as_failure(error))


def _run_command(argv: list[str], environ: Mapping[str, str]) -> int:
    try:
        code = _dispatch(argv, environ)
    except SystemExit as exit_request:
        # argparse exits after the help of a command.
        code = exit_request.code if isinstance(exit_request.code, int) else 0
    if sys.stdout is not None:
        # If the flush failed only when the interpreter exits, the exit code would be 120, without an explanation.
        sys.stdout.flush()
    return code


def _dispatch(argv: list[str], environ: Mapping[str, str]) -> int:
    mode, argv = _take_mode(argv)
    if argv[:1] in (['-v'], ['--version']):
        print(f'FaceFusion {version.VERSION}')
        return 0
    if not argv or argv[0] in ('-h', '--help'):
        print(_overview())
        return 0
    name = argv[0]
    if name not in COMMANDS:
        raise _unknown_command(name)
    spec = COMMANDS[name].load()
    try:
        invocation = _prepare(name, spec, argv[1:], environ, mode)
    except Exception as error:
        # There are no settings yet, so the failure is reported here; a running command reports its own failures.
        if COMMANDS[name].reports and _asks_for_json(argv[1:], environ):
            from facefusion.events import JsonSink, RunFailed

            JsonSink()(RunFailed(as_failure(error).as_record()))
        raise
    return spec.run(invocation)


def _take_mode(argv: list[str]) -> tuple[str, list[str]]:
    """Return the mode before the command, or '', and the command line without it. Raises UsageError."""
    flag, joined, mode = argv[0].partition('=') if argv else ('', '', '')
    if flag != MODE_FLAG:
        return '', argv
    rest = argv[1:]
    if not joined:
        mode, rest = (rest[0], rest[1:]) if rest else ('', [])
    if mode not in MODES:
        message = f'{mode} is not a mode of this program' if mode else f'{MODE_FLAG} needs a mode'
        raise UsageError('unknown-mode', message, hint=f'choose one of: {", ".join(MODES)}')
    if mode == 'headless':
        _check_headless(rest)
        return mode, rest
    command = MODES[mode]
    named = rest[0] if rest and not rest[0].startswith('-') else ''
    if named not in ('', command, *ALIASES.get(command, ())):
        raise UsageError(
            'mode-command',
            f'{MODE_FLAG} {mode} does not run {named}',
            cause=f'it always runs the command {command}',
            hint=f'remove {MODE_FLAG} {mode}, or write {MODE_FLAG} headless {named}',
        )
    return mode, rest if named else [command, *rest]


def _check_headless(argv: list[str]) -> None:
    """Raise UsageError if there is no command, or if the command opens a web page."""
    if not argv or (argv[0].startswith('-') and argv[0] not in ('-h', '--help', '-v', '--version')):
        raise UsageError(
            'mode-command-missing',
            f'{MODE_FLAG} headless needs a command',
            hint=f'write {MODE_FLAG} headless headless-run ..., or another command of `{PROGRAM} --help`',
        )
    if argv[0] in (MODES['gui'], *ALIASES[MODES['gui']]):
        raise UsageError(
            'mode-command',
            f'{MODE_FLAG} headless does not run {argv[0]}',
            cause=f'{argv[0]} opens a web page',
            hint=f'remove {MODE_FLAG} headless, or use headless-run',
        )


def _prepare(name: str, spec: Spec, argv: list[str], environ: Mapping[str, str], mode: str) -> Invocation:
    """Parse the arguments and merge the settings of a command. Raises UsageError."""
    from facefusion.cli.invocation import Invocation
    from facefusion.cli.parser import Parser, add_config_path, add_options, given_flags
    from facefusion.cli.settings_check import check_settings
    from facefusion.settings import INI_NAME, home_path, program_path, read_ini, resolve

    parser = Parser(prog=f'{PROGRAM} {name}', description=COMMANDS[name].summary)
    add_config_path(parser)
    spec.configure(parser)
    add_options(parser, spec.groups, spec.unread)
    arguments = parser.parse_args(argv)
    home = home_path(environ)
    config = arguments.config_path
    ini = read_ini(Path(config) if config else home / INI_NAME, required=bool(config))
    flags = given_flags(arguments, spec.groups)
    remarks = check_settings(spec.groups, flags, ini, environ, COMMANDS[name].reports)
    # The policy in the ini files of the home and of the program always applies, even with --config-path.
    paths = {home / INI_NAME, program_path() / INI_NAME} - {ini.path if ini is not None else None}
    house = [found for path in sorted(paths) if (found := read_ini(path, required=False)) is not None]
    invocation = Invocation(resolve(spec.groups, flags, ini, environ, house), home, environ, arguments, mode, ini)
    invocation.remark(remarks)
    return invocation


def _asks_for_json(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Whether the arguments (which may be invalid) or else the environment request JSON lines."""
    progress = environ.get('FACEFUSION_PROGRESS')
    for word, following in zip(argv, (*argv, '')[1:], strict=True):
        flag, joined, value = word.partition('=')
        # '--prog' is the shortest unambiguous abbreviation.
        if len(flag) >= len('--prog') and '--progress'.startswith(flag):
            progress = value if joined else following
    return progress == 'json'


def _overview() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f'  {name:<{width}}  {command.summary}' for name, command in COMMANDS.items()]
    return '\n'.join(
        [
            f'usage: {PROGRAM} [{MODE_FLAG} {{{",".join(MODES)}}}] COMMAND [options]',
            '',
            'Consented face manipulation in images and video, from the command line.',
            '',
            'commands:',
            *lines,
            '',
            f'{MODE_FLAG} headless: the command opens no web page and asks no questions.',
            f'{PROGRAM} COMMAND --help shows the options of a command; -v, --version shows the version.',
        ]
    )


def _unknown_command(name: str) -> UsageError:
    from difflib import get_close_matches

    close = get_close_matches(name, COMMANDS, n=1)
    hint = f'did you mean {close[0]}?' if close else 'commands: ' + ', '.join(COMMANDS)
    return UsageError('unknown-command', f'{name} is not a command of this version', hint=hint)


def _fail(error: FaceFusionError) -> int:
    lines = [f'{PROGRAM}: {error.message} [{error.reference}]']
    if error.cause:
        lines.append(f'  cause: {error.cause}')
    if error.hint:
        lines.append(f'  hint: {error.hint}')
    # File names that are not UTF-8 contain surrogates, which a terminal cannot print.
    write_line('\n'.join(lines).encode('utf-8', 'backslashreplace').decode('utf-8'), sys.stderr)
    return error.exit_code
