from __future__ import annotations

from dataclasses import dataclass

import pytest

from facefusion.cli.parser import Parser, add_options, given_flags
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


def test_only_what_is_given_counts():
    assert parse() == {}
    assert parse('--quick') == {'quick': True}


def test_a_flag_can_be_switched_off(capsys):
    assert parse('--no-quick') == {'quick': False}
    assert parse('--quick', '--no-quick') == {'quick': False}
    with pytest.raises(SystemExit):
        parse('--help')
    assert '--quick, --no-quick' in capsys.readouterr().out


@pytest.mark.parametrize('flag', ['-n', '--name', '--title'])
def test_all_names_of_an_option_fill_its_key(flag):
    assert parse(flag, 'x') == {'name': 'x'}


def test_values_have_their_types():
    assert parse('--pair', '1', '2') == {'pair': (1, 2)} and parse('--pair', '1', '--pair', '2') == {'pair': (2,)}
    assert parse('--sizes', '3', '4', '--share', '0.25', '--kind', 'b') == {'sizes': (3, 4), 'share': 0.25, 'kind': 'b'}


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['--sizes', '3', '10'], '--sizes: 10 is not a whole number from 0 to 9'),
        (['--sizes'], '--sizes: expected at least one argument'),
        (['--pair', '1', '2', '3'], '--pair: 3 values are given, at most 2 values can be used'),
        (['--kind', 'c'], "--kind: 'c' is not one of: a, b"),
        (['--share', 'much'], "--share: 'much' is not a number from 0 to 1"),
    ],
)
def test_complaints_are_errors_that_name_flag_and_range(arguments, words):
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert words in caught.value.message
    assert (caught.value.reference, caught.value.hint) == ('usage', 'run `facefusion try --help`')


@pytest.mark.parametrize(
    ('argument', 'hint'), [('--sharp', 'did you mean --share?'), ('--share-=1', '--share?'), ('--zzz', '--help')]
)
def test_unknown_options_are_named_alone(argument, hint):
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
