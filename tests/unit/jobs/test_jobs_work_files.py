"""Tests of the work files of steps: where they are stored, and when they are deleted with their steps and jobs."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from fakes.job_stores import FakeWork, drain, make_queued, make_record, make_store

from facefusion.jobs.garbage import remove_garbage
from facefusion.jobs.work_files import JobWork, remove_work_files

PLAN, OTHER = 'ab' * 32, 'cd' * 32


@pytest.fixture(params=['store', 'temp'])
def temp(request, tmp_path):
    return None if request.param == 'store' else tmp_path / 'temp'


def begin(work: JobWork, step_id: str = 's0', plan: str = PLAN) -> Path:
    folder = work.begin(step_id, plan)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'segment-00000.nut').write_bytes(b'123')
    return folder


def all_work(tmp_path) -> list[Path]:
    return [path for path in tmp_path.rglob('work-*') if path.is_dir()]


def test_a_step_keeps_its_work_files_and_removes_those_of_other_plans(tmp_path, temp):
    work = JobWork(tmp_path / 'jobs', temp, 'job')
    first, beside = begin(work), begin(work, 's1')
    assert begin(work) == first and work.stored_bytes('s0') == 3
    second = begin(work, plan=OTHER)
    assert not first.exists() and second.exists() and beside.exists()
    work.forget('s0')
    assert not second.exists() and beside.exists() and work.stored_bytes('s0') == 0
    work.forget('s1')
    assert all_work(tmp_path) == [] and (temp is None or not list(temp.rglob('*')))


@pytest.mark.parametrize('removed', [0, 1, 2])
def test_a_process_killed_while_it_removed_empty_folders_leaves_none_to_the_next(tmp_path, removed):
    work = JobWork(tmp_path / 'jobs', tmp_path / 'temp', 'job')
    shutil.rmtree(begin(work))
    (work.noted / 'work-elsewhere').unlink()
    for folder in (work.folder, *work.folder.parents)[:removed]:
        folder.rmdir()
    work.forget('s0')
    assert list((tmp_path / 'temp').iterdir()) == []


def test_work_files_are_deleted_with_their_job(tmp_path, temp):
    store = make_store(tmp_path)
    make_queued(store, make_record('job', folder=tmp_path / 'out'))
    begin(JobWork(store.root, temp, 'job'))
    other = begin(JobWork(store.root, temp, 'other'))
    store.delete('job')
    assert all_work(tmp_path) == [other] and not (store.root / '.work' / 'job').exists()


def test_a_changed_folder_for_work_files_leaves_none_in_the_first(tmp_path):
    begin(JobWork(tmp_path / 'jobs', None, 'job'))
    begin(JobWork(tmp_path / 'jobs', tmp_path / 'a', 'job'))
    last = begin(JobWork(tmp_path / 'jobs', tmp_path / 'b', 'job'))
    assert all_work(tmp_path) == [last] and list((tmp_path / 'a').iterdir()) == []
    last = begin(JobWork(tmp_path / 'jobs', None, 'job'))
    assert all_work(tmp_path) == [last]


def test_a_changed_note_removes_no_other_folder(tmp_path):
    noted, precious = tmp_path / 'jobs' / '.work' / 'job', tmp_path / 'precious' / 'work-1'
    noted.mkdir(parents=True)
    precious.mkdir(parents=True)
    (noted / 'work-elsewhere').write_text(json.dumps(str(tmp_path / 'precious')))
    remove_work_files(noted)
    assert precious.exists()


def test_two_stores_share_a_folder_for_work_files(tmp_path):
    works = [JobWork(tmp_path / name, tmp_path / 'temp', 'job') for name in ('jobs', 'more')]
    first, second = (begin(work) for work in works)
    works[0].forget('s0')
    assert not first.exists() and second.exists()


def test_work_files_of_completed_and_deleted_jobs_are_garbage(tmp_path, temp):
    store = make_store(tmp_path)
    for name in ('done', 'waiting'):
        make_queued(store, make_record(name, folder=tmp_path / 'out'))
        if name == 'done':
            assert drain(store, FakeWork())['done'].state == 'completed'
    folders = {name: begin(JobWork(store.root, temp, name)) for name in ('done', 'waiting', 'gone', 'just-gone')}
    hours_ago = time.time() - 7200
    for path in (store.root / '.work' / 'gone').iterdir():
        os.utime(path, (hours_ago, hours_ago))
    remove_garbage(store)
    assert {name for name, folder in folders.items() if folder.exists()} == {'waiting', 'just-gone'}


def test_work_files_of_a_step_are_removed_after_its_result_is_noted(tmp_path):
    store = make_store(tmp_path)
    noted = []

    class Work(FakeWork):
        def forget(self, job_id, step):
            (results,) = (store.root / '.work' / job_id).glob('*.results')
            noted.append((step.id, json.loads(results.read_text().splitlines()[-1])))

    make_queued(store, make_record('job', steps=2, folder=tmp_path / 'out'))
    assert drain(store, Work(fails={'s1': ValueError('bad')}))['job'].state == 'failed'
    assert [step for step, _ in noted] == ['s0'] and 'output' in noted[0][1]
