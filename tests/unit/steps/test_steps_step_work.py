"""Tests of the checks of step outputs before they are joined."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from facefusion.errors import InputError, InternalError
from facefusion.events import silent
from facefusion.jobs.record import StepRecord
from facefusion.settings import Settings
from facefusion.steps.step_run import RunFolders, StepEnvironment
from facefusion.steps.step_work import LocalStepWork
from facefusion.stopping import StopFlag


@pytest.fixture
def work(tmp_path):
    return LocalStepWork(Settings([]), StepEnvironment(None, RunFolders(tmp_path / 'jobs', None), {}))


def step(path: Path, name: str) -> StepRecord:
    path.write_bytes(name.encode())
    digest = hashlib.sha256(name.encode()).hexdigest()
    return StepRecord(name, {}, 'completed', output={'path': str(path), 'size': len(name), 'sha256': digest})


def test_a_changed_file_is_not_joined(work, tmp_path):
    steps = [step(tmp_path / f'{name}.mp4', name) for name in ('one', 'two')]
    (tmp_path / 'two.mp4').write_bytes(b'six')
    with pytest.raises(InputError, match=r'two\.mp4 was changed') as caught:
        work.join('job', steps, tmp_path / 'out.mp4', silent, StopFlag())
    assert caught.value.reference == 'clip-changed' and not (tmp_path / 'out.mp4').exists()


def test_a_step_without_a_file_is_not_joined(work, tmp_path):
    with pytest.raises(InternalError, match='completed without an output'):
        work.join('job', [StepRecord('one', {}, 'completed')], tmp_path / 'out.mp4', silent, StopFlag())
