"""The order of the queue and its changes by hand."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from fakes.job_stores import make_queued, make_record, make_store

from facefusion.errors import JobError
from facefusion.events import silent
from facefusion.jobs.queue_order import move_before, queue_turns, set_priority
from facefusion.jobs.worker import Queue


def order(store):
    """Return the ids in the order in which a worker runs them, which must be that of queue_turns."""
    ready, _ = Queue(store, silent).ready()
    assert [turn.job_id for turn in queue_turns(store)] == ready
    return ''.join(ready)


def queue_of(tmp_path, ids='abcd', **priorities):
    store = make_store(tmp_path)
    make_queued(store, *(make_record(job_id, priority=priorities.get(job_id, 0)) for job_id in ids))
    return store


def set_date(store, job_id, date):
    with store.edit(job_id, 'reorder') as (claim, record):
        claim.finish('queued', replace(record, date_submitted=date))


@pytest.mark.parametrize(
    ('job_id', 'before', 'expected'),
    [('d', 'a', 'dabc'), ('d', 'b', 'adbc'), ('a', 'd', 'bcad'), ('a', None, 'bcda'), ('b', 'b', 'abcd')],
)
def test_a_job_moves_before_another_without_a_change_of_other_records(tmp_path, job_id, before, expected):
    store = queue_of(tmp_path)
    others = {each: store.find(each).path.read_bytes() for each in 'abcd' if each != job_id}
    move_before(store, job_id, before)
    assert order(store) == expected
    assert {each: store.find(each).path.read_bytes() for each in others} == others


@pytest.mark.parametrize(
    ('job_id', 'before', 'expected'),
    [('d', 'a', 'dabc'), ('d', 'b', 'adbc'), ('d', 'c', 'abdc'), ('a', 'c', 'bac'), ('a', None, 'bca')],
)
def test_a_move_works_between_different_priorities(tmp_path, job_id, before, expected):
    store = queue_of(tmp_path, 'abcd' if job_id == 'd' else 'abc', a=5, b=1, c=-3, d=0)
    move_before(store, job_id, before)
    assert order(store) == expected


def test_jobs_of_the_same_moment_can_be_moved_any_number_of_times(tmp_path):
    store = queue_of(tmp_path, 'abcdef')
    for job_id in 'abcdef':
        set_date(store, job_id, '2026-01-01T00:00:00+00:00')
    expected = 'abcdef'
    for job_id, before in ('fb', 'eb', 'db', 'ac', 'fb', 'ab', 'cf', 'ba', 'ef'):
        move_before(store, job_id, before)
        rest = expected.replace(job_id, '')
        expected = rest[: rest.index(before)] + job_id + rest[rest.index(before) :]
        assert order(store) == expected


def test_thirty_moves_into_the_same_gap_keep_the_order(tmp_path):
    store = queue_of(tmp_path, 'abc')
    for number in range(30):
        last = 'b' if number % 2 else 'c'
        move_before(store, last, 'c' if last == 'b' else 'b')
    assert order(store) == 'abc'


def test_a_move_names_jobs_that_are_not_in_the_queue(tmp_path):
    store = queue_of(tmp_path, 'ab')
    store.create(make_record('draft'))
    for job_id, before, reference in (
        ('a', 'draft', 'job-wrong-state'),
        ('draft', 'a', 'job-wrong-state'),
        ('a', 'none', 'job-unknown'),
        ('none', 'a', 'job-unknown'),
    ):
        with pytest.raises(JobError) as caught:
            move_before(store, job_id, before)
        assert caught.value.reference == reference
    assert order(store) == 'ab'


def test_a_priority_moves_a_queued_job_and_no_other(tmp_path):
    store = queue_of(tmp_path, 'abc')
    set_priority(store, 'c', 7)
    assert order(store) == 'cab'
    claim, _ = store.claim('a', 'run')
    with pytest.raises(JobError) as caught:
        set_priority(store, 'a', 9)
    assert caught.value.reference == 'job-wrong-state'
    claim.release('queued')


def test_moves_at_the_same_time_lose_no_job(tmp_path):
    store = queue_of(tmp_path, 'abcdefgh')
    failures = []

    def shuffle(job_id):
        try:
            for before in 'abcdefgh':
                move_before(store, job_id, before)
        except JobError as error:
            failures.append(error.reference)

    threads = [threading.Thread(target=shuffle, args=(job_id,)) for job_id in 'hdc']
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(order(store)) == list('abcdefgh')
