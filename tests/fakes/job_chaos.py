"""Jobs, worker processes that are killed and frozen at random, and checks of the result.

tests/faults/test_faults_chaos.py and benchmarks/job_chaos.py use this file. Run as a program, it is a worker: the real
``Worker``, ``JobRunner`` and ``JobStore`` with steps that only sleep and write a small file. All processes append their
events to one log, with times of the shared monotonic clock.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
if __name__ == '__main__':
    sys.path[:0] = [str(ROOT), str(ROOT / 'tests')]

from facefusion.errors import InputError  # noqa: E402 - the path is set above for workers
from facefusion.events import Emit, Event, JobFinished, StageProgress, silent  # noqa: E402
from facefusion.jobs.files import StoreFiles  # noqa: E402
from facefusion.jobs.notify import Notifier  # noqa: E402
from facefusion.jobs.reaper import MAX_LOST, Reaper  # noqa: E402
from facefusion.jobs.record import JobRecord, StepRecord, now_text  # noqa: E402
from facefusion.jobs.runner import JobRunner  # noqa: E402
from facefusion.jobs.steps import submitted  # noqa: E402
from facefusion.jobs.store import JobStore  # noqa: E402
from facefusion.jobs.worker import Worker  # noqa: E402
from facefusion.media.files import publish  # noqa: E402
from facefusion.stopping import StopFlag  # noqa: E402

CLAIM_TIMEOUT = 1.5
_TICK = 0.01


class Log:
    """A file of JSON lines to which any number of processes append."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        self._path = path

    def __call__(self, event: str, pid: int | None = None, **told: Any) -> None:
        line = {'t': time.monotonic(), 'event': event, 'pid': pid or os.getpid(), **told}
        os.write(self._handle, json.dumps(line).encode() + b'\n')

    def lines(self) -> list[dict[str, Any]]:
        # Only the last line of a killed process can be incomplete.
        return [json.loads(line) for line in self._path.read_bytes().split(b'\n')[:-1]]


class LoggedFiles(StoreFiles):
    """Store files that log each rename of a job to completed, which must happen only once per job."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        if new.parent.name == 'completed':
            self._log('completed', job=new.stem)


class LoggedWork:
    """Step work that sleeps for ``seconds`` (an argument), checks the flag and writes a file; some steps fail once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def run(
        self, job_id: str, step: StepRecord, target: str | None, output: str | None, emit: Emit, flag: StopFlag
    ) -> dict[str, Any]:
        assert output is not None
        who = {'job': job_id, 'step': step.id}
        self._log('start', **who)
        try:
            end = time.monotonic() + step.args['seconds']
            while time.monotonic() < end:
                flag.check()
                emit(StageProgress('render', 1, 2))
                time.sleep(_TICK)
            mark = Path(output + '.failed')
            if step.args.get('fails_once') and not mark.exists():
                mark.write_bytes(b'')
                raise InputError('bad-luck', 'this step fails the first time')
            self._publish(Path(output), [f'{job_id} {step.id} {os.getpid()} {number}' for number in range(999)], flag)
        except BaseException as error:
            self._log('stopped', why=type(error).__name__, **who)
            raise
        self._log('done', **who)
        return {'pid': os.getpid()}

    def forget(self, job_id, step) -> None:
        pass

    def join(self, job_id, steps, output: Path, emit, flag: StopFlag) -> None:
        lines = [
            line for step in steps for line in Path(step.output['path']).read_text().splitlines() if line != 'whole'
        ]
        self._publish(output, lines, flag)

    def _publish(self, output: Path, lines: list[str], flag: StopFlag) -> None:
        part = output.with_name(f'.{output.name}.{os.getpid()}.{time.monotonic_ns()}.part')
        part.write_text('\n'.join([*lines, 'whole']))
        self._log('publishing', output=output.name)
        try:
            publish(part, output, flag)
        finally:
            part.unlink(missing_ok=True)
            self._log('published', output=output.name)


def work(root: Path, log: Log, timeout: float) -> None:
    """Run a worker until SIGTERM."""
    flag = StopFlag()
    signal.signal(signal.SIGTERM, lambda number, frame: flag.set('SIGTERM was received'))
    store = JobStore(root, files=LoggedFiles(log))

    def emit(event: Event) -> None:
        if isinstance(event, JobFinished):
            log('ended', job=event.job_id, state=event.state)

    log('hello')
    worker = Worker(store, JobRunner(store, LoggedWork(log), timeout, emit), Notifier(emit), timeout, emit, flag)
    worker.run_queue(watch=True, max_jobs=None, halt_on_error=False, stop_after_current=StopFlag())
    log('bye')


