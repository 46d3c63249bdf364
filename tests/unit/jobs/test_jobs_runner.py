"""Tests of runs of a job in which joining the files of its steps fails."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, content, make_queued, make_record, make_store

from facefusion.events import silent
from facefusion.jobs.record import StepRecord
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.steps import requeued
from facefusion.stopping import StopFlag


class Joining(FakeWork):
    """Work whose first join fails, after it may have deleted a clip."""

    def __init__(self, error=None, removes=None):
        super().__init__()
        self.error, self.removes = error, removes

    def forget(self, job_id, step) -> None:
        pass

    def join(self, job_id, steps, output, emit, flag):
        if self.removes is not None:
            Path(steps[self.removes].output['path']).unlink()
            self.removes = None
        error, self.error = self.error, None
        if error is not None:
            raise error
        super().join(job_id, steps, output, emit, flag)


@pytest.fixture
def store(tmp_path):
    store = make_store(tmp_path)
    args = {'target_path': str(tmp_path / 'target.bin'), 'output_path': str(tmp_path / 'out.bin')}
    steps = (StepRecord('s0', args), StepRecord('s1', args))
    make_queued(store, replace(make_record('x'), steps=steps))
    return store


def run(store, work, action='run'):
    claim, record = store.claim('x', action)
    return JobRunner(store, work, CLAIM_TIMEOUT, silent).run(claim, requeued(record), StopFlag())


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EACCES, errno.ENOENT], ids=os.strerror)
def test_a_failed_join_fails_the_job_and_a_retry_only_joins(store, tmp_path, number):
    work = Joining(OSError(number, os.strerror(number)))
    outcome = run(store, work)
    assert (outcome.state, store.open('x').state, store.claimed_files()) == ('failed', 'failed', [])
    assert os.strerror(number) in outcome.error.cause
    assert run(store, work, 'retry').state == 'completed'
    assert work.ran == ['s0', 's1']
    assert (tmp_path / 'out.bin').read_bytes() == content('s0') + content('s1')


def test_a_clip_deleted_before_the_join_is_created_again(store, tmp_path):
    work = Joining(removes=0)
    assert run(store, work).state == 'failed'
    assert run(store, work, 'retry').state == 'completed'
    assert work.ran == ['s0', 's1', 's0']
    assert (tmp_path / 'out.bin').read_bytes() == content('s0') + content('s1')
