"""Works on a job that this process has claimed: its steps in order, and the files that they work for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from facefusion.errors import (
    ClaimLost,
    FaceFusionError,
    InputError,
    InternalError,
    Interrupted,
    JobError,
    ResourceError,
)
from facefusion.events import Emit, Event, JobFinished, JobStarted, Message, StageProgress, StepFinished, StepStarted
from facefusion.failures import as_failure
from facefusion.jobs.attempt import AttemptLog
from facefusion.jobs.claim import ClaimFlag, Heartbeat, Hold
from facefusion.jobs.reaper import beat_seconds
from facefusion.jobs.record import AttemptRecord, AttemptResult, JobRecord, StepRecord, now_text
from facefusion.jobs.shared_outputs import warn_of_shared_outputs
from facefusion.jobs.states import State
from facefusion.jobs.steps import groups_of, requeued, work_paths
from facefusion.jobs.store import JobStore
from facefusion.models.digests import file_sha256
from facefusion.provenance.sidecar import sidecar_of
from facefusion.stopping import StopFlag

LONGEST_DELAY = 3600.0
_MOST_DOUBLINGS = 30
# What fails in this way fails again however often it is tried: wrong usage, refused content.
_FINAL_CODES = (2, 3)


# Is called with the id of the job, the index and the record of each step that has ended, when that is noted.
OnStep = Callable[[str, int, StepRecord], None]


class StepWork(Protocol):
    """What a step does, and how finished clips become one. ``run`` and ``join`` raise any FaceFusionError."""

    def run(
        self, job_id: str, step: StepRecord, target: str | None, output: str | None, emit: Emit, flag: StopFlag
    ) -> Mapping[str, Any]:
        """Makes ``output`` out of ``target`` and the arguments of the step; gives the report."""

    def join(self, job_id: str, steps: Sequence[StepRecord], output: Path, emit: Emit, flag: StopFlag) -> None:
        """Writes the files of completed steps one after the other to ``output``; pictures: the last one."""

    def forget(self, job_id: str, step: StepRecord) -> None:
        """Removes what is kept for going on with a step that is completed; raises nothing."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the work on a job ended. ``error`` is None only for a completed one; ``record`` is what was written."""

    state: State
    record: JobRecord
    error: FaceFusionError | None

    @property
    def is_lost(self) -> bool:
        """Whether the job was taken away: then another process says how it ends."""
        return isinstance(self.error, ClaimLost)