class Chaos(NamedTuple):
    """The parameters of a storm; a step takes up to twice ``step_seconds``, a freeze about ``frozen_seconds``."""

    jobs: int
    workers: int
    kills: int
    freezes: int
    seed: int
    step_seconds: float = 0.1
    frozen_seconds: float = 3 * CLAIM_TIMEOUT
    limit_seconds: float = 120.0


def make_jobs(store: JobStore, folder: Path, chaos: Chaos, chance: random.Random) -> list[str]:
    """Queue jobs of one to three steps; every fifth job has one output for all steps, and every seventh fails once."""
    names = []
    for number in range(chaos.jobs):
        job_id = f'job-{number:03d}'
        count = chance.randint(1, 3)
        steps = []
        for index in range(count):
            name = f'{job_id}.txt' if number % 5 == 0 else f'{job_id}-{index}.txt'
            args = {'target_path': '/nowhere', 'output_path': str(folder / name)}
            args |= {'seconds': chance.uniform(0.02, 2 * chaos.step_seconds)}
            steps.append(StepRecord(f's{index}', args | {'fails_once': number % 7 == 0 and index == count - 1}))
        record = JobRecord(job_id, now_text(), retries=1, retry_delay=0.1, steps=tuple(steps))
        store.create(record)
        with store.edit(job_id, 'submit') as (claim, drafted):
            claim.finish('queued', submitted(drafted))
        names.append(job_id)
    return names


def start_worker(root: Path, log_path: Path, timeout: float = CLAIM_TIMEOUT) -> subprocess.Popen[bytes]:
    """Start a worker process."""
    return subprocess.Popen([sys.executable, __file__, str(root), str(log_path), str(timeout)])


