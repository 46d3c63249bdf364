"""Tests that a plan is restored unchanged from its record and that an invalid record is refused."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from fakes import ffmpeg_program as ffmpeg
from fakes.fidelity_clips import AAC, UNEVEN, X264, pictures, sound

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import InternalError
from facefusion.events import silent
from facefusion.media.file_stamp import FileStamp, check_unchanged
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.sound import probe_sound
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan_record import PLAN_VERSION, plan_as_record, plan_from_record
from facefusion.pipeline.planning import make_plan
from facefusion.processors.cast import Cast, CastPerson
from facefusion.settings import resolve

TEXTS = '1\n00:00:00,200 --> 00:00:00,700\nA line\n'
ABOUT = ';FFMETADATA1\ntitle=A title\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=800\ntitle=Opening\n'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with images and a variable-rate clip that has two audio tracks, subtitles, tags and a chapter."""
    folder = tmp_path_factory.mktemp('record')
    (folder / 'texts.srt').write_text(TEXTS, encoding='utf-8')
    (folder / 'about.txt').write_text(ABOUT, encoding='utf-8')
    inputs = (*pictures(1, size='64x48'), *sound(1.4, 'mono'), *sound(1.2), '-i', folder / 'texts.srt')
    maps = (*[word for k in range(4) for word in ('-map', k)], '-map_metadata', 4, '-map_chapters', 4)
    words = ('-i', folder / 'about.txt', *maps, *UNEVEN, *X264, *AAC, '-c:a:1', 'flac', '-c:s', 'srt')
    ffmpeg.ffmpeg('-v', 'error', *inputs, *words, folder / 'clip.mkv')
    pixels = np.full((48, 64, 3), 90, np.uint8)
    for name in ('face.png', 'picture.png'):
        write_image(PixelFrame(pixels), folder / name, 'png', 100, silent)
    return folder


@pytest.fixture
def planned(folder):
    def plan(target='clip.mkv', output='out.mp4', **flags):
        flags = {'source_paths': (str(folder / 'face.png'),), **flags}
        paths = PathOptions(flags.pop('source_paths'), str(folder / target), str(folder / output))
        settings = resolve(GROUPS, {'face_detector_model': 'centerface', **flags}, None, {}).replace(paths)
        return replace(make_plan(settings, 3, 7), batch=4)

    return plan


def assert_same(first, second, where='plan'):
    """Check that all nested fields have the same type and value."""
    assert type(first) is type(second), where
    if isinstance(first, FileStamp):
        return
    if is_dataclass(first):
        for entry in fields(first):
            assert_same(getattr(first, entry.name), getattr(second, entry.name), f'{where}.{entry.name}')
    elif isinstance(first, np.ndarray):
        assert first.dtype == second.dtype and np.array_equal(first, second), where
    elif isinstance(first, tuple | list):
        assert len(first) == len(second), where
        for k, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f'{where}[{k}]')
    elif isinstance(first, dict):
        assert list(first) == list(second), where
        for key, value in first.items():
            assert_same(value, second[key], f'{where}[{key}]')
    else:
        assert first == second, where


def through_json(plan):
    return json.loads(json.dumps(plan_as_record(plan)))


PLANS = {
    'a picture': {'target': 'picture.png', 'output': 'out.png', 'output_image_scale': 2.0},
    'a clip': {},
    'a trimmed clip': {'trim_frame_start': 5, 'trim_frame_end': 20, 'output_video_fps': 29.97, 'output': 'out.mkv'},
    'a chain without sources': {'processors': ('face_debugger', 'face_debugger'), 'source_paths': ()},
}


@pytest.mark.parametrize('flags', PLANS.values(), ids=PLANS)
def test_a_plan_comes_back_from_its_record(planned, flags):
    plan = planned(**flags)
    again = plan_from_record(through_json(plan))
    assert_same(plan, again)
    assert plan.summary() == again.summary() and through_json(again) == through_json(plan)
    for name in ('requirements', 'finds_faces', 'network_threads', 'measurements'):
        assert getattr(again, name) == getattr(plan, name)
    if plan.video is not None:
        assert again.video.timeline.sources.dtype == again.video.timeline.pts.dtype == np.int64
        assert again.video.encoder == plan.video.encoder and again.video.audio == plan.video.audio
        assert again.video.extras == plan.video.extras and again.target == plan.target


