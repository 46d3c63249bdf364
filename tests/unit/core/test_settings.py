from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facefusion.cli.settings_check import check_ini
from facefusion.errors import UsageError
from facefusion.options import option
from facefusion.settings import Settings, home_path, program_path, read_ini, resolve


@dataclass(frozen=True)
class Colours:
    tint: str = option('text', 'red', '', section='colours', choices=('red', 'green', 'blue', 'grey'))
    shade: float = option('float', 0.5, '', section='colours', minimum=0.0, maximum=1.0, step=0.05)
    bright: bool = option('flag', False, '', section='colours', stored='job')


@dataclass(frozen=True)
class Files:
    source_paths: tuple[str, ...] = option('path', (), '', section='paths', is_list=True)
    target_path: str | None = option('path', None, '', section='paths')
    device_ids: tuple[int, ...] = option('int', (0,), '', section='execution', is_list=True, minimum=0)


@dataclass(frozen=True)
class Pairs:
    numbers: tuple[int, ...] = option('int', (), '', section='pairs', is_list=True, most_items=2)
    files: tuple[str, ...] = option('path', (), '', section='pairs', is_list=True, most_items=2)


GROUPS = (Colours, Files)


@pytest.fixture
def ini(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / 'facefusion.ini'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_ini(path, required=True)

    return write


LAYERS = {'default': 'red', 'ini': 'green', 'environment': 'blue', 'flag': 'grey'}


@given(st.sets(st.sampled_from(['ini', 'environment', 'flag'])))
def test_the_nearest_layer_wins(tmp_path_factory, given_layers):
    loaded = None
    if 'ini' in given_layers:
        path = tmp_path_factory.mktemp('ini') / 'facefusion.ini'
        path.write_text(f'[colours]\ntint = {LAYERS["ini"]}\n')
        loaded = read_ini(path, required=True)
    environ = {'FACEFUSION_TINT': LAYERS['environment']} if 'environment' in given_layers else {}
    flags = {'tint': LAYERS['flag']} if 'flag' in given_layers else {}
    nearest = [name for name in ('default', 'ini', 'environment', 'flag') if name == 'default' or name in given_layers]
    assert resolve(GROUPS, flags, loaded, environ)[Colours].tint == LAYERS[nearest[-1]]


def test_layers_merge_key_by_key(ini):
    loaded = ini('[colours]\nshade = 0.25\n[execution]\ndevice_ids = 1 2\n')
    settings = resolve(GROUPS, {'tint': 'blue'}, loaded, {'FACEFUSION_BRIGHT': 'yes'})
    assert settings[Colours] == Colours('blue', 0.25, True)
    assert settings[Files] == Files((), None, (1, 2))


def test_merged_values_are_frozen():
    settings = resolve(GROUPS, {}, None, {})
    with pytest.raises(FrozenInstanceError):
        settings[Colours].tint = 'blue'


def test_flags_that_are_false_or_empty_still_count(ini):
    loaded = ini('[colours]\nbright = yes\n[paths]\nsource_paths = a b\n')
    settings = resolve(GROUPS, {'bright': False, 'source_paths': ()}, loaded, {})
    assert settings[Colours].bright is False and settings[Files].source_paths == ()


def test_blank_values_are_absent(ini):
    loaded = ini('[colours]\ntint =\nshade = \t\n')
    assert resolve(GROUPS, {}, loaded, {'FACEFUSION_TINT': ''})[Colours] == Colours()
    assert resolve(GROUPS, {}, None, {'FACEFUSION_DEVICE_IDS': ' '})[Files] == Files()
    assert ini('[nothing]\nof_this =\n').values == {}


def test_blank_unknown_keys_are_ignored(ini):
    check_ini(ini('[somewhere]\nolder_key =\n'), GROUPS)


def test_a_byte_order_mark_is_skipped(ini):
    assert ini(b'\xef\xbb\xbf[colours]\r\ntint = blue\r\n').values == {('colours', 'tint'): 'blue'}


def test_percent_signs_and_hashes_are_plain_text(ini):
    loaded = ini('[paths]\ntarget_path = 100%/%(here)s/a#b.mp4\n')
    assert resolve(GROUPS, {}, loaded, {})[Files].target_path == '100%/%(here)s/a#b.mp4'


def test_lists_in_the_ini_split_at_white_space_and_in_variables_at_the_path_separator(ini):
    loaded = ini('[paths]\nsource_paths = a.png\n  b.png c.png\n')
    assert resolve(GROUPS, {}, loaded, {})[Files].source_paths == ('a.png', 'b.png', 'c.png')
    environ = {'FACEFUSION_SOURCE_PATHS': f'my face.png{os.pathsep}b.png', 'FACEFUSION_DEVICE_IDS': '3 4'}
    settings = resolve(GROUPS, {}, None, environ)
    assert settings[Files] == Files(('my face.png', 'b.png'), None, (3, 4))


@pytest.mark.parametrize(
    'value',
    [
        '"my pictures/a face.png" b.png',
        '\n  my pictures/a face.png\n\n  b.png',
        '\n\tmy pictures/a face.png\r\n b.png ',
    ],
)
def test_paths_with_spaces_in_an_ini(ini, value):
    loaded = ini(f'[paths]\nsource_paths ={value}\n')
    check_ini(loaded, GROUPS)
    assert resolve(GROUPS, {}, loaded, {})[Files].source_paths == ('my pictures/a face.png', 'b.png')


def test_an_unpaired_quote_is_reported_with_its_line(ini):
    with pytest.raises(UsageError, match=r'line 3: .paths. source_paths') as caught:
        check_ini(ini('[paths]\n\nsource_paths = "a b.png\n'), GROUPS)
    assert caught.value.reference == 'config-value' and 'double quote' in caught.value.cause


def test_a_value_may_start_on_the_next_line(ini):
    loaded = ini('[colours]\ntint =\n  blue\nshade =\n  0.25\n[execution]\ndevice_ids =\n  1\n  2\n')
    check_ini(loaded, GROUPS)
    settings = resolve(GROUPS, {}, loaded, {})
    assert settings[Colours] == Colours('blue', 0.25) and settings[Files].device_ids == (1, 2)


@pytest.mark.parametrize(
    ('text', 'line', 'place'),
    [
        ('[colours]\n  tint = pink\n', 2, '[colours] tint'),
        ('[colours]\n\n  tint = blue\n  shade = 0.5\n  bright = maybe\n', 5, '[colours] bright'),
        ('[paths]\nsource_paths =\n  tint = a\n  [colours]\n  shade: b\n[colours]\nshade = 7\n', 7, '[colours] shade'),
        ('[paths]\ntarget_path = a\n# tint = b\n\n  c\n[colours]\n; x\ntint =\n\n  pink\n', 8, '[colours] tint'),
        ('[DEFAULT]\ntint = blue\n', 2, '[DEFAULT] tint'),
        ('[colours]\ntint = blue\n[DEFAULT]\n  tint = blue\n', 4, '[DEFAULT] tint'),
        ('  [colours]  \n  Tint = pink\n', 2, '[colours] tint'),
        ('[paths]\ntarget_path = a\x0bb\u2028c\n[colours]\ntint = pink\n', 4, '[colours] tint'),
        ('[colours]\r\n\r\ntint key = pink\r\n', 3, '[colours] tint key'),
        ('[paths]\n[colours]\ntint = pink\n', 3, '[colours] tint'),
    ],
)
def test_the_reported_line_of_a_key_is_right(ini, text, line, place):
    loaded = ini(text)
    with pytest.raises(UsageError) as caught:
        check_ini(loaded, GROUPS)
    assert caught.value.message.startswith(f'{loaded.path}, line {line}: {place} ')


def test_a_missing_ini_file(tmp_path):
    assert read_ini(tmp_path / 'none.ini', required=False) is None
    with pytest.raises(UsageError, match=r'none.ini') as caught:
        read_ini(tmp_path / 'none.ini', required=True)
    assert caught.value.reference == 'config-missing'


@pytest.mark.parametrize('damage', [b'tint = blue\n', b'[colours\ntint = blue', b'[a]\nx=1\nx=2\n', b'[a]\nword\n'])
def test_an_invalid_ini_file_is_reported_with_the_line(ini, damage):
    with pytest.raises(UsageError, match=r'facefusion.ini') as caught:
        ini(damage)
    assert caught.value.reference == 'config-invalid'
    assert 'line' in caught.value.cause


@pytest.mark.parametrize('damage', [b'[a]\nx = \xff\xfe\n', None])
def test_an_unreadable_ini_file(tmp_path, damage):
    path = tmp_path / 'facefusion.ini'
    path.mkdir() if damage is None else path.write_bytes(damage)
    with pytest.raises(UsageError) as caught:
        read_ini(path, required=False)
    assert caught.value.reference == 'config-unreadable' and caught.value.cause


def test_an_unknown_key_is_reported_with_file_line_and_a_suggestion(ini):
    loaded = ini('# first\n[colours]\ntint = red\n\n  \nshde = 0.5\n')
    with pytest.raises(UsageError) as caught:
        check_ini(loaded, GROUPS)
    assert caught.value.message.startswith(f'{loaded.path}, line 6: [colours] shde')
    assert (caught.value.reference, caught.value.hint) == ('config-key', 'did you mean shade?')


def test_a_known_key_in_the_wrong_section_is_unknown(ini):
    with pytest.raises(UsageError, match=r'line 2: .paths. tint'):
        check_ini(ini('[paths]\ntint = red\n'), GROUPS)


@pytest.mark.parametrize(
    ('text', 'cause'),
    [
        ('[colours]\ntint = pink', 'red, green, blue'),
        ('[colours]\nshade=0.52', 'steps of 0.05'),
        ('[colours]\nBRIGHT: maybe', 'yes, no'),
        ('[execution]\ndevice_ids = 0 x', "'x' is not a whole number"),
    ],
)
def test_an_invalid_ini_value_is_reported_with_file_line_key_and_cause(ini, text, cause):
    loaded = ini(text)
    for use in (lambda: check_ini(loaded, GROUPS), lambda: resolve(GROUPS, {}, loaded, {})):
        with pytest.raises(UsageError) as caught:
            use()
        assert caught.value.reference == 'config-value'
        assert f'{loaded.path}, line 2: [' in caught.value.message
        assert cause in caught.value.cause


@pytest.mark.parametrize(('key', 'variable'), [('numbers', '1 2 3'), ('files', os.pathsep.join('abc'))])
def test_too_many_items_are_refused_in_ini_and_environment(ini, key, variable):
    loaded = ini(f'[pairs]\n{key} = 1 2 3\n')
    for use in (
        lambda: check_ini(loaded, [Pairs]),
        lambda: resolve([Pairs], {}, None, {f'FACEFUSION_{key.upper()}': variable}),
    ):
        with pytest.raises(UsageError) as caught:
            use()
        assert '3 values, but at most 2' in caught.value.cause


def test_an_invalid_variable_is_reported(ini):
    with pytest.raises(UsageError, match='FACEFUSION_SHADE') as caught:
        resolve(GROUPS, {}, None, {'FACEFUSION_SHADE': '2'})
    assert caught.value.reference == 'environment-value' and 'from 0 to 1' in caught.value.cause


def test_replacing_a_group_does_not_change_the_original_settings():
    first = resolve(GROUPS, {}, None, {})
    second = first.replace(Colours('blue'))
    assert (first[Colours].tint, second[Colours].tint) == ('red', 'blue')
    assert second[Files] is first[Files]
    assert Colours in first and str not in first
    with pytest.raises(KeyError):
        first[str]


def test_records_of_step_options_and_of_process_options():
    settings = Settings([Colours(), Files(('a',), None, (0, 1))])
    assert settings.as_record() == {
        'tint': 'red',
        'shade': 0.5,
        'source_paths': ['a'],
        'target_path': None,
        'device_ids': [0, 1],
    }
    assert settings.as_record('job') == {'bright': False}


def test_home_is_the_program_folder_by_default(tmp_path):
    assert (program_path() / 'facefusion' / 'settings.py').is_file()
    assert home_path({}) == program_path()
    assert home_path({'FACEFUSION_HOME': ''}) == home_path({})
    assert home_path({'FACEFUSION_HOME': str(tmp_path)}) == tmp_path


def test_home_may_start_with_a_tilde_and_have_quotes(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    assert home_path({'FACEFUSION_HOME': '~/my program'}) == tmp_path / 'my program'
    assert home_path({'FACEFUSION_HOME': '"/my program" '}) == Path('/my program')
    assert home_path({'FACEFUSION_HOME': ' '}) == program_path()
    with pytest.raises(UsageError, match='FACEFUSION_HOME') as caught:
        home_path({'FACEFUSION_HOME': '~no-such-user'})
    assert caught.value.reference == 'environment-value'


def test_paths_of_ini_and_environment_may_start_with_a_tilde_and_have_quotes(ini, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    loaded = ini('[paths]\nsource_paths = ~/a.png "~/b c.png"\ntarget_path = "~/my clip.mp4"\n')
    check_ini(loaded, GROUPS)
    expected = Files((str(tmp_path / 'a.png'), str(tmp_path / 'b c.png')), str(tmp_path / 'my clip.mp4'))
    assert resolve(GROUPS, {}, loaded, {})[Files] == expected
    environ = {
        'FACEFUSION_SOURCE_PATHS': os.pathsep.join(['~/a.png', ' "~/b c.png"', '']),
        'FACEFUSION_TARGET_PATH': '"~/my clip.mp4" ',
    }
    assert resolve(GROUPS, {}, None, environ)[Files] == expected
    with pytest.raises(UsageError, match='FACEFUSION_TARGET_PATH') as caught:
        resolve(GROUPS, {}, None, {'FACEFUSION_TARGET_PATH': '~no-such-user/x'})
    assert 'no user no-such-user' in caught.value.cause
