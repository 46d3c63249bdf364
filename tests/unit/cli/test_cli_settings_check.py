"""Tests that all errors in ini file and variables are reported together, with remarks on settings without effect."""

from __future__ import annotations

from importlib import import_module

import pytest

from facefusion.cli.commands import OPTION_MODULES
from facefusion.cli.headless_run import GROUPS
from facefusion.cli.main import main
from facefusion.cli.peer import MISSING_PARTS, OLDER_NAMES, PEER_KEYS
from facefusion.cli.settings_check import check_ini, check_variables, unknown_variables
from facefusion.errors import UsageError
from facefusion.options import describe
from facefusion.safety.refused import REFUSED_OPTIONS
from facefusion.settings import read_ini

KNOWN = tuple(dict.fromkeys(group for name in OPTION_MODULES for group in import_module(name).GROUPS))
INFOS = {info.key: info for group in KNOWN for info in describe(group)}
# Options of FaceFusion 3.8 that have no effect in this program, with their section and choices.
IDLE = {
    'workflow_strategy': ('workflow', ('disk', 'memory')),
    'temp_frame_format': ('frame_extraction', ('bmp', 'jpeg', 'png', 'tiff')),
    'temp_pixel_format': ('frame_extraction', ('bgr24', 'bgra')),
    'target_frame_amount': ('frame_distribution', ()),
    'download_scope': ('download', ('lite', 'full')),
    'ui_layouts': ('uis', ('benchmark', 'default', 'jobs')),
    'ui_workflow': ('uis', ('instant_runner', 'job_runner', 'job_manager')),
}


@pytest.fixture
def ini(tmp_path):
    def write(text: str):
        path = tmp_path / 'my.ini'
        path.write_text(text)
        return read_ini(path, required=True)

    return write


def test_keys_without_effect_do_not_count_as_invalid(ini):
    loaded = ini('[face_detector]\nface_detector_foo = 1\n[uis]\nui_layouts = default\n')
    with pytest.raises(UsageError, match='has 1 key that cannot be used'):
        check_ini(loaded, KNOWN)


def test_every_unusable_key_is_reported_with_its_verdict(ini):
    loaded = ini(
        '[face_selector]\nface_selector_mode = all\nface_selector_race = asian\nface_selector_sex = female\n'
        '[face_detector]\nface_detectr_score = 0.5\nface-detector-size = 320x320\n'
        '[frame_extraction]\ntemp_frame_format = jpeg\n'
        '[processors]\nprocessors = face_swapper deep_swapper\nage_modifier_model = fran\n'
        '[uis]\nui_layouts = default webcam\n'
        '[misc]\noutput_video_quality = 70\n[execution]\nexecution_device_id = 0\n'
    )
    with pytest.raises(UsageError) as caught:
        check_ini(loaded, KNOWN)
    error = caught.value
    assert error.reference == 'option-refused' and error.message == f'{loaded.path} has 9 keys that cannot be used'
    lines = error.cause.split('\n    ')
    expected = [
        "line 2: [face_selector] face_selector_mode has an invalid value: 'all' is not one of: many, one, reference",
        'line 3: [face_selector] face_selector_race is refused: this program does not sort people',
        'line 4: [face_selector] face_selector_sex is not an option of this version: there is no option',
        'line 6: [face_detector] face_detectr_score is not an option of this version: there is no option',
        'line 7: [face_detector] face-detector-size is not an option of this version: it is called face_detector_size',
        'line 9: [frame_extraction] temp_frame_format has no effect here: frames go',
        'line 11: [processors] processors = deep_swapper is refused: these are models of named people',
        'line 12: [processors] age_modifier_model is ignored: it belongs to the processor age_modifier',
        'line 14: [uis] ui_layouts = webcam is refused: other people',
        'line 16: [misc] output_video_quality is not an option of this version: output_video_quality belongs',
        'line 18: [execution] execution_device_id is not an option of this version: it is called execution_device_ids',
    ]
    assert [line[: len(begin)] for line, begin in zip(lines, expected, strict=True)] == expected
    assert 'did you mean face_detector_score?' in lines[3]
    fates = [found['fate'] for found in error.facts['findings']]
    assert fates == ['refused'] * 5 + ['ignored', 'refused', 'ignored'] + ['refused'] * 3


def test_an_ini_file_with_only_ignored_keys_is_accepted_with_remarks(ini):
    loaded = ini('[processors]\nage_modifier_model = fran\nface_editor_model = live_portrait\n')
    first, second = check_ini(loaded, KNOWN)
    assert first.startswith(f'{loaded.path}, line 2: [processors] age_modifier_model is ignored')
    assert 'the processor face_editor' in second