class JobRunner:
    """Works on claimed jobs, one at a time. ``claim_timeout`` is how long a silent claim is believed, in seconds."""

    def __init__(
        self, store: JobStore, work: StepWork, claim_timeout: float, emit: Emit, on_step: OnStep | None = None
    ) -> None:
        self._store = store
        self._work = work
        self._timeout = claim_timeout
        self._emit = emit
        self._on_step = on_step

    def run(self, hold: Hold, record: JobRecord, flag: StopFlag, stopped_state: State = 'failed') -> Ended:
        """Does what is left to do of the job and puts it into the state in which that ended.

        When ``flag`` is set the job goes to ``stopped_state``: 'failed', or 'queued' for others to go on with.
        """
        self._emit(JobStarted(record.id, len(record.steps)))
        warn_of_shared_outputs(self._store, record, self._emit)
        run = _JobAttempt(self._store, self._work, hold, record, self._emit, self._on_step)
        claim_flag = ClaimFlag(hold, flag)
        try:
            with Heartbeat(hold, beat_seconds(self._timeout), claim_flag) as heartbeat:
                error = run.steps(claim_flag)
            ended = self._conclude(run, error, flag, heartbeat.cancelled, stopped_state)
            hold.finish(ended.state, ended.record)
        except ClaimLost as lost:
            ended = Ended('running', run.record, lost)
            self._emit(Message('warn', 'jobs', lost.message))
        except FileNotFoundError as gone:
            ended = self._end_without_notes(run, hold, gone)
        except JobError:
            # The store takes nothing at the moment. What is noted stays; nobody should wait for a claim without work.
            if record.origin == 'job':
                with suppress(JobError):
                    hold.release('queued')
            raise
        else:
            self._store.clean_work(record.id, [attempt.nonce for attempt in ended.record.attempts])
        self._emit(JobFinished(record.id, ended.state, ended.error.as_record() if ended.error else None))
        return ended

    def _end_without_notes(self, run: _JobAttempt, hold: Hold, gone: FileNotFoundError) -> Ended:
        """Ends a job whose notes are gone: who goes on with it has removed them, or else somebody by hand."""
        record = run.record
        try:
            hold.check()
            error = ResourceError(
                'work-folder-gone',
                f'work files were removed while the job {record.id} was worked on, in {hold.folder}',
                cause=str(gone),
                hint='run the same command again, or job-retry, and leave the folder alone',
            )
            failed = replace(record, date_finished=now_text(), date_updated=now_text(), error=error.as_record())
            ended = Ended('failed', run.with_attempt(failed, 'failed', error), error)
            hold.finish('failed', ended.record)
        except ClaimLost as lost:
            return Ended('running', record, lost)
        return ended

    def _conclude(
        self, run: _JobAttempt, error: FaceFusionError | None, flag: StopFlag, cancelled: bool, stopped_state: State
    ) -> Ended:
        """The state and the record with which the job ends."""
        if isinstance(error, ClaimLost):
            raise error
        record = replace(run.record, date_finished=now_text(), date_updated=now_text())
        if error is None:
            return Ended('completed', run.with_attempt(record, 'completed', None), None)
        if isinstance(error, Interrupted) and cancelled and not flag.is_set():
            error = JobError('cancelled', f'the job {record.id} was cancelled', hint='run it again with job-retry')
        elif isinstance(error, Interrupted) and not flag.is_set():
            raise ClaimLost('job-claim-lost', f'the job {record.id} was given to another process')
        elif isinstance(error, Interrupted) and stopped_state == 'queued':
            back = run.with_attempt(requeued(record), 'requeued', error)
            return Ended('queued', back, error)
        elif not isinstance(error, Interrupted) and self._is_tried_again(record, error):
            delay = min(record.retry_delay * 2.0 ** min(record.retries_used, _MOST_DOUBLINGS), LONGEST_DELAY)
            again = replace(requeued(record), retries_used=record.retries_used + 1, not_before=time.time() + delay)
            text = f'the job {record.id} is tried again in {delay:g} seconds: {error.message}'
            self._emit(Message('warn', 'jobs', text))
            return Ended('queued', run.with_attempt(again, 'failed', error), error)
        if isinstance(error, Interrupted) and record.origin == 'job':
            # The same command again would find a failed job, which job-run does not take.
            error = Interrupted(error.message, cause=error.cause, hint=f'job-retry {record.id} does the rest')
        failed = replace(record, error=error.as_record())
        return Ended('failed', run.with_attempt(failed, 'failed', error), error)

    def _is_tried_again(self, record: JobRecord, error: FaceFusionError) -> bool:
        return record.retries_used < record.retries and error.exit_code not in _FINAL_CODES


