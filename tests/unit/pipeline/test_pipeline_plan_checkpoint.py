from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes.tiny_clip import make_tiny_clip

from facefusion.cli.headless_run import GROUPS
from facefusion.pipeline.fingerprints import RunDigests
from facefusion.pipeline.options import PathOptions
from facefusion.pipeline.plan_checkpoint import FILE_NAME, OTHER_VERSION, describe_changes, load_plan, save_plan
from facefusion.pipeline.planning import make_plan
from facefusion.settings import resolve

DIGESTS = RunDigests('t', 'a', 'p', (), {'the target': 't', 'the settings': {'quality': 80}})


@pytest.fixture
def plan(tmp_path):
    clip = make_tiny_clip(tmp_path / 'clip.mp4', 20)
    settings = resolve(GROUPS, {'processors': ('face_debugger',)}, None, {})
    return make_plan(settings.replace(PathOptions((), str(clip), str(tmp_path / 'out.mp4'))), 2)


def test_a_stored_plan_is_resumed_with_the_current_paths(plan, tmp_path):
    save_plan(tmp_path, replace(plan, batch=8), DIGESTS)
    now = replace(plan, output=tmp_path / 'other.mp4', workers=1, processes=3)
    taken = load_plan(tmp_path, now, DIGESTS)
    assert taken.batch == 8
    assert (taken.output, taken.workers, taken.processes, taken.target) == (now.output, 1, 3, now.target)
    assert describe_changes(tmp_path, DIGESTS) == ''
    assert [path.name for path in tmp_path.glob('plan*')] == [FILE_NAME]


def test_a_plan_of_another_digest_is_not_used_and_the_difference_is_described(plan, tmp_path):
    save_plan(tmp_path, replace(plan, batch=8), DIGESTS)
    other = replace(DIGESTS, plan='q', parts={**DIGESTS.parts, 'the settings': {'quality': 60}})
    assert load_plan(tmp_path, plan, other) is plan
    assert describe_changes(tmp_path, other) == 'the settings changed'


@pytest.mark.parametrize('damage', ['{', '[]', '{"digest": "p", "plan": {"version": 99}}', '{"digest": "p"}'])
def test_a_damaged_plan_or_one_of_another_version_is_not_used(plan, tmp_path, damage):
    (tmp_path / FILE_NAME).write_text(damage, encoding='ascii')
    assert load_plan(tmp_path, plan, DIGESTS) is plan


def test_work_files_of_another_version_are_reported(plan, tmp_path):
    assert describe_changes(tmp_path, DIGESTS) == ''
    (tmp_path / 'chunk-000000000.npz').touch()
    assert describe_changes(tmp_path, DIGESTS) == OTHER_VERSION
    save_plan(tmp_path, plan, DIGESTS)
    record = json.loads((tmp_path / FILE_NAME).read_text(encoding='ascii'))
    (tmp_path / FILE_NAME).write_text(json.dumps(record | {'digest': 'x', 'plan': {'version': 99}}), encoding='ascii')
    assert describe_changes(tmp_path, DIGESTS) == OTHER_VERSION
    assert describe_changes(tmp_path / 'none', DIGESTS) == ''
