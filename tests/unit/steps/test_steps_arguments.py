from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import exercise

from facefusion.cli.headless_run import GROUPS, PROCESS_GROUPS
from facefusion.errors import UsageError
from facefusion.events import silent
from facefusion.faces.options import FaceDetectorOptions, FaceSelectorOptions
from facefusion.inference.options import ExecutionOptions
from facefusion.jobs.options import HaltOptions, NotifyOptions, PatternOptions, QueueOptions
from facefusion.media.options import OutputOptions, TrimOptions
from facefusion.models.choice import Choice, EmbeddedModels
from facefusion.options import describe
from facefusion.pipeline.options import PathOptions
from facefusion.processors.registry import ProcessorsOptions
from facefusion.settings import Settings, resolve
from facefusion.steps.arguments import STEP_GROUPS, freeze, freeze_models, restore
from facefusion.voice.options import VoiceExtractorOptions

DEFAULTS = resolve(GROUPS, {}, None, {})


class Choosing:
    """Models of which the first preferred one is chosen, or the last one, with a better model to suggest."""

    def __init__(self, is_here):
        self._is_here = is_here

    def choose(self, preferred):
        return Choice(preferred[0]) if self._is_here else Choice(preferred[-1], f'better-{preferred[0]}')


def frozen(settings):
    return freeze(settings, EmbeddedModels(), silent).args


def restored(args, version='2', emit=silent):
    return Settings(restore(args, version, emit))


def test_every_option_of_a_step_is_frozen_but_none_of_the_process():
    args = frozen(DEFAULTS)
    assert set(args) == {info.key for group in STEP_GROUPS for info in describe(group) if not info.no_effect}
    others = (*PROCESS_GROUPS, QueueOptions, NotifyOptions, HaltOptions, PatternOptions)
    mine = {info.key for group in others for info in describe(group)}
    assert mine >= {'execution_providers', 'log_level', 'temp_path', 'jobs_path', 'halt_on_error', 'offline'}
    assert not mine & set(args)
    # FaceFusion 3.8 has these arguments for jobs, but never stores them.
    assert not {'config_path', 'execution_device_ids', 'video_memory_strategy', 'download_scope'} & set(args)


def test_frozen_arguments_are_json_and_can_be_restored():
    chosen = DEFAULTS.replace(PathOptions(('a.png', 'b.png'), 't.mp4', 'o.mp4'))
    chosen = chosen.replace(replace(DEFAULTS[TrimOptions], trim_frame_start=3, trim_frame_end=9))
    chosen = chosen.replace(replace(DEFAULTS[OutputOptions], output_video_fps=29.97, output_video_scale=0.5))
    chosen = chosen.replace(ProcessorsOptions(('face_debugger', 'face_swapper')))
    args = frozen(chosen)
    assert json.loads(json.dumps(args)) == args
    again = restored(json.loads(json.dumps(args)))
    for group in STEP_GROUPS:
        if group is not PathOptions:
            assert frozen(chosen.replace(again[group])) == args
    assert again[TrimOptions] == chosen[TrimOptions] and again[OutputOptions] == chosen[OutputOptions]


def test_frozen_models_have_names_and_paths_are_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = frozen(DEFAULTS.replace(PathOptions(('faces/a.png',), 't.mp4', '/far/o.mp4')))
    assert 'auto' not in (args['face_detector_model'], args['face_landmarker_model'], args['face_swapper_model'])
    assert args['source_paths'] == [str(tmp_path / 'faces' / 'a.png')]
    assert args['target_path'] == str(tmp_path / 't.mp4') and args['output_path'] == str(Path.cwd() / '/far/o.mp4')
    nothing = frozen(DEFAULTS.replace(PathOptions()))
    assert (nothing['source_paths'], nothing['target_path'], nothing['output_path']) == ([], None, None)


def test_asked_arguments_still_contain_auto():
    others = ('face_occluder_model', 'face_parser_model', 'face_recognizer_model')
    models = ('face_detector_model', 'face_landmarker_model', 'face_swapper_model', *others)
    chosen = DEFAULTS.replace(replace(DEFAULTS[FaceDetectorOptions], face_detector_model='centerface'))
    step = freeze(chosen, Choosing(is_here=True), silent)
    assert [step.args[key] for key in models] == [
        'centerface',
        'face_mesh',
        'hyperswap_1a_256',
        'xseg_1',
        'bisenet_resnet_34',
        'dlib_face_resnet',
    ]
    assert [step.asked[key] for key in models] == ['centerface', *['auto'] * 5]
    assert {key: value for key, value in step.asked.items() if key not in models} == {
        key: value for key, value in step.args.items() if key not in models
    }
    moved = step.with_paths(target_path='other.mp4')
    assert moved.args['target_path'] == moved.asked['target_path'] == 'other.mp4'
    assert moved.asked['face_swapper_model'] == 'auto'


