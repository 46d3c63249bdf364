from __future__ import annotations

import ast
import configparser
import errno
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from facefusion import errors
from facefusion.cli.commands import COMMANDS, OPTION_MODULES, Command, Spec
from facefusion.cli.main import main
from facefusion.cli.settings_check import check_ini
from facefusion.errors import FaceFusionError, Interrupted
from facefusion.faces.options import FaceSelectorOptions
from facefusion.models.options import ModelOptions
from facefusion.options import describe, parse_item
from facefusion.pipeline.options import PathOptions
from facefusion.services.options import ConsoleOptions
from facefusion.settings import read_ini
from facefusion.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
GROUPS = tuple(dict.fromkeys(group for name in OPTION_MODULES for group in import_module(name).GROUPS))
INFOS = [info for group in GROUPS for info in describe(group)]


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Return a function that runs ``action(invocation)`` as the command ``try-it`` in an empty home."""

    def call(action, *arguments: str, before: tuple[str, ...] = (), environ: dict[str, str] | None = None) -> int:
        module = ModuleType('facefusion_test_command')
        module.GROUPS = (PathOptions, FaceSelectorOptions, ConsoleOptions)
        module.configure = lambda parser: None
        module.run = action
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, 'try-it', Command(module.__name__, 'tried in tests'))
        return main([*before, 'try-it', *arguments], {'FACEFUSION_HOME': str(tmp_path), **(environ or {})})

    return call


def failing(error: BaseException):
    def action(invocation):
        raise error

    return action


@pytest.fixture
def settings_of(command):
    """Return a function that merges settings from arguments, the environment and the ini file in tmp_path."""

    def collect(*arguments: str, environ: dict[str, str] | None = None):
        seen = []

        def action(invocation):
            seen.append(invocation.settings)
            return 0

        assert command(action, *arguments, environ=environ) == 0
        return seen[0]

    return collect


@pytest.mark.parametrize(
    ('name', 'code'),
    [
        ('UsageError', 2),
        ('InputError', 1),
        ('MediaError', 1),
        ('NoFaceError', 1),
        ('OutputError', 1),
        ('ContentRefused', 3),
        ('ResourceError', 5),
        ('ModelError', 6),
        ('ProviderError', 7),
        ('InternalError', 1),
        ('FaceFusionError', 1),
    ],
)
def test_each_error_has_its_exit_code_message_cause_and_hint(command, capsys, name, code):
    error = getattr(errors, name)('it-broke', 'the thing broke', cause='it was old', hint='take a new one')
    assert command(failing(error)) == code
    out, err = capsys.readouterr()
    assert out == ''
    assert err == 'facefusion: the thing broke [it-broke]\n  cause: it was old\n  hint: take a new one\n'


def test_empty_cause_and_hint_are_omitted(command, capsys):
    command(failing(FaceFusionError('it-broke', 'the thing broke')))
    assert capsys.readouterr().err == 'facefusion: the thing broke [it-broke]\n'


@pytest.mark.parametrize(
    ('error', 'code', 'reference'),
    [
        (Interrupted(), 4, 'interrupted'),
        (KeyboardInterrupt(), 4, 'interrupted'),
        (MemoryError(), 5, 'memory-out'),
        (OSError(errno.ENOSPC, 'No space left on device', '/some/file'), 5, 'disk-full'),
        (OSError(errno.EDQUOT, 'Disk quota exceeded'), 5, 'disk-full'),
        (PermissionError(errno.EACCES, 'Permission denied', '/some/file'), 1, 'system-call'),
        (ZeroDivisionError('division by zero'), 1, 'unexpected'),
        (AssertionError(), 1, 'unexpected'),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_every_other_failure_has_an_exit_code(command, capsys, error, code, reference):
    assert command(failing(error)) == code
    err = capsys.readouterr().err
    assert f'[{reference}]' in err.splitlines()[0] and 'Traceback' not in err
    if getattr(error, 'filename', None):
        assert '/some/file' in err
    if reference == 'unexpected':
        assert type(error).__name__ in err and 'FACEFUSION_DEBUG=1' in err


def test_debug_mode_shows_the_traceback_of_a_bug(command):
    with pytest.raises(ZeroDivisionError):
        command(failing(ZeroDivisionError()), environ={'FACEFUSION_DEBUG': '1'})


def test_names_that_are_not_utf8_can_be_reported(command, capsys):
    name = os.fsdecode(b'f\xe4ce.png')
    assert command(failing(errors.MediaError('media-missing', f'no file at {name}', hint='ä'))) == 1
    assert 'no file at f\\udce4ce.png' in capsys.readouterr().err


def test_a_command_returns_its_exit_code(command):
    assert command(lambda invocation: 0) == 0
    assert command(lambda invocation: 1) == 1


def test_a_module_can_contain_several_commands(monkeypatch, tmp_path):
    seen = []
    module = ModuleType('facefusion_test_commands')
    module.GROUPS = (PathOptions, ConsoleOptions)
    for name, groups in (('FIRST', (ConsoleOptions,)), ('SECOND', (PathOptions, ConsoleOptions))):

        def note(invocation, name=name):
            seen.append((name, invocation.arguments.own, PathOptions in invocation.settings))
            return 0

        setattr(
            module, name, Spec(groups, lambda parser, name=name: parser.add_argument(f'--{name}', dest='own'), note)
        )
        monkeypatch.setitem(COMMANDS, name, Command(module.__name__, 'tried in tests', spec=name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    home = {'FACEFUSION_HOME': str(tmp_path)}
    assert main(['FIRST', '--FIRST', 'a'], home) == main(['SECOND', '--SECOND', 'b'], home) == 0
    assert seen == [('FIRST', 'a', False), ('SECOND', 'b', True)]
    assert main(['FIRST', '--SECOND', 'b'], home) == 2


@pytest.mark.parametrize('name', list(COMMANDS))
def test_the_options_of_every_command_are_those_of_its_module(name):
    spec = COMMANDS[name].load()
    assert callable(spec.configure) and callable(spec.run)
    assert {*spec.groups} <= {*import_module(COMMANDS[name].module).GROUPS}


@pytest.mark.parametrize('flag', ['-v', '--version'])
def test_version_is_one_line_on_stdout(flag, capsys):
    assert main([flag], {}) == 0
    assert capsys.readouterr() == (f'FaceFusion {VERSION}\n', '')


@pytest.mark.parametrize('arguments', [[], ['-h'], ['--help']])
def test_the_overview_names_every_command(arguments, capsys):
    assert main(arguments, {}) == 0
    out, err = capsys.readouterr()
    assert err == '' and all(f'\n  {name} ' in out for name in COMMANDS)


@pytest.mark.parametrize('name', list(COMMANDS))
def test_every_command_has_help(name, capsys):
    assert main([name, '--help'], {}) == 0
    out, err = capsys.readouterr()
    assert err == '' and out.startswith(f'usage: facefusion {name}')


def test_an_unknown_command_is_refused_with_a_suggestion(capsys):
    assert main(['headles-run'], {}) == 2
    err = capsys.readouterr().err
    assert 'headles-run is not a command' in err and 'did you mean headless-run?' in err


def test_an_unknown_command_without_a_similar_one_lists_all(capsys):
    assert main(['xyzzy'], {}) == 2
    err = capsys.readouterr().err
    assert all(name in err for name in COMMANDS)


def test_an_unknown_option_is_refused_with_a_suggestion(capsys):
    assert main(['headless-run', '--face-detectr-score', '0.5'], {}) == 2
    err = capsys.readouterr().err
    assert '[unknown-option]' in err and '--face-detectr-score ' in err and 'did you mean --face-detector-score?' in err


def test_an_invalid_choice_shows_the_choices(capsys):
    assert main(['headless-run', '--face-selector-mode', 'all'], {}) == 2
    err = capsys.readouterr().err
    assert "--face-selector-mode: 'all' is not one of: many, one, reference [usage]" in err


@pytest.mark.parametrize(
    'arguments',
    [['--face-detector-score'], ['--face-detector-score', '2'], ['--processors', 'face_swapper', 'x'], ['more']],
)
def test_wrong_usage_is_2_and_names_the_help(arguments, capsys):
    assert main(['headless-run', *arguments], {}) == 2
    out, err = capsys.readouterr()
    assert out == '' and '--help' in err and 'usage:' not in err


def test_flags_override_the_environment_which_overrides_the_ini(settings_of, tmp_path):
    order = FaceSelectorOptions().face_selector_order
    assert settings_of()[FaceSelectorOptions].face_selector_order == order
    (tmp_path / 'facefusion.ini').write_text('[face_selector]\nface_selector_order = left-right\n')
    assert settings_of()[FaceSelectorOptions].face_selector_order == 'left-right'
    environ = {'FACEFUSION_FACE_SELECTOR_ORDER': 'right-left'}
    assert settings_of(environ=environ)[FaceSelectorOptions].face_selector_order == 'right-left'
    flag = ['--face-selector-order', 'top-bottom']
    assert settings_of(*flag, environ=environ)[FaceSelectorOptions].face_selector_order == 'top-bottom'


def test_the_command_line_switches_off_a_flag_of_ini_or_environment(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr('facefusion.cli.doctor.run', lambda invocation: seen.append(invocation.settings) or 0)
    (tmp_path / 'facefusion.ini').write_text('[download]\noffline = yes\n')
    home = {'FACEFUSION_HOME': str(tmp_path)}
    for flags, environ in ([], {}), (['--no-offline'], {}), (['--no-offline'], {'FACEFUSION_OFFLINE': 'yes'}):
        assert main(['doctor', *flags], home | environ) == 0
    assert [settings[ModelOptions].offline for settings in seen] == [True, False, False]


def test_a_config_path_replaces_the_ini_of_the_home(settings_of, tmp_path):
    (tmp_path / 'facefusion.ini').write_text('[face_selector]\nface_selector_order = left-right\n')
    other = tmp_path / 'other.ini'
    other.write_text('[face_selector]\nface_selector_mode = one\n')
    chosen = settings_of('--config-path', str(other))[FaceSelectorOptions]
    assert (chosen.face_selector_mode, chosen.face_selector_order) == ('one', 'large-small')


def test_a_missing_config_path_is_wrong_usage(command, capsys):
    assert command(lambda invocation: 0, '--config-path', 'none.ini') == 2
    assert '[config-missing]' in capsys.readouterr().err


def test_an_ini_may_set_options_of_other_commands_but_no_unknown_ones(command, capsys, tmp_path):
    ini = tmp_path / 'facefusion.ini'
    ini.write_text('[output_creation]\noutput_video_quality = 70\n')
    assert command(lambda invocation: 0) == 0
    ini.write_text('[output_creation]\n\noutput_video_qualty = 70\n')
    assert command(lambda invocation: 0) == 2
    err = capsys.readouterr().err
    assert f'{ini}, line 3' in err and 'did you mean output_video_quality?' in err
    ini.write_text('[output_creation]\noutput_video_quality = 700\n')
    assert command(lambda invocation: 0) == 2
    assert 'from 0 to 100' in capsys.readouterr().err


@pytest.mark.parametrize('flags', [['-s', 'a', 'b'], ['--source', 'a', 'b'], ['--source-paths', 'a', 'b']])
def test_short_flags_and_aliases_are_the_same_option(settings_of, flags):
    assert settings_of(*flags)[PathOptions].source_paths == ('a', 'b')


def test_joined_values_may_start_with_a_dash(settings_of):
    assert settings_of('--target-path=-clip.mp4')[PathOptions].target_path == '-clip.mp4'


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    return tmp_path


def test_paths_on_the_command_line_may_start_with_the_home_folder(settings_of, home):
    (home / 'my.ini').write_text('[face_selector]\nface_selector_mode = one\n')
    settings = settings_of('--target-path=~/x', '-s', '~/a', 'b', '--config-path=~/my.ini')
    assert settings[PathOptions] == PathOptions((str(home / 'a'), 'b'), str(home / 'x'))
    assert settings[FaceSelectorOptions].face_selector_mode == 'one'


@pytest.mark.parametrize(
    'words',
    [
        ('headless-run', '--jobs-path=~no-such-user/jobs'),
        ('batch-run', '-t', '~no-such-user/*.mp4'),
        ('verify', '~no-such-user/a.png'),
        ('verify', 'a.png', '--sidecar', '~no-such-user/a.c2pa'),
        ('doctor', '--config-path', '~no-such-user/my.ini'),
        ('models', 'list', '--config-path', '~no-such-user/my.ini'),
    ],
)
def test_the_home_folder_of_an_unknown_user_is_wrong_usage(words, capsys):
    assert main([*words], {}) == 2
    assert 'this machine has no user no-such-user' in capsys.readouterr().err


def test_a_unique_abbreviation_is_accepted(settings_of):
    assert settings_of('--target-pa', 'x')[PathOptions].target_path == 'x'
    assert settings_of('--targ', 'x')[PathOptions].target_path == 'x'
    assert settings_of('--face-selector-m=one')[FaceSelectorOptions].face_selector_mode == 'one'


def test_an_ambiguous_abbreviation_is_refused_with_the_options(command, capsys):
    assert command(lambda invocation: 0, '--face-selector', 'one') == 2
    err = capsys.readouterr().err
    assert '[usage]' in err and 'ambiguous option: --face-selector' in err
    assert '--face-selector-mode, --face-selector-order' in err


def test_every_option_is_declared_once_and_valid():
    assert len({info.key for info in INFOS}) == len(INFOS)
    for module in OPTION_MODULES:
        # Two commands may use a short flag for different options: -t is a target or a pattern of targets.
        mine = [info for group in import_module(module).GROUPS for info in describe(group)]
        names = [name for info in mine for name in (info.flag, info.short, *info.aliases) if name]
        assert len(set(names)) == len(names) and '--config-path' not in names and '-h' not in names
    for info in INFOS:
        assert info.help and not info.help.endswith('.') and info.section, info.key
        assert info.key == info.key.lower() and '-' not in info.key
        values = info.default if info.is_list else (info.default,)
        assert isinstance(values, tuple), info.key
        for value in values:
            # The default of an option passes the checks of the option.
            assert value is None or info.kind == 'flag' or parse_item(info, str(value)) == value, info.key


def test_the_shipped_ini_lists_every_option_without_values():
    ini = read_ini(ROOT / 'facefusion.ini', required=True)
    assert ini.values == {}
    check_ini(ini, GROUPS)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / 'facefusion.ini')
    shipped = {(section, key) for section in parser.sections() for key in parser[section]}
    assert shipped == {(info.section, info.key) for info in INFOS}


def run_with_stdout(stdout, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}
    command = [sys.executable, 'facefusion.py', *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environ, check=False)


def test_a_reader_that_has_ended_is_no_error_message():
    reader, writer = os.pipe()
    os.close(reader)
    done = run_with_stdout(writer, '--help')
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, '')


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs /dev/full')
def test_unwritable_output_is_explained():
    with open('/dev/full', 'w') as full:
        done = run_with_stdout(full, '--help')
    assert done.returncode == 5
    assert done.stderr.startswith('facefusion: the disk is full [disk-full]') and 'Traceback' not in done.stderr


def test_an_option_of_facefusion_38_is_recognised(capsys):
    assert main(['headless-run', '--age-modifier-model', 'fran'], {}) == 2
    said = capsys.readouterr().err
    assert '--age-modifier-model is an option of FaceFusion 3.8' in said and 'did you mean' not in said


def test_a_missing_package_is_explained(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'cv2', None)
    assert main(['headless-run', '-s', 'a.png', '-t', 'b.png', '-o', 'c.png'], {}) == 1
    said = capsys.readouterr().err
    assert 'package-not-installed' in said and 'install.py' in said


@pytest.mark.parametrize(
    ('before', 'mode'), [((), ''), (('--mode', 'headless'), 'headless'), (('--mode=headless',), 'headless')]
)
def test_the_mode_precedes_the_command(command, before, mode):
    seen = []
    assert command(lambda invocation: seen.append(invocation.mode) or 0, '--progress', 'none', before=before) == 0
    assert seen == [mode]


@pytest.mark.parametrize(
    ('line', 'reference', 'words'),
    [
        ('--mode', 'unknown-mode', 'headless, gui, benchmark'),
        ('--mode= models list', 'unknown-mode', 'headless, gui, benchmark'),
        ('--mode quiet models list', 'unknown-mode', 'headless, gui, benchmark'),
        ('--mode headless', 'mode-command-missing', 'headless-run'),
        ('--mode headless -s a.png', 'mode-command-missing', 'headless-run'),
        ('--mode headless run', 'mode-command', 'run opens a web page'),
        ('--mode headless headles-run', 'unknown-command', 'did you mean headless-run?'),
        ('--mode benchmark doctor', 'mode-command', '--mode headless doctor'),
        ('doctor --mode headless', 'unknown-option', 'before the command'),
    ],
)
def test_a_wrong_use_of_the_mode_is_refused(line, reference, words, capsys):
    assert main(line.split(), {}) == 2
    out, err = capsys.readouterr()
    assert out == '' and f'[{reference}]' in err and words in err


@pytest.mark.parametrize(('mode', 'name'), [('gui', 'gui'), ('benchmark', 'benchmark')])
def test_a_mode_runs_its_command(mode, name, monkeypatch, tmp_path):
    module = ModuleType('facefusion_test_command')
    seen = []
    module.IT = Spec((ConsoleOptions,), lambda parser: None, lambda invocation: seen.append(invocation) or 0)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, name, Command(module.__name__, 'tried in tests', spec='IT'))
    for words in ([], [name], ['--progress', 'none'], [name, '--progress', 'none']):
        assert main(['--mode', mode, *words], {'FACEFUSION_HOME': str(tmp_path)}) == 0
    assert [invocation.mode for invocation in seen] == [mode] * 4


def test_headless_shows_help_and_version(capsys):
    assert main(['--mode', 'headless', '--version'], {}) == main(['--mode=headless', '--help'], {}) == 0
    assert VERSION in capsys.readouterr().out


HEADLESS = [
    (('models', 'list'), 0),
    (('doctor', '--execution-providers', 'cpu'), None),
    (('headless-run', '-s', 'none.png', '-t', 'none.png', '-o', 'out.png'), 1),
    (('headless-run',), 2),
]


@pytest.mark.parametrize(('words', 'code'), HEADLESS)
def test_a_headless_command_reads_nothing(words, code, tmp_path):
    reader, writer = os.pipe()
    os.write(writer, b'yes\n')
    environ = {**os.environ, 'FACEFUSION_HOME': str(tmp_path), 'FACEFUSION_OFFLINE': 'yes'}
    whole = [sys.executable, str(ROOT / 'facefusion.py'), '--mode', 'headless', *words]
    try:
        # A new session has no terminal, and this stdin never ends, so reading it would hang.
        done = subprocess.run(
            whole, cwd=tmp_path, stdin=reader, capture_output=True, env=environ, start_new_session=True, timeout=60
        )
        assert os.read(reader, 100) == b'yes\n'
    finally:
        os.close(reader)
        os.close(writer)
    assert code is None or done.returncode == code, done.stderr


@pytest.mark.skipif(sys.platform == 'win32', reason='the test needs a POSIX shell to close stdin')
@pytest.mark.parametrize(('words', 'code'), HEADLESS)
def test_a_headless_command_needs_no_stdin(words, code, tmp_path):
    environ = {**os.environ, 'FACEFUSION_HOME': str(tmp_path), 'FACEFUSION_OFFLINE': 'yes'}
    whole = [sys.executable, str(ROOT / 'facefusion.py'), '--mode', 'headless', *words]
    done = subprocess.run(
        ['/bin/sh', '-c', 'exec "$@" <&-', 'sh', *whole],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environ,
        start_new_session=True,
        timeout=60,
    )
    assert code is None or done.returncode == code, done.stderr
    assert 'unexpected' not in done.stderr


def test_the_package_never_reads_from_a_terminal():
    for path in (ROOT / 'facefusion').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != 'input', f'{path}:{node.lineno}'
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ('sys', 'stdin'), f'{path}:{node.lineno}'
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, 'module', None)}
                assert not names & {'getpass', 'tkinter', 'curses', 'turtle'}, f'{path}:{node.lineno}'
