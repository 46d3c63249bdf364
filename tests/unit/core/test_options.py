from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.options import OptionInfo, UnknownHome, describe, option, parse_item, parse_value


def info(kind, **more) -> OptionInfo:
    return OptionInfo(key='some_key', kind=kind, help='', section='misc', default=None, **more)


@dataclass(frozen=True)
class Group:
    plain: int = 3
    output_path: str | None = option('path', None, 'a file', section='paths', short='-o', aliases=('--output',))
    levels: tuple[int, ...] = option('int', (1, 2), 'some', section='misc', is_list=True, minimum=0, stored='job')


def test_describe_returns_the_declaration():
    first, second = describe(Group)
    assert (first.key, first.flag, first.variable) == ('output_path', '--output-path', 'FACEFUSION_OUTPUT_PATH')
    assert (first.short, first.aliases, first.stored, first.section) == ('-o', ('--output',), 'step', 'paths')
    assert (second.default, second.is_list, second.minimum, second.stored) == ((1, 2), True, 0, 'job')
    assert Group() == Group(3, None, (1, 2))


@given(st.text())
def test_text_and_paths_are_unchanged(text):
    assert parse_item(info('text'), text) == text
    assert text.startswith('~') or parse_item(info('path'), text) == text


@given(st.integers())
def test_whole_numbers_are_parsed(value):
    assert parse_item(info('int'), str(value)) == value


@given(st.floats(allow_nan=False))
def test_numbers_are_parsed(value):
    assert parse_item(info('float'), repr(value)) == value


@pytest.mark.parametrize('text', ['', 'x', '1.5', '1e3', '0x10', '--'])
def test_other_text_is_not_a_whole_number(text):
    with pytest.raises(ValueError, match='is not a whole number'):
        parse_item(info('int'), text)


@pytest.mark.parametrize('text', ['', 'x', 'nan', '1,5'])
def test_other_text_is_not_a_number(text):
    with pytest.raises(ValueError, match='is not a number'):
        parse_item(info('float'), text)


@pytest.mark.parametrize('word', ['1', 'yes', 'true', 'on', 'YES', 'True'])
def test_words_for_true(word):
    assert parse_item(info('flag'), word) is True


@pytest.mark.parametrize('word', ['0', 'no', 'false', 'off', 'Off'])
def test_words_for_false(word):
    assert parse_item(info('flag'), word) is False


@pytest.mark.parametrize('word', ['', '2', 'ja', 'tru'])
def test_other_words_are_not_a_flag(word):
    with pytest.raises(ValueError, match='is not one of: yes, no'):
        parse_item(info('flag'), word)


@given(st.integers(-1000, 1000), st.integers(-50, 50), st.integers(-50, 50))
def test_ranges_include_both_ends(value, low, high):
    low, high = min(low, high), max(low, high)
    ranged = info('int', minimum=low, maximum=high)
    if low <= value <= high:
        assert parse_item(ranged, str(value)) == value
    else:
        with pytest.raises(ValueError, match=f'from {low:g} to {high:g}'):
            parse_item(ranged, str(value))


def test_half_open_ranges_are_named():
    with pytest.raises(ValueError, match='from 1 upwards'):
        parse_item(info('int', minimum=1), '0')
    with pytest.raises(ValueError, match='up to 9'):
        parse_item(info('int', maximum=9), '10')


def test_every_grid_point_of_a_float_is_accepted():
    stepped = info('float', minimum=0.0, maximum=1.0, step=0.05)
    for k in range(21):
        assert parse_item(stepped, f'{k * 0.05:.2f}') == pytest.approx(k * 0.05)
    with pytest.raises(ValueError, match=r'in steps of 0.05'):
        parse_item(stepped, '0.52')


def test_the_grid_starts_at_the_minimum():
    stepped = info('float', minimum=0.25, maximum=8.0, step=0.5)
    assert parse_item(stepped, '0.75') == 0.75
    with pytest.raises(ValueError, match='steps'):
        parse_item(stepped, '1.0')


@pytest.mark.parametrize(
    ('kind', 'choices', 'good', 'value'), [('text', ('a', 'b'), 'b', 'b'), ('int', (1, 2), '2', 2)]
)
def test_an_error_lists_the_choices(kind, choices, good, value):
    chosen = info(kind, choices=choices)
    assert parse_item(chosen, good) == value
    with pytest.raises(ValueError, match=f"'3' is not one of: {choices[0]}, {choices[1]}"):
        parse_item(chosen, '3')


