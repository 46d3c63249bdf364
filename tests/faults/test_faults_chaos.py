"""Tests that no job is lost or completed twice when workers are killed and frozen."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import time
from pathlib import Path

import pytest
from fakes.job_chaos import Chaos, Log, Storm, check, look_at, make_jobs, start_worker, wait_until_stopped
from fakes.job_schema import check_store

from facefusion.jobs.record import JobRecord, StepRecord, now_text
from facefusion.jobs.steps import submitted
from facefusion.jobs.store import JobStore

pytestmark = pytest.mark.skipif(sys.platform == 'win32', reason='Windows has no SIGKILL and SIGSTOP')
SECONDS = 20.0


@pytest.mark.parametrize('seed', [1])
def test_forty_jobs_with_killed_and_frozen_workers(tmp_path, seed):
    chaos = Chaos(jobs=40, workers=4, kills=8, freezes=3, seed=seed, step_seconds=0.08, limit_seconds=60)
    told = Storm(tmp_path, chaos).run()
    assert told['kills'] == 8 and told['freezes'] == 3
    # The records contain the lost attempts of the killed workers.
    assert told['attempts'].get('lost', 0) >= 2, told


@contextlib.contextmanager
def workers(root: Path, log: Path, count: int = 2):
    """Yield a function that starts workers, and kill all of them at the end of the block."""
    started = []

    def start():
        started.append(start_worker(root, log))
        return started[-1]

    try:
        yield start
    finally:
        for worker in started:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait()


def wait_for(condition, what: str):
    end = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return found


def queue_one(tmp_path, steps: int, seconds: float) -> tuple[JobStore, Log, list[Path]]:
    store, log = JobStore(tmp_path / 'jobs'), Log(tmp_path / 'log')
    outputs = [tmp_path / f'{index}.txt' for index in range(steps)]
    made = [
        StepRecord(f's{index}', {'target_path': '/nowhere', 'output_path': str(path), 'seconds': seconds})
        for index, path in enumerate(outputs)
    ]
    store.create(JobRecord('job-one', now_text(), steps=tuple(made)))
    with store.edit('job-one', 'submit') as (claim, record):
        claim.finish('queued', submitted(record))
    return store, log, outputs


def events(log: Log, pid: int, *names: str) -> list[dict]:
    return [line for line in log.lines() if line['pid'] == pid and line['event'] in names]


def freeze(worker) -> None:
    worker.send_signal(signal.SIGSTOP)
    wait_until_stopped(worker.pid)


def test_a_worker_that_wakes_after_the_end_of_its_job_changes_nothing_and_continues(tmp_path):
    store, log, outputs = queue_one(tmp_path, 1, 0.5)
    record = store.root / 'completed' / 'job-one.json'
    with workers(store.root, tmp_path / 'log') as start:
        sleeper = start()
        wait_for(lambda: events(log, sleeper.pid, 'start'), 'the first worker did not start the step')
        freeze(sleeper)
        assert events(log, sleeper.pid, 'done', 'publishing') == []
        other = start()
        wait_for(record.exists, 'no worker took over the job')
        wait_for(lambda: events(log, other.pid, 'ended'), 'the second worker did not end the job')
        before = {path: look_at(path) for path in (record, *outputs)}
        names = sorted(path.name for path in tmp_path.rglob('*'))
        sleeper.send_signal(signal.SIGCONT)
        (ended,) = wait_for(lambda: events(log, sleeper.pid, 'ended'), 'the first worker did not notice the loss')
        assert ended['state'] == 'running'
        assert {path: look_at(path) for path in before} == before
        assert sorted(path.name for path in tmp_path.rglob('*')) == names
        assert events(log, sleeper.pid, 'done', 'completed') == []
        for worker in (sleeper, other):
            worker.terminate()
            assert worker.wait(SECONDS) == 0
    data = check_store(store.root, quiet=True)['job-one']
    assert [(attempt['pid'], attempt['result']) for attempt in data['attempts']] == [
        (sleeper.pid, 'lost'),
        (other.pid, 'completed'),
    ]


def test_a_worker_that_wakes_after_a_takeover_stops_without_harm(tmp_path):
    store, log, outputs = queue_one(tmp_path, 2, 1.2)
    with workers(store.root, tmp_path / 'log') as start:
        sleeper = start()
        wait_for(lambda: events(log, sleeper.pid, 'done'), 'the first step was not completed')
        wait_for(lambda: len(events(log, sleeper.pid, 'start')) == 2, 'the second step did not start')
        freeze(sleeper)
        first = look_at(outputs[0])
        other = start()
        wait_for(lambda: events(log, other.pid, 'start'), 'no worker took over the job')
        sleeper.send_signal(signal.SIGCONT)
        (ended,) = wait_for(lambda: events(log, sleeper.pid, 'ended'), 'the first worker did not notice the loss')
        assert ended['state'] == 'running'
        assert events(log, other.pid, 'ended') == [], 'the first worker noticed the loss only after the end of the job'
        wait_for(lambda: events(log, other.pid, 'ended'), 'the second worker did not end the job')
        other.terminate()
        sleeper.terminate()
        assert (other.wait(SECONDS), sleeper.wait(SECONDS)) == (0, 0)
    data = check_store(store.root, quiet=True)['job-one']
    assert [attempt['result'] for attempt in data['attempts']] == ['lost', 'completed']
    # The first step was not repeated, and its file was not changed.
    assert [step['report']['pid'] for step in data['steps']] == [sleeper.pid, other.pid]
    assert look_at(outputs[0]) == first
    assert [line['step'] for line in events(log, other.pid, 'start')] == ['s1']


def test_the_job_of_a_killed_worker_is_taken_over_at_once(tmp_path):
    store, log, _ = queue_one(tmp_path, 1, 0.3)
    with workers(store.root, tmp_path / 'log') as start:
        victim, other = start(), start()
        begun = wait_for(lambda: [line for line in log.lines() if line['event'] == 'start'], 'no worker started')
        if begun[0]['pid'] != victim.pid:
            victim, other = other, victim
        victim.kill()
        victim.wait()
        killed = time.monotonic()
        (again,) = wait_for(lambda: events(log, other.pid, 'start'), 'no worker took over the job')
        assert again['t'] - killed < 1.2
        wait_for(lambda: events(log, other.pid, 'ended'), 'the job was not ended')
    data = check_store(store.root, quiet=True)['job-one']
    assert [attempt['result'] for attempt in data['attempts']] == ['lost', 'completed']


def test_the_check_detects_violations(tmp_path):
    store, log = JobStore(tmp_path / 'jobs'), Log(tmp_path / 'log')
    (tmp_path / 'outputs').mkdir()
    jobs = make_jobs(store, tmp_path / 'outputs', Chaos(2, 1, 0, 0, 0, 0.02), random.Random(0))
    with workers(store.root, tmp_path / 'log') as start:
        worker = start()
        wait_for(lambda: len(events(log, worker.pid, 'completed')) == 2, 'the jobs were not completed')
        wait_for(lambda: len([e for e in events(log, worker.pid, 'ended') if e['state'] == 'completed']) == 2, 'no end')
        worker.terminate()
        worker.wait(SECONDS)
    lines = log.lines()
    check(store.root, jobs, lines)
    twice = [*lines, next(line for line in lines if line['event'] == 'completed')]
    start_line = next(line for line in lines if line['event'] == 'start')
    beside = [*lines, {**start_line, 'pid': 1, 't': start_line['t'] + 0.001}]
    for wrong in (twice, beside):
        with pytest.raises(AssertionError):
            check(store.root, jobs, wrong)
    record = store.root / 'completed' / f'{jobs[1]}.json'
    output = Path(json.loads(record.read_bytes())['outputs'][0]['path'])
    text = output.read_bytes()
    output.write_bytes(text.replace(b'1', b'2', 1))
    with pytest.raises(AssertionError, match='differs from its recorded digest'):
        check(store.root, jobs, lines)
    output.write_bytes(text)
    record.rename(store.root / 'queued' / record.name)
    with pytest.raises(AssertionError):
        check(store.root, jobs, lines)
