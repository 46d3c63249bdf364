from __future__ import annotations

from dataclasses import dataclass

import pytest

from facefusion.cli.parser import Parser, add_job_id, add_options, given_flags, job_id_of
from facefusion.errors import UsageError
from facefusion.options import option


@dataclass(frozen=True)
class Sample:
    name: str = option('text', 'auto', 'a name with 100%', section='one', short='-n', aliases=('--title',))
    sizes: tuple[int, ...] = option('int', (1, 2), 'some sizes', section='one', is_list=True, minimum=0, maximum=9)
    pair: tuple[int, ...] = option('int', (), 'a pair', section='one', is_list=True, most_items=2)
    share: float = option('float', 0.5, 'a share', section='two_words', minimum=0.0, maximum=1.0)
    kind: str | None = option('text', None, 'a kind', section='two_words', choices=('a', 'b'))
    quick: bool = option('flag', False, 'be quick', section='two_words')


def parse(*arguments: str):
    parser = Parser(prog='facefusion try')
    add_options(parser, [Sample])
    return given_flags(parser.parse_args(arguments), [Sample])


def test_only_given_flags_are_returned():
    assert parse() == {}
    assert parse('--quick') == {'quick': True}


def test_a_flag_can_be_switched_off(capsys):
    assert parse('--no-quick') == {'quick': False}
    assert parse('--quick', '--no-quick') == {'quick': False}
    with pytest.raises(SystemExit):
        parse('--help')
    assert '--quick, --no-quick' in capsys.readouterr().out


@pytest.mark.parametrize('flag', ['-n', '--name', '--title'])
def test_all_names_of_an_option_set_its_key(flag):
    assert parse(flag, 'x') == {'name': 'x'}


def test_values_have_their_types():
    assert parse('--pair', '1', '2') == {'pair': (1, 2)} and parse('--pair', '1', '--pair', '2') == {'pair': (2,)}
    assert parse('--sizes', '3', '4', '--share', '0.25', '--kind', 'b') == {'sizes': (3, 4), 'share': 0.25, 'kind': 'b'}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--sizes', '3', '10'], '--sizes: 10 is not a whole number from 0 to 9'),
        (['--sizes'], '--sizes: expected at least one argument'),
        (['--pair', '1', '2', '3'], '--pair: 3 values, but at most 2 values can be used'),
        (['--kind', 'c'], "--kind: 'c' is not one of: a, b"),
        (['--share', 'much'], "--share: 'much' is not a number from 0 to 1"),
    ],
)
def test_errors_name_flag_and_range(arguments, words):
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert words in caught.value.message
    assert caught.value.reference == 'usage' and 'run `facefusion try --help`' in caught.value.hint


@pytest.mark.parametrize(
    ('argument', 'hint'), [('--sharp', 'did you mean --share?'), ('--share-=1', '--share?'), ('--zzz', '--help')]
)
def test_an_unknown_option_is_reported_without_its_value(argument, hint):
    with pytest.raises(UsageError) as caught:
        parse(argument, 'value')
    assert caught.value.message == f'{argument} is not an option of this command' and hint in caught.value.hint


def test_help_shows_sections_ranges_choices_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parse('--help')
    text = ' '.join(capsys.readouterr().out.split())
    assert 'one:' in text and 'two words:' in text
    assert 'a name with 100% [default: auto]' in text and all(name in text for name in ('-n', '--name', '--title'))
    assert 'some sizes (0 to 9) [default: 1 2]' in text
    assert 'a pair (at most 2)' in text
    assert 'a kind (a, b)' in text and 'be quick' in text


def parse_job(line: str, *, required: bool = True, index: bool = True):
    """Return the job id, step index and flags of a command such as job-remix-step (without index: job-submit)."""
    parser = Parser(prog='facefusion job-try')
    add_job_id(parser, required=required)
    if index:
        parser.add_argument('step_index', type=int, metavar='STEP_INDEX')
    add_options(parser, [Sample])
    arguments = parser.parse_args(line.split())
    return job_id_of(arguments), getattr(arguments, 'step_index', None), given_flags(arguments, [Sample])


