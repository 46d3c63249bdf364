"""The log of a job."""

from __future__ import annotations

import os

from fakes.job_stores import FakeWork, drain, make_queued, make_record, make_store

from facefusion.errors import InputError
from facefusion.events import Message, silent
from facefusion.jobs.garbage import NOTES_SECONDS, remove_garbage
from facefusion.jobs.job_log import LOGS_FOLDER, MOST_BYTES, MOST_LINES, JobLog, read_log


def texts(store, job_id):
    return [f'{line["level"]} {line["text"]}' for line in read_log(store.root, job_id)[0]]


def test_the_log_has_the_messages_of_all_attempts_and_their_ends(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 1, tmp_path, retries=1, retry_delay=0))
    drain(store, FakeWork(fails={0: InputError('media-damaged', 'it is damaged', cause='no header')}, once=(0,)))
    found = texts(store, 'x')
    assert [line for line in found if 'started by process' in line] == [
        f'info started by process {os.getpid()} on ' + found[0].split()[-1]
    ] * 2
    assert 'warn queued: it is damaged [media-damaged]: no header' in found
    assert found[-1] == 'info completed'
    assert 'info job x: step 0 (1 of 1)' in found


def test_a_long_log_keeps_the_newest_lines_in_bounded_space(tmp_path):
    log = JobLog(tmp_path, 'x', silent)
    for number in range(20_000):
        log(Message('info', 'jobs', f'message number {number}'))
    lines, more = read_log(tmp_path, 'x')
    assert more and len(lines) <= MOST_LINES
    assert lines[-1]['text'] == 'message number 19999'
    numbers = [int(line['text'].rpartition(' ')[2]) for line in lines]
    assert numbers == list(range(numbers[0], 20_000))
    assert sum(path.stat().st_size for path in (tmp_path / LOGS_FOLDER).iterdir()) < 2 * MOST_BYTES + 10_000


def test_debug_messages_are_passed_on_but_not_kept(tmp_path):
    seen = []
    log = JobLog(tmp_path, 'x', seen.append)
    log(Message('debug', 'jobs', 'detail'))
    log(Message('warn', 'jobs', 'look'))
    assert [event.text for event in seen] == ['detail', 'look']
    assert [line['text'] for line in read_log(tmp_path, 'x')[0]] == ['look']


def test_a_log_that_cannot_be_written_stops_no_job(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 1, tmp_path))
    (store.root / LOGS_FOLDER).write_bytes(b'')
    assert drain(store, FakeWork())['x'].state == 'completed'


def test_damaged_lines_are_skipped(tmp_path):
    log = JobLog(tmp_path, 'x', silent)
    log.write('info', 'one')
    with (tmp_path / LOGS_FOLDER / 'x.jsonl').open('ab') as file:
        file.write(b'{"time": 3}\n[1]\n\xff\n{"tim')
    assert [line['text'] for line in read_log(tmp_path, 'x')[0]] == ['one']


def test_a_deleted_job_has_no_log(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 1, tmp_path))
    drain(store, FakeWork())
    store.delete('x')
    assert list((store.root / LOGS_FOLDER).iterdir()) == []


def test_old_logs_without_a_job_are_removed(tmp_path):
    store = make_store(tmp_path)
    make_queued(store, make_record('x', 1, tmp_path))
    for job_id in ('x', 'gone', 'new'):
        JobLog(store.root, job_id, silent).write('info', 'text')
        if job_id != 'new':
            path = store.root / LOGS_FOLDER / f'{job_id}.jsonl'
            old = path.stat().st_mtime - 2 * NOTES_SECONDS
            os.utime(path, (old, old))
    remove_garbage(store)
    assert sorted(path.name for path in (store.root / LOGS_FOLDER).iterdir()) == ['new.jsonl', 'x.jsonl']