@pytest.mark.parametrize('key', sorted(PEER_KEYS - {'config_path'}))
def test_every_option_of_facefusion_38_is_known_or_has_a_verdict(ini, key):
    if key in INFOS:
        assert key not in OLDER_NAMES
        return
    loaded = ini(f'[some]\n{key} = x\n')
    if key in REFUSED_OPTIONS:
        with pytest.raises(UsageError) as caught:
            check_ini(loaded, KNOWN)
        assert caught.value.reference == 'option-refused'
    else:
        (said,) = check_ini(loaded, KNOWN)
        assert 'is ignored' in said and key.startswith(tuple(MISSING_PARTS))


def test_older_names_map_to_options():
    assert {*OLDER_NAMES.values()} <= INFOS.keys() and not OLDER_NAMES.keys() & INFOS.keys()


@pytest.mark.parametrize('key', IDLE)
def test_options_without_effect_are_accepted_in_every_layer_with_one_remark(key, ini, tmp_path, capsys):
    info, (section, choices) = INFOS[key], IDLE[key]
    assert info.no_effect and info.section == section and set(info.choices) == set(choices)
    value = str(choices[-1]) if choices else 'yes' if info.kind == 'flag' else '3'
    home = {'FACEFUSION_HOME': str(tmp_path)}
    flag = [info.flag] if info.kind == 'flag' else [info.flag, value]
    config = ini(f'[{section}]\n{key} = {value}\n').path
    for words, environ, where in (
        (flag, {}, info.flag),
        ([], {info.variable: value}, f'the environment variable {info.variable}'),
        (['--config-path', str(config)], {}, f'{config}, line 2: [{section}] {key}'),
    ):
        # A run without a target fails immediately.
        assert main(['headless-run', *words], home | environ) == 2
        said = capsys.readouterr().err
        assert '[target-missing]' in said and said.count('has no effect here') == 1
        assert f'[FACEFUSION.SETTINGS] {where} has no effect here: {info.no_effect}' in said


def test_only_commands_that_run_steps_report_settings_without_effect(tmp_path, capsys):
    (tmp_path / 'facefusion.ini').write_text('[frame_extraction]\ntemp_frame_format = jpeg\n')
    environ = {'FACEFUSION_HOME': str(tmp_path), 'FACEFUSION_OUTPUT_PAHT': 'x', 'FACEFUSION_WORKFLOW_STRATEGY': 'disk'}
    assert main(['job-list', '--format', 'json'], environ) == 0
    assert capsys.readouterr() == ('[]\n', '')
    assert main(['headless-run', '--log-level', 'error'], environ) == 2
    assert 'SETTINGS' not in capsys.readouterr().err


def test_a_live_image_is_refused_with_the_reason(capsys):
    assert main(['headless-run', '--ui-layouts', 'default', 'webcam'], {}) == 2
    said = capsys.readouterr().err
    assert '--ui-layouts webcam is refused [option-refused]' in said and 'a live video' in said


def test_every_variable_with_an_invalid_value_is_reported():
    check_variables({'FACEFUSION_LOG_LEVEL': ' ', 'FACEFUSION_PRIORITY': 'x'}, GROUPS)
    with pytest.raises(UsageError, match='FACEFUSION_LOG_LEVEL has an invalid value') as caught:
        check_variables({'FACEFUSION_LOG_LEVEL': 'all'}, GROUPS)
    assert caught.value.reference == 'environment-value'
    with pytest.raises(UsageError, match='2 environment variables') as caught:
        check_variables({'FACEFUSION_LOG_LEVEL': 'all', 'FACEFUSION_UI_LAYOUTS': 'webcam'}, GROUPS)
    assert caught.value.reference == 'option-refused'
    first, second = caught.value.cause.split('\n    ')
    assert first.startswith("FACEFUSION_LOG_LEVEL has an invalid value: 'all' is not one of: error")
    assert second.startswith('FACEFUSION_UI_LAYOUTS = webcam is refused: other people')


def test_variables_that_are_not_options_are_reported():
    environ = {'FACEFUSION_OUTPUT_PAHT': 'x', 'FACEFUSION_REQUIRE_CONSENT': 'no', 'FACEFUSION_DEBUG': '1', 'PATH': '/'}
    mistyped, policy = unknown_variables(environ | {'FACEFUSION_JOB_ID': 'j'}, KNOWN)
    assert 'FACEFUSION_OUTPUT_PAHT' in mistyped and 'did you mean FACEFUSION_OUTPUT_PATH?' in mistyped
    assert 'FACEFUSION_REQUIRE_CONSENT' in policy and 'only an ini file' in policy