class Storm:
    """A test that kills and freezes worker processes at random until all jobs are completed."""

    def __init__(self, folder: Path, chaos: Chaos) -> None:
        self.folder, self.chaos = folder, chaos
        self.chance = random.Random(chaos.seed)
        self.log_path = folder / 'log'
        self.log = Log(self.log_path)
        self.store = JobStore(folder / 'jobs')
        self.outputs = folder / 'outputs'
        self.outputs.mkdir()
        # The worker, the end of its freeze, and its job, by process id.
        self.frozen: dict[int, tuple[subprocess.Popen[bytes], float, str]] = {}
        self.workers: list[subprocess.Popen[bytes]] = []
        # For jobs that were taken over: the state of their files when the frozen worker woke up.
        self.before: dict[Path, tuple[int, int, bytes]] = {}
        self.counts: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self.jobs: list[str] = []

    def run(self) -> dict[str, Any]:
        """Run the storm and return facts about it. Raises AssertionError for a violated guarantee."""
        self.jobs = self.make_jobs()
        began = time.monotonic()
        try:
            self.workers = [self.start() for _ in range(self.chaos.workers)]
            self._storm(began)
        finally:
            for worker in self.workers:
                if worker.poll() is None:
                    worker.send_signal(signal.SIGCONT)
                    worker.terminate()
            codes = [worker.wait(timeout=30) for worker in self.workers]
        assert all(code in (0, -signal.SIGKILL) for code in codes), codes
        seconds = time.monotonic() - began
        # Workers that were killed after the end of a job may leave notes, which the next process removes.
        left = [str(path.relative_to(self.store.root)) for path in self.store.root.glob('.work/job-*/*')]
        Reaper(self.store, CLAIM_TIMEOUT, silent).sweep()
        facts = self.check() | {'notes_left_for_the_next': left}
        for path, known in self.before.items():
            assert look_at(path) == known, f'{path} was changed by a worker after its freeze'
        return {'seed': self.chaos.seed, 'seconds': round(seconds, 1), **self.counts, **facts}

    def make_jobs(self) -> list[str]:
        """Queue the jobs and return their ids."""
        return make_jobs(self.store, self.outputs, self.chaos, self.chance)

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        return start_worker(self.store.root, self.log_path)

    def at_work(self) -> dict[int, str]:
        """Return the claimed job of each process id."""
        job_files = self.store.job_files().values()
        return {
            job_file.owner.pid: job_file.job_id
            for job_file in job_files
            if job_file.kind == 'claim' and job_file.owner is not None
        }

    def check(self) -> dict[str, Any]:
        """Check the result and return counts."""
        return check(self.store.root, self.jobs, self.log.lines())

    def _storm(self, began: float) -> None:
        events = ['kill'] * self.chaos.kills + ['freeze'] * self.chaos.freezes
        self.chance.shuffle(events)
        # The kills and freezes are spread over the duration of an undisturbed run.
        span = self.chaos.jobs * 2 * self.chaos.step_seconds / self.chaos.workers
        pause = max(span / (len(events) + 1), 0.02)
        following = began + 0.5
        while not self._is_over() or self.frozen or events:
            now = time.monotonic()
            assert now - began < self.chaos.limit_seconds, f'the jobs are not completed in time: {self._states()}'
            assert not any((self.store.root / 'failed').glob('*.json')), f'a job has failed: {self._states()}'
            if events and now >= following and self._befall(events[-1]):
                events.pop()
                following = now + self.chance.uniform(0.2, 1.8) * pause
            for worker, until, job_id in list(self.frozen.values()):
                if now >= until:
                    self._thaw(worker, job_id)
            time.sleep(0.02)
        # A worker may still be removing the left-overs of the last job.
        while any(not job_file.is_unclaimed for job_file in self.store.job_files().values()):
            time.sleep(0.02)

    def _is_over(self) -> bool:
        done = {path.stem for path in (self.store.root / 'completed').glob('*.json')}
        return done >= set(self.jobs)

    def _states(self) -> dict[str, Any]:
        return {
            job_id: job_file[1:] for job_id, job_file in self.store.job_files().items() if job_file.state != 'completed'
        }

    def _befall(self, event: str) -> bool:
        """Kill or freeze a busy worker, if there is one."""
        busy = self.at_work()
        awake = [worker for worker in self.workers if worker.pid not in self.frozen]
        # A job fails after MAX_LOST losses in a row.
        chosen = [worker for worker in awake if worker.pid in busy and self.hits[busy[worker.pid]] < MAX_LOST - 1]
        if not chosen:
            return self._is_over()
        worker = self.chance.choice(chosen)
        self.hits[busy[worker.pid]] += 1
        return self._kill(worker) if event == 'kill' else self._freeze(worker, busy[worker.pid])

    def _kill(self, worker: subprocess.Popen[bytes]) -> bool:
        self.log('kill', worker.pid)
        worker.kill()
        worker.wait()
        self.workers.remove(worker)
        self.workers.append(self.start())
        self.counts['kills'] += 1
        return True

    def _freeze(self, worker: subprocess.Popen[bytes], job_id: str) -> bool:
        worker.send_signal(signal.SIGSTOP)
        wait_until_stopped(worker.pid)
        mine = [line for line in self.log.lines() if line['pid'] == worker.pid]
        if mine and mine[-1]['event'] == 'publishing':
            # The few microseconds between the last check of the claim and the rename are not protected.
            worker.send_signal(signal.SIGCONT)
            self.counts['freezes_spared'] += 1
            return False
        self.log('freeze', worker.pid)
        until = time.monotonic() + self.chaos.frozen_seconds * self.chance.uniform(0.2, 1.5)
        self.frozen[worker.pid] = (worker, until, job_id)
        self.counts['freezes'] += 1
        return True

    def _thaw(self, worker: subprocess.Popen[bytes], job_id: str) -> None:
        record = self.store.root / 'completed' / f'{job_id}.json'
        if record.exists():
            data = json.loads(record.read_bytes())
            for path in (record, *(Path(output['path']) for output in data['outputs'])):
                self.before[path] = look_at(path)
            self.counts['woken_after_completion'] += 1
        del self.frozen[worker.pid]
        self.log('thaw', worker.pid)
        worker.send_signal(signal.SIGCONT)


