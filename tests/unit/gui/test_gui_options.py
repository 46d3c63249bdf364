"""The records of options, from which the page makes its controls, and the words of a copied command line."""

from __future__ import annotations

import math
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.cli.gui import GROUPS
from facefusion.cli.headless_run import GROUPS as RUN_GROUPS
from facefusion.cli.parser import Parser, add_config_path, add_options, given_flags
from facefusion.gui.option_records import option_record, option_records, processor_records, sections_of
from facefusion.options import describe
from facefusion.services.command_line import command_line, command_words
from facefusion.services.step_request import request_settings
from facefusion.settings import Settings
from facefusion.steps.arguments import STEP_GROUPS

STEP_OPTIONS = [info for group in STEP_GROUPS for info in describe(group) if not info.no_effect and not info.is_policy]
BASE = Settings([group() for group in STEP_GROUPS])
PARSER = Parser()
add_config_path(PARSER)
add_options(PARSER, RUN_GROUPS)


@pytest.mark.parametrize('info', [info for group in GROUPS for info in describe(group)], ids=lambda info: info.key)
def test_every_option_yields_a_control_of_its_kind(info):
    record = option_record(info, info.default, 'default')
    assert record['kind'] in ('text', 'int', 'float', 'flag', 'path') and record['help'] and record['section']
    assert record['flag'] == '--' + info.key.replace('_', '-') and record['metavar']
    assert record['value'] == record['default'] and isinstance(record['value'], list) == info.is_list
    # A control is a check box, a choice, a slider, a number, a path or a text.
    items = record['value'] if info.is_list else [record['value']]
    for item in items:
        allowed = {'flag': bool, 'int': int, 'float': int | float, 'text': str, 'path': str}[info.kind]
        assert item is None or (isinstance(item, allowed) and (not info.choices or item in info.choices))
        if item is not None and info.minimum is not None:
            assert item >= info.minimum
    if info.minimum is not None and info.maximum is not None:
        assert info.kind in ('int', 'float') and math.isfinite(info.minimum) and info.minimum < info.maximum
    if info.step is not None:
        assert info.kind == 'float' and info.minimum is not None and info.step > 0


def test_the_sections_contain_every_option_once():
    records = option_records(STEP_GROUPS, BASE, {'max_faces': 'ini'})
    sections = sections_of(records)
    listed = [record['key'] for section in sections for record in section['options']]
    assert sorted(listed) == sorted(info.key for info in STEP_OPTIONS)
    assert len({section['name'] for section in sections}) == len(sections)
    layers = {record['key']: record['layer'] for record in records}
    assert layers.pop('max_faces') == 'ini' and set(layers.values()) == {'default'}


def test_processors_name_their_options_and_sources():
    found = {record['name']: record for record in processor_records(BASE)}
    assert found['face_swapper']['takes_sources'] and not found['face_swapper']['takes_audio']
    assert found['lip_syncer']['takes_audio'] and 'lip_syncer_weight' in found['lip_syncer']['options']


# Texts that a parser or a shell could take for something else.
HOSTILE = (
    '',
    '-',
    '--',
    '-x',
    '--max-faces',
    '-1',
    '@file',
    '$HOME',
    '`id`',
    "it's",
    '"',
    'a=b',
    '%PATH%',
    'a\nb',
    '~',
)


def values_of(info):
    """Return a strategy for the JSON values of an option that a flag can set."""
    if info.kind == 'flag':
        item = st.booleans()
    elif info.choices:
        item = st.sampled_from(info.choices)
    elif info.kind == 'int':
        low = int(info.minimum) if info.minimum is not None else -(10**9)
        item = st.integers(low, int(info.maximum) if info.maximum is not None else 10**9)
    elif info.kind == 'float' and info.step is not None:
        steps = round((info.maximum - info.minimum) / info.step)
        item = st.integers(0, steps).map(lambda number: info.minimum + number * info.step)
    elif info.kind == 'float':
        item = st.floats(info.minimum or 0, info.maximum or 1e9, allow_nan=False)
    else:
        letters = st.characters(exclude_categories=('Cs',), exclude_characters='\0')
        item = st.sampled_from(HOSTILE) | st.text(letters, max_size=20)
        item = item.map(lambda text: f'/{text}') if info.kind == 'path' else item
    if not info.is_list:
        return item
    return st.lists(item, min_size=1, max_size=info.most_items or 5)


NAMES = {info.key: info for info in STEP_OPTIONS}


@given(
    st.lists(st.sampled_from(sorted(NAMES)), unique=True, max_size=8).flatmap(
        lambda keys: st.fixed_dictionaries({key: values_of(NAMES[key]) for key in keys})
    )
)
def test_the_words_of_a_step_parse_to_its_settings(args):
    settings = request_settings(BASE, args, STEP_GROUPS)
    words = command_words(settings, BASE)
    assert words[:2] == ['facefusion', 'headless-run']
    flags = given_flags(PARSER.parse_args(words[2:]), STEP_GROUPS)
    for group in STEP_GROUPS:
        for info in describe(group):
            expected = getattr(settings[group], info.key)
            assert flags.get(info.key, getattr(BASE[group], info.key)) == expected, info.key


@given(st.lists(st.text(st.characters(exclude_categories=('Cs',), exclude_characters='\0'), max_size=20), max_size=6))
def test_a_shell_splits_the_line_into_the_words(words):
    assert shlex.split(command_line(words)) == words


@pytest.mark.parametrize('text', HOSTILE)
def test_a_text_that_looks_like_a_flag_stays_a_text(text):
    words = command_words(request_settings(BASE, {'disclosure_text': text}, STEP_GROUPS), BASE)
    assert PARSER.parse_args(words[2:]).disclosure_text == text
    assert shlex.split(command_line(words)) == words


def test_values_of_flags_of_the_server_are_always_written():
    settings = request_settings(BASE, {'max_faces': 5}, STEP_GROUPS)
    assert command_words(settings, settings) == ['facefusion', 'headless-run']
    assert command_words(settings, settings, {'max_faces'})[2:] == ['--max-faces', '5']