def test_a_plan_goes_to_another_process(planned):
    plan = planned()
    there = pickle.loads(pickle.dumps(plan))
    assert plan_as_record(there) == plan_as_record(plan)
    # The stamp of the target file is pickled too, and still matches the file.
    assert there.target.stamp.difference(plan.target.path) == ''


def test_the_clip_covers_the_fields_of_the_record(planned):
    plan = planned()
    assert len({*np.diff(plan.target.pts).tolist()}) > 2 and len(plan.video.segments) > 3
    assert len(plan.video.audio.tracks) == 2 and len(plan.video.extras.subtitles) == 1
    assert plan.video.extras.has_chapters and isinstance(plan.video.timeline.time_base, Fraction)


def test_a_sound_comes_back_with_a_new_stamp(planned, folder):
    plan = replace(planned(), sounds=(probe_sound(folder / 'clip.mkv'),))
    again = plan_from_record(through_json(plan))
    assert_same(plan, again)
    check_unchanged(again.sounds[0])
    assert again.sounds[0].stamp is not again.target.stamp


def test_the_cast_of_a_face_map_comes_back(planned):
    images = ((Path('/a.png'),), (Path('/b.png'), Path('/c.png')))
    cast = Cast(images, (Path('/d.wav'),), (CastPerson(0, 1), CastPerson(4, voice=0)))
    plan = replace(planned(), cast=cast)
    again = plan_from_record(through_json(plan))
    assert_same(plan, again)
    assert again.cast == cast


def test_a_target_comes_back_with_a_new_stamp(planned, folder):
    record = through_json(planned())
    (folder / 'other.mkv').write_bytes((folder / 'clip.mkv').read_bytes())
    record['target']['path'] = str(folder / 'other.mkv')
    check_unchanged(plan_from_record(record).target)
    (folder / 'other.mkv').unlink()
    with pytest.raises(FileNotFoundError):
        plan_from_record(record)


@pytest.mark.parametrize('version', [PLAN_VERSION + 1, PLAN_VERSION - 1, str(PLAN_VERSION), None])
def test_a_plan_of_another_version_is_refused(planned, version):
    with pytest.raises(InternalError, match='cannot be read') as caught:
        plan_from_record(through_json(planned()) | {'version': version})
    assert caught.value.reference == 'plan-unreadable' and str(version) in caught.value.cause


@pytest.mark.parametrize('flags', [PLANS['a picture'], PLANS['a clip']], ids=['a picture', 'a clip'])
def test_a_damaged_record_is_refused(planned, flags):
    whole = through_json(planned(**flags))
    names = set(whole) - {'version'} - ({'kind'} if whole['kind'] == 'video' else set())
    damaged = [{key: value for key, value in whole.items() if key != name} for name in names]
    damaged += [whole | {name: 'x'} for name in names - {'output'}]
    for part in ('target', *(['video'] if whole['video'] else [])):
        for name in whole[part]:
            if name in ('seen', 'extras', 'gaps', 'content', 'is_counted', 'clock'):
                continue
            less = copy.deepcopy(whole)
            del less[part][name]
            damaged.append(less)
    if whole['video']:
        for path, value in (('time_base', 'a/b'), ('time_base', '1/0'), ('pts', ['x']), ('sources', None)):
            other = copy.deepcopy(whole)
            other['video']['timeline'][path] = value
            damaged.append(other)
    plan_from_record(whole)
    for record in (*damaged, {}):
        with pytest.raises(InternalError) as caught:
            plan_from_record(record)
        assert caught.value.reference == 'plan-unreadable', record


def test_other_objects_than_plain_data_are_a_bug(planned):
    plan = planned()
    with pytest.raises(TypeError, match='object is not plain data'):
        plan_as_record(replace(plan, settings={'key': object()}))