@pytest.mark.parametrize(
    ('text', 'paths'),
    [
        ('a.png b.png', ('a.png', 'b.png')),
        ('"my face.png" b.png', ('my face.png', 'b.png')),
        (r'"C:\My Pictures\a.png" \\host\b.png "D:\new\"', (r'C:\My Pictures\a.png', r'\\host\b.png', 'D:\\new\\')),
        ('it\'s.png b"c.png', ("it's.png", 'b"c.png')),
        ("'my face.png' 'tis.png it's", ('my face.png', "'tis.png", "it's")),
        ('\nmy face.png\n\nb.png', ('my face.png', 'b.png')),
        ('\n  "my face.png"\n  it is "b".png', ('my face.png', 'it is "b".png')),
        ('\nmy face.png', ('my face.png',)),
        ('a.png\nb.png "c d.png"', ('a.png', 'b.png', 'c d.png')),
        ('  ', ()),
    ],
)
def test_paths_of_a_list_may_contain_spaces(text, paths):
    assert parse_value(info('path', is_list=True), text) == paths


@pytest.mark.parametrize(
    ('text', 'path'),
    [
        ('"my clips/out.mp4"', 'my clips/out.mp4'),
        ("'my clips/out.mp4' ", 'my clips/out.mp4'),
        (' my clips/out.mp4 \t', 'my clips/out.mp4'),
        (r'"C:\My Clips\"', 'C:\\My Clips\\'),
        ("it's 5'", "it's 5'"),
        ("'it's'", "'it's'"),
        ('a "b" c', 'a "b" c'),
    ],
)
def test_quotes_around_one_path_are_removed(text, path):
    assert parse_value(info('path'), text) == path


@pytest.mark.parametrize('text', ['"a b.png', 'a.png"', '"a" "b"', '""', "' '"])
def test_unpaired_and_empty_quotes_are_refused(text):
    with pytest.raises(ValueError, match='quote'):
        parse_value(info('path'), text)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    return tmp_path


def test_a_path_may_start_with_the_home_folder(home):
    path = info('path')
    assert parse_item(path, '~/clips/*.mp4') == str(home / 'clips' / '*.mp4') and parse_item(path, '~') == str(home)
    assert parse_value(path, '"~/my clips/out.mp4"') == str(home / 'my clips' / 'out.mp4')
    assert parse_value(info('path', is_list=True), '~/a.png "~/b c.png"') == (
        str(home / 'a.png'),
        str(home / 'b c.png'),
    )
    assert parse_item(path, './~/a') == './~/a' and parse_item(path, 'a/~') == 'a/~'
    assert parse_item(info('text'), '~/a') == '~/a'


@pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no user database')
def test_the_home_folder_of_another_user():
    import pwd

    user = pwd.getpwuid(os.getuid())
    assert parse_item(info('path'), f'~{user.pw_name}/x') == str(Path(user.pw_dir) / 'x')
    with pytest.raises(UnknownHome, match=r'this machine has no user no-such-user.* \./~no-such-user/x'):
        parse_item(info('path'), '~no-such-user/x')


def test_a_missing_home_folder_is_explained(monkeypatch):
    monkeypatch.setenv('HOME', '')
    with pytest.raises(UnknownHome, match='HOME is not set'):
        parse_item(info('path'), '~/x')


@pytest.mark.parametrize('text', ['"a b.png', 'a.png "', '"a b"c'])
def test_unpaired_quotes_in_a_list_are_refused(text):
    with pytest.raises(ValueError, match='double quote'):
        parse_value(info('path', is_list=True), text)


def test_a_list_has_a_maximum_length():
    pair = info('int', is_list=True, most_items=2)
    assert parse_value(pair, '1 2') == (1, 2)
    with pytest.raises(ValueError, match='3 values, but at most 2 values'):
        parse_value(pair, '1 2 3')


def test_lists_split_at_white_space_and_check_each_item():
    numbers = info('int', is_list=True, minimum=0)
    assert parse_value(numbers, ' 1  2\t3\n4 ') == (1, 2, 3, 4)
    assert parse_value(numbers, '') == ()
    with pytest.raises(ValueError, match='-1'):
        parse_value(numbers, '1 -1')
    assert parse_value(info('text'), 'two words') == 'two words'