@pytest.mark.parametrize(
    ('line', 'flags'),
    [
        ('mine -1', {}),
        ('--name x mine -1', {'name': 'x'}),
        ('mine --name x -1', {'name': 'x'}),
        ('mine -1 --name x', {'name': 'x'}),
        ('--job-id mine -1', {}),
        ('-1 --job-id=mine', {}),
        ('--job-id mine --quick -1', {'quick': True}),
        ('--job-id mine mine -1', {}),
        ('--na x mine --no-qu -1 --sh=1', {'name': 'x', 'quick': False, 'share': 1.0}),
        ('mine -1 --sizes 3 4', {'sizes': (3, 4)}),
        ('mine --sizes 3 4 --quick -1', {'sizes': (3, 4), 'quick': True}),
        ('--sizes 3 4 -- mine -1', {'sizes': (3, 4)}),
    ],
)
def test_flags_may_stand_anywhere_among_positional_arguments(line, flags):
    assert parse_job(line) == ('mine', -1, flags)


@pytest.mark.parametrize(
    ('line', 'reference', 'words'),
    [
        ('', 'job-id-missing', 'needs the id of a job'),
        ('--quick', 'job-id-missing', 'needs the id of a job'),
        ('-1', 'job-id-missing', 'needs the id of a job'),
        ('--sizes 1 -- -1', 'job-id-missing', 'needs the id of a job'),
        ('mine', 'usage', 'required: STEP_INDEX'),
        ('--job-id mine', 'usage', 'required: STEP_INDEX'),
        ('mine first', 'usage', "STEP_INDEX: invalid int value: 'first'"),
        ('mine 1 2', 'usage', '2 is one argument too many'),
        ('mine 1 --shar=2', 'usage', '--share: 2 is not a number'),
        ('mine --sorce a.jpg 1', 'unknown-option', '--sorce is not an option of this command'),
        ('--job-id mine yours 1', 'job-id-twice', 'yours and mine'),
        ('mine 1 --s 1', 'usage', 'ambiguous option: --s could match --sizes, --share'),
    ],
)
def test_wrong_positional_arguments_are_explained(line, reference, words):
    with pytest.raises(UsageError) as caught:
        parse_job(line)
    assert caught.value.reference == reference and words in caught.value.message and caught.value.hint


def test_a_job_id_can_be_optional():
    assert parse_job('--quick', required=False, index=False) == (None, None, {'quick': True})
    assert parse_job('--quick mine', required=False, index=False) == ('mine', None, {'quick': True})
    assert parse_job('--job-id mine', required=False, index=False)[0] == 'mine'


def test_a_job_id_after_two_dashes_may_look_like_a_flag():
    assert parse_job('--quick -- --mine 2') == ('--mine', 2, {'quick': True})


def test_sub_commands_take_flags_anywhere_too():
    parser = Parser(prog='facefusion try')
    commands = parser.add_subparsers(dest='chosen', required=True)
    fetch = commands.add_parser('fetch')
    fetch.add_argument('ids', nargs='*')
    add_options(fetch, [Sample])
    for line in ('a b --quick', '--quick a b', 'a --quick b'):
        arguments = parser.parse_args(['fetch', *line.split()])
        assert (arguments.chosen, arguments.ids, arguments.quick) == ('fetch', ['a', 'b'], True)
    assert parser.parse_args(['fetch', '--quick']).ids == []
    for line, words in (
        ('fetch a --fast', '--fast is not'),
        ('', 'required: chosen'),
        ('get', "invalid choice: 'get'"),
    ):
        with pytest.raises(UsageError, match=words):
            parser.parse_args(line.split())


def test_required_flags_are_required():
    parser = Parser(prog='facefusion try')
    parser.add_argument('word')
    parser.add_argument('--must', required=True)
    assert vars(parser.parse_args(['--must', '1', 'a'])) == vars(parser.parse_args(['a', '--must', '1']))
    with pytest.raises(UsageError, match='required: --must'):
        parser.parse_args(['a'])


@pytest.mark.parametrize('words', [['--mode', 'headless'], ['--mode=headless']])
def test_the_mode_is_no_abbreviation_of_an_option(words):
    parser = Parser(prog='facefusion try')
    parser.add_argument('--models-path')
    with pytest.raises(UsageError) as caught:
        parser.parse_args(words)
    assert caught.value.reference == 'unknown-option' and 'before the command' in caught.value.cause
    assert parser.parse_args(['--mod', 'x']).models_path == 'x'


@pytest.mark.parametrize('flag', ['--name', '--sizes'])
def test_a_value_that_starts_with_a_dash_gets_a_hint(flag):
    with pytest.raises(UsageError) as caught:
        parse(flag, '-name.mp4')
    assert '--option=-value' in caught.value.hint
