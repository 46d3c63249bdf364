"""The board of a store: only changes are read."""

from __future__ import annotations

import pytest
from fakes.job_stores import FakeWork, drain, make_queued, make_record, make_store
from fakes.owners import dead_owner

from facefusion.jobs.attempt import AttemptLog
from facefusion.jobs.board import Board
from facefusion.jobs.queue_order import move_before
from facefusion.jobs.record import AttemptRecord, now_text
from facefusion.jobs.store import JobStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def seen(changes):
    return sorted((summary['id'], summary['state']) for summary in changes.changed), changes.gone


def test_each_change_of_a_job_is_found_once(tmp_path):
    store = make_store(tmp_path)
    board = Board(store)
    assert seen(board.refresh()) == ([], [])
    store.create(make_record('draft'))
    make_queued(store, make_record('x', 2, tmp_path))
    assert seen(board.refresh()) == ([('draft', 'drafted'), ('x', 'queued')], [])
    assert seen(board.refresh()) == ([], [])
    drain(store, FakeWork())
    assert seen(board.refresh()) == ([('x', 'completed')], [])
    store.delete('draft')
    assert seen(board.refresh()) == ([], ['draft'])
    assert [summary['id'] for summary in board.summaries()] == ['x']


def test_a_summary_has_the_facts_of_a_board(tmp_path):
    store = make_store(tmp_path)
    store.create(make_record('x', 2, tmp_path))
    board = Board(store)
    (summary,) = board.refresh().changed
    assert summary['output_paths'] == [str(tmp_path / 'x-0.bin'), str(tmp_path / 'x-1.bin')]
    assert summary['target_path'] == str(tmp_path / 'target.bin')
    assert summary['worker'] is summary['progress'] is summary['step_index'] is None
    assert summary['steps'] == 2


def test_the_progress_of_a_running_job_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr('facefusion.jobs.attempt.PROGRESS_SECONDS', 0)
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 2, tmp_path))
    claim, record = store.claim('x', 'run')
    log = AttemptLog(store.files, claim.folder, AttemptRecord('h', 1, claim.owner.nonce, now_text()))
    log.begin()
    board = Board(store)
    board.refresh()
    log.step_started(record.steps[1], 1, 2)
    log.progress('render', 5, 10, rate=2.5, seconds_left=2.0, detail='')
    (summary,) = board.refresh().changed
    assert summary['state'] == 'running' and summary['step_index'] == 1
    expected = {'stage': 'render', 'done': 5, 'total': 10, 'rate': 2.5, 'seconds_left': 2.0, 'detail': ''}
    assert summary['progress'] == expected
    assert summary['worker']['pid'] == claim.owner.pid
    assert board.refresh().changed == []


def test_the_death_of_a_process_is_found_although_no_file_changes(tmp_path):
    owner = dead_owner()
    store = JobStore(tmp_path / 'jobs', make_owner=lambda: owner)
    make_queued(make_store(tmp_path), make_record('x', 1, tmp_path))
    store.claim('x', 'run')
    clock = Clock()
    board = Board(make_store(tmp_path), clock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('facefusion.ownership._is_running', lambda pid: True)
        assert board.refresh().changed[0]['worker']['dead'] is False
    assert board.refresh().changed == []
    clock.now += 10
    assert board.refresh().changed[0]['worker']['dead'] is True


def test_an_unchanged_store_is_not_listed_again(tmp_path, monkeypatch):
    store = make_store(tmp_path)
    make_queued(store, *(make_record(f'x{number}') for number in range(5)))
    clock = Clock()
    board = Board(store, clock)
    board.refresh()
    clock.now += 10
    board.refresh()
    calls = []
    monkeypatch.setattr(store, 'job_files', lambda: calls.append('list') or {})
    monkeypatch.setattr('facefusion.jobs.board._stamp_of', lambda path: calls.append(path) or (0, 0, 0))
    board.refresh()
    assert calls == []


def test_queued_jobs_are_in_the_order_in_which_they_run(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, *(make_record(job_id) for job_id in 'abc'))
    board = Board(store)
    move_before(store, 'c', 'a')
    board.refresh()
    assert [summary['id'] for summary in board.summaries()] == ['c', 'a', 'b']


def test_a_broken_file_is_listed_with_its_reason(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x'))
    (store.root / 'queued' / 'x.json').write_text('{')
    (summary,) = Board(store).refresh().changed
    assert summary['state'] == 'broken' and summary['error']['reference'] == 'job-broken'
    assert summary['steps'] == 0 and summary['output_paths'] == []