def look_at(path: Path) -> tuple[int, int, bytes]:
    """Return inode, modification time and content of a file."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


def wait_until_stopped(pid: int) -> None:
    """Wait until a process has stopped after SIGSTOP."""
    if not Path('/proc').is_dir():
        time.sleep(0.05)
        return
    while Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] not in 'Tt':
        time.sleep(0.001)


def check(root: Path, jobs: list[str], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Check the result after the end of all workers, and return counts. Raises AssertionError."""
    records, results = check_records(root, jobs)
    for data in records.values():
        for output in data['outputs']:
            text = Path(output['path']).read_bytes()
            assert text.endswith(b'whole'), output
            if len(output['steps']) > 1:
                assert text.count(b'\n') == 999 * len(output['steps']), f'{output} does not contain all of its steps'
    completions = Counter(line['job'] for line in lines if line['event'] == 'completed')
    assert set(completions.values()) == {1}, f'finished twice: {completions.most_common(3)}'
    ended = Counter(line['job'] for line in lines if line['event'] == 'ended' and line['state'] == 'completed')
    assert max(ended.values()) == 1, f'a job was completed twice: {ended.most_common(3)}'
    wasted = check_overlaps(lines)
    starts = Counter((line['job'], line['step']) for line in lines if line['event'] == 'start')
    return {
        **results,
        'steps_begun': sum(starts.values()),
        'completions_noted': sum(completions.values()),
        'steps_overlapping': len(wasted),
        'longest_overlap_seconds': round(max(wasted, default=0.0), 3),
    }


def check_records(root: Path, jobs: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Check that every job is completed once with the recorded outputs; return the records and counts."""
    from fakes.job_schema import check_store

    records = check_store(root, quiet=True)
    assert sorted(records) == sorted(jobs), 'a job was lost or added'
    assert sorted(path.stem for path in (root / 'completed').iterdir()) == sorted(jobs)
    results: Counter[str] = Counter()
    for data in records.values():
        told = [attempt['result'] for attempt in data['attempts']]
        assert told.count('completed') == 1 and told[-1] == 'completed', told
        results.update(told)
        published = {output['path']: output for output in data['outputs']}
        assert published.keys() == {step['args']['output_path'] for step in data['steps']}
        for path, output in published.items():
            text = Path(path).read_bytes()
            assert len(text) == output['size'], path
            assert hashlib.sha256(text).hexdigest() == output['sha256'], f'{path} differs from its recorded digest'
    left = [str(path.relative_to(root)) for path in root.glob('.work/job-*/*')] or list(root.glob('.work/job-*'))
    assert left == [], f'files are left in the store: {left}'
    steps = sum(len(data['steps']) for data in records.values())
    return records, {'jobs': len(jobs), 'steps': steps, 'attempts': dict(results)}


def check_overlaps(lines: list[dict[str, Any]]) -> list[float]:
    """Return the durations in seconds for which two awake workers processed the same step.

    Raises AssertionError if the first worker completed the step. A worker may process a step that another worker took
    over only if the first was frozen and has not yet checked its claim since it woke up.
    """
    work: dict[tuple[str, str], list[list[Any]]] = defaultdict(list)
    awake: dict[int, list[float]] = defaultdict(list)
    last: dict[int, list[Any]] = {}
    for line in lines:
        pid = line['pid']
        if line['event'] == 'start':
            last[pid] = [line['t'], None, pid, 'cut']
            work[line['job'], line['step']].append(last[pid])
        elif line['event'] in ('done', 'stopped', 'kill') and pid in last and last[pid][1] is None:
            last[pid][1], last[pid][3] = line['t'], line['event']
        if line['event'] == 'thaw':
            awake[pid].append(line['t'])
    wasted = []
    for step, stretches in work.items():
        for first, second in _pairs(sorted(stretches, key=lambda stretch: stretch[0])):
            if first[1] is None or first[1] <= second[0]:
                continue
            assert first[3] != 'done', f'{step} was completed by {first[2]} while {second[2]} processed it'
            thaws = [moment for moment in awake[first[2]] if first[0] < moment < first[1]]
            assert thaws, f'{step}: {first[2]} and {second[2]} processed it at once, but the first was never frozen'
            end = min(first[1], second[1] or first[1])
            wasted.append(max(0.0, end - max(thaws[-1], second[0])))
    return wasted


def _pairs(stretches: list[list[Any]]) -> Iterator[tuple[list[Any], list[Any]]]:
    for index, first in enumerate(stretches):
        for second in stretches[index + 1 :]:
            if first[2] != second[2]:
                yield first, second


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('root', type=Path)
    parser.add_argument('log', type=Path)
    parser.add_argument('timeout', type=float)
    given = parser.parse_args()
    work(given.root, Log(given.log), given.timeout)


if __name__ == '__main__':
    _main()
