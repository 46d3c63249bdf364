"""Tests that invalid option values are refused with a list of valid values, in every layer of settings."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from fakes.program import ROOT


@pytest.fixture
def words(tmp_path):
    cv2.imwrite(str(tmp_path / 'in.png'), np.full((40, 60, 3), 90, np.uint8))
    return ('headless-run', '--processors', 'face_debugger', '-t', tmp_path / 'in.png', '-o', tmp_path / 'out.png')


@pytest.mark.parametrize(
    ('flags', 'said'),
    [
        (('--face-selector-mode', 'all'), "'all' is not one of: many, one"),
        (('--face-selector-order', 'big-small'), 'left-right, right-left, top-bottom, bottom-top, small-large'),
        (('--processors', 'face_swap'), "'face_swap' is not one of: background_remover, face_debugger"),
        (('--face-debugger-items', 'box'), 'bounding-box, face-landmark-5'),
        (('--output-video-encoder', 'h264'), 'libx264, libx264rgb, libx265'),
        (('--output-video-preset', 'quick'), 'ultrafast, superfast, veryfast'),
        (('--output-audio-encoder', 'mp3'), 'flac, aac, libmp3lame'),
        (('--output-video-quality', '101'), '101 is not a whole number from 0 to 100'),
        (('--output-image-quality', '8.5'), "'8.5' is not a whole number from 0 to 100"),
        (('--output-video-scale', '0.3'), '0.3 is not a number from 0.25 to 8 in steps of 0.25'),
        (('--output-image-scale', 'nan'), 'nan is not a number from 0.25 to 8'),
        (('--output-video-fps', 'fast'), "'fast' is not a number"),
        (('--face-detector-score', '2'), '2 is not a number from 0 to 1'),
        (('--execution-providers', 'metal'), "'metal' is not one of: auto, cpu, cuda, tensorrt, openvino, coreml"),
        (('--execution-thread-count', '-1'), '-1 is not a whole number from'),
        (('--face-detector-margin', *'12345'), '5 values, but at most 4'),
        (('--execution-device-ids', *map(str, range(17))), '17 values, but at most 16'),
        (('--progress', 'xml'), "'xml' is not one of: bar, json, none"),
        (('--log-level', 'all'), "'all' is not one of: error, warn, info, debug"),
        (('--trim-frame-end', 'last'), "'last' is not a whole number"),
        (('--processors',), 'expected at least one argument'),
        (('-t',), 'expected one argument'),
    ],
)
def test_invalid_values_are_refused_with_the_choices(program, words, flags, said):
    text = program.fails(2, 'usage', *words, *flags)
    assert said in text and flags[0].lstrip('-') in text


def test_unknown_options_and_commands_get_a_suggestion(program, words):
    assert 'did you mean --output-path?' in program.fails(2, 'unknown-option', *words, '--outputpath', 'x')
    assert 'did you mean --output-path?' in program.fails(2, 'unknown-option', *words, '--output-paht', 'x')
    program.fails(2, 'usage', *words, 'stray')
    assert 'did you mean headless-run?' in program.fails(2, 'unknown-command', 'headlessrun')
    assert 'headless-run' in program.fails(2, 'unknown-command', 'zzz')


def test_required_options_of_a_run(program, words):
    program.fails(2, 'target-missing', 'headless-run', '-o', 'out.png')
    program.fails(2, 'output-missing', *words[:5])
    program.fails(2, 'source-missing', 'headless-run', *words[3:])


@pytest.mark.parametrize('flags', [(), ('-h',), ('--help',), ('headless-run', '--help'), ('models', 'list', '-h')])
def test_help_is_a_success_on_stdout(program, flags):
    result = program(*flags)
    assert result.code == 0 and result.err == '' and 'usage: facefusion' in result.out


def ini(tmp_path, text):
    path = tmp_path / 'my.ini'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return '--config-path', path


@pytest.mark.parametrize(
    ('text', 'line', 'key', 'said'),
    [
        ('[face_selector]\nface_selector_mode = all\n', 2, 'face_selector_mode', 'not one of: many, one'),
        ('# x\n\n[output_creation]\noutput_video_quality = 200\n', 4, 'output_video_quality', 'from 0 to 100'),
        ('[output_creation]\r\n\r\nOutput_Video_Quality: abc\r\n', 3, 'output_video_quality', 'whole number'),
        ('\ufeff[processors]\nprocessors = face_debugger face_swap\n', 2, 'processors', "'face_swap'"),
        ('[misc]\ndry_run = maybe\n', 2, 'dry_run', 'yes, no, true, false'),
        ('[face_selector]\nface_selector_mode =\n  one\n  two\n', 2, 'face_selector_mode', 'many, one'),
        ('[output_creation]\noutput_image_scale = %(x)s\n', 2, 'output_image_scale', 'is not a number'),
    ],
)
def test_an_invalid_ini_value_is_reported_with_file_line_and_key(program, words, tmp_path, text, line, key, said):
    config = ini(tmp_path, text)
    found = program.fails(2, 'config-value', *words, *config)
    assert f'{config[1]}, line {line}: ' in found and key in found and said in found


@pytest.mark.parametrize(
    ('text', 'line', 'said'),
    [
        ('[output_creation]\n\noutput_video_qualty = 20\n', 3, 'did you mean output_video_quality?'),
        ('[nothing]\nx = 1\n', 2, '[nothing] x'),
        ('[face_selector]\noutput_video_quality = 20\n', 2, 'output_video_quality belongs to [output_creation]'),
        ('[DEFAULT]\nx = 1\n[misc]\n', 2, '[DEFAULT] x'),
    ],
)
def test_an_unknown_ini_key_is_an_error_in_every_command(program, words, tmp_path, text, line, said):
    config = ini(tmp_path, text)
    for command in (words, ('models', 'list')):
        found = program.fails(2, 'config-key', *command, *config)
        assert f'{config[1]}, line {line}: ' in found and said in found


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('output_video_quality = 20\n', 'line: 1'),
        ('[output_creation]\noutput_video_quality\n', '[line 2]'),
        ('[misc]\n[misc]\n', '[line 2]'),
        ('[output_creation]\noutput_video_quality = 1\noutput_video_quality = 2\n', '[line 3]'),
    ],
)
def test_an_invalid_ini_file_is_reported_with_the_line(program, words, tmp_path, text, said):
    assert said in program.fails(2, 'config-invalid', *words, *ini(tmp_path, text))


def test_unreadable_config_files(program, words, tmp_path):
    program.fails(2, 'config-missing', *words, '--config-path', tmp_path / 'no.ini')
    program.fails(2, 'config-unreadable', *words, '--config-path', tmp_path)
    program.fails(2, 'config-unreadable', *words, *ini(tmp_path, b'\xff\xfe\0[misc]'))


def test_an_invalid_variable_is_reported(program, words):
    variable = 'FACEFUSION_FACE_SELECTOR_MODE'
    said = program.fails(2, 'environment-value', *words, environ={variable: 'all'})
    assert variable in said and 'many, one' in said


@pytest.mark.parametrize('exists', [True, False])
def test_a_home_may_be_empty(program, tmp_path, exists):
    home = tmp_path / 'home'
    if exists:
        home.mkdir()
    environ = {'FACEFUSION_HOME': str(home), 'FACEFUSION_JOBS_PATH': ''}
    listed = program('models', 'list', '--format', 'json', environ=environ)
    assert listed.code == 0, listed.err
    assert {record['state'] for record in json.loads(listed.out)} == {'missing'}
    checked = program('doctor', '--execution-providers', 'cpu', '--format', 'json', environ=environ)
    found = {finding['check']: finding for finding in json.loads(checked.out)['findings']}
    assert checked.code == 0, checked.out
    assert str(home) in found['facefusion']['fact'] and str(home / 'jobs') in found['jobs folder']['fact']
    assert home.exists() == exists and not list(home.rglob('*'))


def test_a_run_with_an_empty_home_keeps_its_jobs_there(program, words, tmp_path):
    environ = {'FACEFUSION_HOME': str(tmp_path / 'home'), 'FACEFUSION_JOBS_PATH': ''}
    result = program(*words, '--models-path', ROOT / 'models' / 'weights', environ=environ)
    assert result.code in (0, 6), result.err  # the exit code is 6 when this checkout has no weights
    assert 'catalog' not in result.err
    assert result.code == 6 or (tmp_path / 'home' / 'jobs').is_dir()


JSON = ('--progress', 'json')


@pytest.mark.parametrize(
    ('flags', 'environ', 'reference'),
    [
        ((*JSON, '--nope'), {}, 'unknown-option'),
        (('--face-selector-mode', 'all', '--progress=json'), {}, 'usage'),
        (('--face-selector-mode', 'all', '--prog', 'json'), {}, 'usage'),
        (('--nope',), {'FACEFUSION_PROGRESS': 'json'}, 'unknown-option'),
        ((*JSON, '--config-path', 'none.ini'), {}, 'config-missing'),
        (JSON, {'FACEFUSION_FACE_SELECTOR_MODE': 'all'}, 'environment-value'),
        ((*JSON, '-t', 'none.png'), {}, 'media-missing'),
        ((*JSON, '-t', 'none.png', '--dry-run'), {}, 'media-missing'),
        (('-t', 'none.png'), {'FACEFUSION_PROGRESS': 'json'}, 'media-missing'),
    ],
)
def test_every_failure_is_the_last_json_line(program, words, flags, environ, reference):
    result = program(*words, *flags, environ=environ)
    assert result.code in (1, 2) and f'[{reference}]' in result.err
    failed = [event for event in result.events if event['event'] == 'run_failed']
    assert failed == result.events[-1:]
    assert (failed[0]['error']['reference'], failed[0]['error']['exit_code']) == (reference, result.code)


def test_an_invalid_ini_is_the_last_json_line(program, words, tmp_path):
    result = program(*words, *JSON, *ini(tmp_path, '[misc]\nlog_level = all\n'))
    assert [event['error']['reference'] for event in result.events] == ['config-value']


@pytest.mark.parametrize(
    ('words', 'environ'),
    [
        (('headless-run', '--nope'), {}),
        (('headless-run', '--nope', '--progress', 'bar'), {'FACEFUSION_PROGRESS': 'json'}),
        (('headless-run', '--progress'), {}),
        (('models', 'list', '--nope', '--progress', 'json'), {}),
    ],
)
def test_stdout_is_empty_without_json_lines(program, words, environ):
    result = program(*words, environ=environ)
    assert (result.code, result.out) == (2, '') and '  hint: ' in result.err


def test_flags_override_variables_which_override_the_ini_file(program, words, tmp_path):
    config = ini(tmp_path, '[processors]\nprocessors = face_debugger face_debugger\n[paths]\ntarget_path =\n')
    rest = (*words[3:], '--dry-run')

    def processors(*more, **environ):
        result = program('headless-run', *rest, *config, *more, environ=environ)
        assert result.code == 0, result.err
        return len(json.loads(result.out)['processors'])

    assert processors() == 2
    assert processors(FACEFUSION_PROCESSORS='face_debugger') == 1
    three = ('--processors', *['face_debugger'] * 3)
    assert processors(*three, FACEFUSION_PROCESSORS='face_debugger') == 3


def test_the_ini_file_of_the_home_is_read(program, words, tmp_path):
    home = tmp_path / 'home'
    home.mkdir()
    (home / 'facefusion.ini').write_text('[face_selector]\nface_selector_mode = some\n')
    said = program.fails(2, 'config-value', *words, environ={'FACEFUSION_HOME': str(home)})
    assert str(home / 'facefusion.ini') in said