class _JobAttempt:
    """One attempt at a job: its record as it changes, and what of it is noted for others."""

    def __init__(
        self, store: JobStore, work: StepWork, hold: Hold, record: JobRecord, emit: Emit, on_step: OnStep | None
    ) -> None:
        self._work = work
        self._emit = emit
        self._on_step = on_step
        self._hold = hold
        now = now_text()
        self._attempt = AttemptRecord(hold.owner.host, hold.owner.pid, hold.owner.nonce, now)
        self._log = AttemptLog(store.files, hold.folder, self._attempt)
        self._first = replace(record, date_started=record.date_started or now, not_before=None)
        self._steps = list(record.steps)
        self._index = {step.id: index for index, step in enumerate(record.steps)}
        self._paths = work_paths(record)
        self._joined = {group.output_path: group for group in groups_of(record) if len(group.steps) > 1}
        self._outputs = {output.get('path'): output for output in record.outputs}

    @property
    def record(self) -> JobRecord:
        """The job as it is now."""
        return replace(self._first, steps=tuple(self._steps), outputs=tuple(self._outputs.values()))

    def with_attempt(self, record: JobRecord, result: AttemptResult, error: FaceFusionError | None) -> JobRecord:
        """The record with this attempt as ended."""
        told = error.as_record() if error else None
        attempt = replace(self._attempt, date_finished=now_text(), result=result, error=told)
        others = tuple(known for known in record.attempts if known.nonce != attempt.nonce)
        return replace(record, attempts=(*others, attempt))

    def _begin(self) -> None:
        """Shows that the attempt has begun. Raises ClaimLost when the job was given away before that was seen."""
        self._log.begin()
        try:
            self._hold.check()
        except ClaimLost:
            # In no record is a word of this attempt, so nobody else would remove its notes.
            self._log.remove()
            raise

    def steps(self, flag: StopFlag) -> FaceFusionError | None:
        """Does every step that is not done; gives the error that the job ends with.

        Raises FileNotFoundError, ClaimLost.
        """
        self._begin()
        if not self._steps:
            return JobError('job-empty', f'the job {self._first.id} has no steps', hint='add one with job-add-step')
        failures: list[tuple[int, FaceFusionError]] = []
        try:
            # What an earlier attempt has made but not joined.
            for path in self._joined:
                self._publish(path, flag)
            for step in self._steps:
                self._note_published(step)
            for index, step in enumerate(self._steps):
                if step.status == 'completed':
                    continue
                flag.check()
                error = self._step(index, flag)
                if error is None:
                    self._publish(step.output_path, flag)
                    continue
                failures.append((index, error))
                if self._first.on_step_error == 'stop':
                    return error
                self._tell_failed(index, error)
        except FaceFusionError as error:
            return as_failure(error)
        return self._summary(failures)

    def _tell_failed(self, index: int, error: FaceFusionError) -> None:
        """Says what failed and why while the others go on: a summary at the end could not hold thousands."""
        what = self._steps[index].args.get('target_path')
        text = f'job {self._first.id}: step {index} ({index + 1} of {len(self._steps)}) failed, {what}: {error.message}'
        cause = f': {error.cause}' if error.cause else ''
        self._emit(Message('error', 'jobs', f'{text} [{error.reference}]{cause}'))

    def _summary(self, failures: Sequence[tuple[int, FaceFusionError]]) -> FaceFusionError | None:
        if len(failures) < 2:
            return failures[0][1] if failures else None
        shown = [f'step {index}: {error.message} [{error.reference}]' for index, error in failures[:5]]
        more = f' and {len(failures) - 5} more' if len(failures) > 5 else ''
        return JobError(
            'steps-failed',
            f'{len(failures)} of {len(self._steps)} steps of the job {self._first.id} failed',
            cause='; '.join(shown) + more,
            hint='the other steps are done: mend the causes, then job-retry does the rest',
        )

    def _step(self, index: int, flag: StopFlag) -> FaceFusionError | None:
        """Does one step and notes what became of it; gives its error. Raises Interrupted, ClaimLost."""
        step, count = self._steps[index], len(self._steps)
        source = self._steps[self._index[step.remix_of]] if step.remix_of in self._index else None
        output = self._paths.get(step.id)
        if source is not None and source.status in ('failed', 'skipped'):
            text = f'the step {index} works on the output of the step {self._index[source.id]}, which failed'
            return self._end(index, replace(step, status='skipped'), InputError('step-skipped', text))
        step = self._steps[index] = replace(step, status='started', date_started=now_text(), date_finished=None)
        self._log.step_started(step, index, count)
        self._emit(StepStarted(self._first.id, index, output))
        if count > 1 or self._first.origin == 'job':
            self._emit(Message('info', 'jobs', f'job {self._first.id}: step {index} ({index + 1} of {count})'))
        began = time.monotonic()
        try:
            target = self._target(step, source)
            report = self._work.run(self._first.id, step, target, output, self._progress, flag)
            made = describe_file(output, flag) if output else None
        except (Interrupted, ClaimLost):
            self._steps[index] = replace(step, status='queued', date_started=None)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a step meets ends the step, not the worker
            failed = replace(step, status='failed', date_finished=now_text(), seconds=_since(began))
            return self._end(index, failed, as_failure(error))
        done = replace(step, status='completed', date_finished=now_text(), seconds=_since(began), output=made)
        return self._end(index, replace(done, report=dict(report), error=None), None)

    def _target(self, step: StepRecord, source: StepRecord | None) -> str | None:
        if source is None:
            target = step.args.get('target_path')
            return target if isinstance(target, str) else None
        path = source.output.get('path') if source.output else None
        if not isinstance(path, str):
            raise InternalError('step-without-file', 'the step whose output is the target has made no file')
        return path

    def _end(self, index: int, step: StepRecord, error: FaceFusionError | None) -> FaceFusionError | None:
        told = error.as_record() if error else None
        step = self._steps[index] = replace(step, error=told)
        self._log.step_ended(step)
        self._note_published(step)
        if step.status == 'completed':
            # Not before that is noted: a kill between the two would have all of it done again.
            self._work.forget(self._first.id, step)
        if self._on_step is not None:
            self._on_step(self._first.id, index, step)
        self._emit(StepFinished(self._first.id, index, step.status, told))
        return error

    def _publish(self, path: str | None, flag: StopFlag) -> None:
        """Joins the files of the steps that work for ``path``, if they are several, when all are there; once."""
        group = self._joined.get(path or '')
        members = [self._steps[self._index[step.id]] for step in group.steps] if group else []
        ids = [step.id for step in members]
        is_complete = members and all(step.status == 'completed' for step in members)
        if group is not None and is_complete and self._outputs.get(group.output_path, {}).get('steps') != ids:
            self._join(members, Path(group.output_path), flag)
            self._note_output({**describe_file(group.output_path, flag), 'steps': ids})
            self._emit(Message('info', 'jobs', f'wrote {group.output_path} out of {len(ids)} steps'))
        if self._joined:
            self._remove_joined()

    def _join(self, steps: Sequence[StepRecord], output: Path, flag: StopFlag) -> None:
        try:
            self._work.join(self._first.id, steps, output, self._emit, flag)
        except FaceFusionError:
            raise
        except Exception as error:
            # As with a step. A clip that is not there must not pass for notes that are gone, which mean a lost claim.
            raise as_failure(error) from error

    def _note_published(self, step: StepRecord) -> None:
        """Notes the published file of a step that works for it alone; once."""
        if step.status != 'completed' or step.output is None or step.output.get('path') != step.output_path:
            return
        known = self._outputs.get(step.output_path, {})
        if known.get('steps') != [step.id] or known.get('sha256') != step.output.get('sha256'):
            self._note_output({**step.output, 'steps': [step.id]})

    def _note_output(self, output: Mapping[str, Any]) -> None:
        self._outputs[output['path']] = output
        self._log.published(output)

    def _remove_joined(self) -> None:
        """Removes files of steps that are in a published one, unless a step that is not done works on them."""
        wanted = {step.remix_of for step in self._steps if step.status != 'completed'}
        for group in self._joined.values():
            if group.output_path not in self._outputs:
                continue
            for member in group.steps:
                step = self._steps[self._index[member.id]]
                if step.status == 'completed' and step.id not in wanted and step.output is not None:
                    path = Path(str(step.output['path']))
                    with suppress(OSError):
                        path.unlink()
                    with suppress(OSError):
                        sidecar_of(path).unlink(missing_ok=True)

    def _progress(self, event: Event) -> None:
        if isinstance(event, StageProgress) and event.unit == 'frame':
            # Not worth a failure: what counts is noted when the step ends.
            with suppress(JobError, FileNotFoundError):
                self._log.progress(event.stage, event.done, event.total)
        self._emit(event)


def describe_file(path: str, flag: StopFlag) -> dict[str, Any]:
    """Path, size in bytes and SHA-256 of a file. Raises Interrupted, InternalError output-vanished."""
    try:
        return {'path': path, 'size': Path(path).stat().st_size, 'sha256': file_sha256(Path(path), flag)}
    except OSError as error:
        raise InternalError('output-vanished', f'{path} cannot be read', cause=str(error)) from None


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