def test_unknown_and_unset_keys_are_ignored():
    again = restored({'from_the_future': 1, 'face_selector_mode': None, 'trim_frame_end': 7})
    assert again[FaceSelectorOptions] == FaceSelectorOptions() and again[TrimOptions].trim_frame_end == 7


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('face_selector_mode', 'nobody'),
        ('face_selector_mode', 3),
        ('trim_frame_start', '3'),
        ('trim_frame_start', 2.5),
        ('trim_frame_start', True),
        ('output_video_scale', 100),
        ('output_video_scale', 'half'),
        ('processors', 'face_debugger'),
        ('processors', ['no_such']),
        ('processors', [None]),
        ('target_path', 5),
        ('source_paths', {'a': 1}),
    ],
)
def test_an_invalid_value_is_refused_or_reported_for_version_1(key, value):
    with pytest.raises(UsageError) as caught:
        restored({key: value})
    assert caught.value.reference == 'step-argument' and key in caught.value.message
    messages = []
    if key in ('processors', 'face_selector_mode'):
        # A default would do something that the user did not request.
        with pytest.raises(UsageError):
            restored({key: value}, '1')
        return
    again = restored({key: value}, '1', messages.append)
    defaults = Settings(group() for group in STEP_GROUPS)
    assert all(again[group] == defaults[group] for group in STEP_GROUPS)
    (message,) = messages
    assert message.level == 'warn' and key in message.text


@pytest.mark.parametrize('version', ['1', '2'])
def test_the_home_folder_of_an_unknown_user_is_never_guessed(version, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('USERPROFILE', str(tmp_path))
    again = restored({'source_paths': ['~/a.png'], 'target_path': '~/t.png'}, version)
    assert again[PathOptions] == PathOptions((str(tmp_path / 'a.png'),), str(tmp_path / 't.png'))
    with pytest.raises(UsageError, match='output_path') as caught:
        restored({'output_path': '~no-such-user/o.png'}, version)
    assert caught.value.reference == 'step-argument' and 'no-such-user' in caught.value.cause


def test_a_step_of_facefusion_38_keeps_known_values():
    args = {
        'source_paths': None,
        'target_path': 't.png',
        'output_path': 'o.png',
        'processors': ['face_debugger'],
        'face_detector_model': 'yolo_face',
        'face_occluder_model': 'xseg_9',
        'face_detector_angles': [0, 90],
        'face_selector_race': None,
        'deep_swapper_model': 'iperov/somebody_224',
        'output_image_quality': 66,
    }
    messages = []
    again = restored(args, '1', messages.append)
    assert again[ProcessorsOptions].processors == ('face_debugger',)
    assert again[FaceDetectorOptions].face_detector_angles == (0, 90)
    assert again[FaceDetectorOptions].face_detector_model == 'yolo_face'
    assert again[OutputOptions].output_image_quality == 66
    assert ExecutionOptions not in again
    assert [message.text.split(':')[0] for message in messages] == ['face_occluder_model']


def test_a_step_of_facefusion_38_reports_values_without_effect():
    messages = []
    args = {'temp_frame_format': 'jpeg', 'workflow_strategy': 'memory', 'target_frame_amount': 2}
    restored(args | {'temp_pixel_format': 'bgra'}, '1', messages.append)
    assert [(message.level, message.text.split(':')[0]) for message in messages] == [
        ('info', 'temp_frame_format has no effect here'),
        ('info', 'temp_pixel_format has no effect here'),
    ]


@pytest.mark.parametrize(('chain', 'extractor'), [(('face_debugger',), 'auto'), (('loudness',), 'kim_vocal_2')])
def test_the_voice_extractor_is_frozen_only_for_processors_that_need_a_voice(chain, extractor, monkeypatch):
    exercise.install(monkeypatch)
    messages = []
    settings = freeze_models(DEFAULTS.replace(ProcessorsOptions(chain)), Choosing(is_here=True), messages.append)
    assert settings[VoiceExtractorOptions].voice_extractor_model == extractor
    assert ('voice extractor model kim_vocal_2' in messages[0].text) == (extractor != 'auto')
