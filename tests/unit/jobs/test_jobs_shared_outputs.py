"""Tests of the warning about two running jobs that write the same file."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.job_stores import CLAIM_TIMEOUT, FakeWork, make_queued, make_record, make_store
from fakes.owners import dead_owner

from facefusion.events import Message
from facefusion.jobs import shared_outputs
from facefusion.jobs.record import StepRecord
from facefusion.jobs.runner import JobRunner
from facefusion.jobs.store import JobStore
from facefusion.stopping import StopFlag


def job(job_id, *paths):
    steps = (
        StepRecord(f's{index}', {'target_path': '/t', 'output_path': str(path)}) for index, path in enumerate(paths)
    )
    return replace(make_record(job_id), steps=tuple(steps))


def warnings(store, job_id='own') -> list[str]:
    messages = []
    JobRunner(store, FakeWork(), CLAIM_TIMEOUT, messages.append).run(*store.claim(job_id, 'run'), StopFlag())
    return [event.text for event in messages if isinstance(event, Message) and event.level == 'warn']


@pytest.fixture
def store(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, job('own', tmp_path / 'a.bin', tmp_path / 'b.bin'))
    return store


def test_an_output_shared_with_a_running_job_is_a_warning(store, tmp_path):
    make_queued(
        store, job('other', tmp_path / 'x' / '..' / 'b.bin', tmp_path / 'c.bin'), job('third', tmp_path / 'c.bin')
    )
    store.claim('third', 'run')
    claim, _ = store.claim('other', 'run')
    (messages,) = warnings(store)
    assert f'the job other, run by the process {claim.owner.pid} on {claim.owner.host}, ' in messages
    assert 'b.bin; the last to finish wins' in messages and 'c.bin' not in messages


def test_jobs_that_are_not_running_do_not_count(store, tmp_path):
    make_queued(store, job('waits', tmp_path / 'a.bin'), job('dead', tmp_path / 'a.bin'))
    JobStore(store.root, make_owner=dead_owner).claim('dead', 'run')
    store.create(job('drafted', tmp_path / 'a.bin'))
    assert warnings(store) == []


def test_the_check_is_limited_and_its_errors_do_not_end_the_job(store, tmp_path, monkeypatch):
    make_queued(store, *(job(f'other-{index}', tmp_path / 'a.bin') for index in range(3)))
    holds = [store.claim(f'other-{index}', 'run')[0] for index in range(3)]
    holds[0].path.write_bytes(b'no record')
    assert len(warnings(store)) == 2
    for name, most in (('MAX_JOBS', 0), ('MAX_BYTES', 10)):
        make_queued(store, job(f'own-{most}', tmp_path / 'a.bin'))
        with monkeypatch.context() as patch:
            patch.setattr(shared_outputs, name, most)
            assert warnings(store, f'own-{most}') == []
