"""Job stores and jobs for tests, and step work that only writes small files."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facefusion.events import Emit, StageProgress, silent
from facefusion.jobs.job_log import LOGS_FOLDER
from facefusion.jobs.record import JobRecord, StepRecord, now_text
from facefusion.jobs.runner import JobRunner, Outcome
from facefusion.jobs.steps import submitted
from facefusion.jobs.store import JobStore
from facefusion.stopping import StopFlag

CLAIM_TIMEOUT = 60.0


def make_store(tmp_path: Path, **kw: Any) -> JobStore:
    """Return the store in ``tmp_path / 'jobs'``; ``kw`` are arguments of JobStore."""
    return JobStore(tmp_path / 'jobs', **kw)


def make_record(job_id: str, steps: int = 1, folder: Path | None = None, **fields: Any) -> JobRecord:
    """Return a drafted job whose steps write separate outputs ``<id>-<index>.bin`` in ``folder``.

    ``fields`` are fields of JobRecord. Steps have the ids ``s0``, ``s1`` and so on.
    """
    folder = folder or Path('nowhere')
    made = tuple(StepRecord(f's{index}', _args(folder / f'{job_id}-{index}.bin')) for index in range(steps))
    return JobRecord(**({'id': job_id, 'date_created': now_text(), 'steps': made} | fields))


def _args(output: Path) -> dict[str, Any]:
    return {'target_path': str(output.with_name('target.bin')), 'output_path': str(output)}


def files_in(root: Path) -> list[Path]:
    """Return all files of a store, except the logs that jobs keep until they are deleted."""
    return [path for path in root.rglob('*') if path.is_file() and path.parent.name != LOGS_FOLDER]


class FakeWork:
    """StepWork that writes ``content(step id)`` as the output.

    ``fails`` maps the index or the id of a step to an exception that the step raises before it writes; a step whose key
    is in ``once`` fails only the first time. Each step takes ``seconds`` and checks the flag meanwhile. ``ran`` lists
    the ids of started steps, ``made`` the ids of completed steps, and ``joined`` the outputs of joins. ``before`` is
    called with the flag at the start of each step.
    """

    def __init__(
        self,
        fails: Mapping[int | str, BaseException] | None = None,
        seconds: float = 0.0,
        once: Sequence[int | str] = (),
        before: Any = None,
    ) -> None:
        self.fails = dict(fails or {})
        self.seconds = seconds
        self.once = set(once)
        self.before = before
        self.ran: list[str] = []
        self.made: list[str] = []
        self.joined: list[str] = []

    def run(
        self, job_id: str, step: StepRecord, target: str | None, output: str | None, emit: Emit, flag: StopFlag
    ) -> dict[str, Any]:
        self.ran.append(step.id)
        if self.before is not None:
            self.before(flag)
        for key in (step.id, int(step.id[1:]) if step.id[1:].isdigit() else -1):
            if key in self.fails:
                raise self.fails.pop(key) if key in self.once else self.fails[key]
        end = time.monotonic() + self.seconds
        emit(StageProgress('render', 0, 1))
        while time.monotonic() < end:
            flag.check()
            time.sleep(0.005)
        flag.confirm()
        if output is not None:
            publish(Path(output), content(step.id))
        self.made.append(step.id)
        return {'frames': 1}

    def forget(self, job_id, step) -> None:
        pass

    def join(self, job_id, steps, output: Path, emit, flag: StopFlag) -> None:
        joined = b''.join(Path(step.output['path']).read_bytes() for step in steps)
        flag.confirm()
        publish(output, joined)
        self.joined.append(str(output))


def content(step_id: str) -> bytes:
    """Return the content of the output that FakeWork writes for a step."""
    return f'[{step_id}]'.encode()


def publish(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + '.part')
    part.write_bytes(data)
    part.replace(path)


def submit(store: JobStore, job_id: str) -> None:
    """Submit a drafted job."""
    with store.edit(job_id, 'submit') as (claim, record):
        claim.finish('queued', submitted(record))


def make_queued(store: JobStore, *records: JobRecord) -> None:
    """Create jobs and submit them, in this order."""
    for record in records:
        store.create(record)
        submit(store, record.id)


def drain(store: JobStore, work: FakeWork, flag: StopFlag | None = None) -> dict[str, Outcome]:
    """Run all queued jobs, ordered by id, until none is left; return the last outcome of each.

    The function returns early when ``flag`` is set, and ignores ``not_before``.
    """
    outcomes: dict[str, Outcome] = {}
    runner = JobRunner(store, work, CLAIM_TIMEOUT, silent)
    flag = flag or StopFlag()
    while queued := sorted(job_id for job_id, job_file in store.job_files().items() if job_file.state == 'queued'):
        for job_id in queued:
            if flag.is_set():
                return outcomes
            outcomes[job_id] = runner.run(*store.claim(job_id, 'run'), flag, 'queued')
    return outcomes
