"""The runner of a claimed job: it processes the steps in order and joins their files into the published files."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from facefusion.errors import (
    ClaimLost,
    FaceFusionError,
    InputError,
    InternalError,
    Interrupted,
    JobError,
    ResourceError,
)
from facefusion.events import (
    Emit,
    Event,
    JobFinished,
    JobStarted,
    Message,
    StageFinished,
    StageProgress,
    StepFinished,
    StepStarted,
)
from facefusion.failures import as_failure
from facefusion.jobs.attempt import AttemptLog
from facefusion.jobs.cancel import cancelled
from facefusion.jobs.claim import Claim, ClaimFlag, Heartbeat, lost
from facefusion.jobs.job_log import JobLog
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
_MAX_DOUBLINGS = 30
# Exit codes of errors that a retry cannot resolve: wrong usage, refused content.
_FINAL_CODES = (2, 3)


# Called with the id of the job and the index and record of each finished step, after its result is noted.
OnStep = Callable[[str, int, StepRecord], None]


class StepWork(Protocol):
    """The processing of steps and the joining of clips. ``run`` and ``join`` raise any FaceFusionError."""

    def run(
        self, job_id: str, step: StepRecord, target: str | None, output: str | None, emit: Emit, flag: StopFlag
    ) -> Mapping[str, Any]:
        """Write ``output`` from ``target`` and the arguments of the step; return the report."""

    def join(self, job_id: str, steps: Sequence[StepRecord], output: Path, emit: Emit, flag: StopFlag) -> None:
        """Write the files of completed steps one after the other to ``output``; for images, write only the last one."""

    def forget(self, job_id: str, step: StepRecord) -> None:
        """Remove the work files of a completed step; raise nothing."""


class Outcome(NamedTuple):
    """The end of a job, and the record that was written; ``error`` is None only for a completed job."""

    state: State
    record: JobRecord
    error: FaceFusionError | None

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.record.id

    @property
    def is_lost(self) -> bool:
        """Whether another process took the job over and now determines its end."""
        return isinstance(self.error, ClaimLost)


class JobRunner:
    """Runs claimed jobs, one at a time. ``claim_timeout`` is the lease of a claim in seconds."""

    def __init__(
        self, store: JobStore, work: StepWork, claim_timeout: float, emit: Emit, on_step: OnStep | None = None
    ) -> None:
        self._store = store
        self._work = work
        self._timeout = claim_timeout
        self._emit = emit
        self._on_step = on_step

    def run(self, claim: Claim, record: JobRecord, flag: StopFlag, stopped_state: State = 'failed') -> Outcome:
        """Do the remaining work of the job and move it to its final state.

        When ``flag`` is set the job moves to ``stopped_state``: 'failed', or 'queued' for other workers to resume.
        """
        self._emit(JobStarted(record.id, len(record.steps)))
        log = JobLog(self._store.root, record.id, self._emit)
        log.write('info', f'started by process {claim.owner.pid} on {claim.owner.host}')
        warn_of_shared_outputs(self._store, record, log)
        attempt = _JobAttempt(self._store, self._work, claim, record, log, self._on_step)
        claim_flag = ClaimFlag(claim, flag)
        try:
            with Heartbeat(claim, beat_seconds(self._timeout), claim_flag) as heartbeat:
                error = attempt.steps(claim_flag)
            outcome = self._conclude(attempt, error, flag, heartbeat.cancelled, stopped_state)
            claim.finish(outcome.state, outcome.record)
            log.write(*_end_of(outcome))
        except ClaimLost as loss:
            outcome = Outcome('running', attempt.record, loss)
            self._emit(Message('warn', 'jobs', loss.message))
        except FileNotFoundError as missing:
            outcome = self._end_without_notes(attempt, claim, missing)
        except JobError:
            # The store is not writable. The notes stay; release the claim so that no process waits for it.
            if record.origin == 'job':
                with suppress(JobError):
                    claim.release('queued')
            raise
        else:
            self._store.clean_work(record.id, [entry.nonce for entry in outcome.record.attempts])
        self._emit(JobFinished(record.id, outcome.state, outcome.error.as_record() if outcome.error else None))
        return outcome

    def _end_without_notes(self, attempt: _JobAttempt, claim: Claim, cause: FileNotFoundError) -> Outcome:
        """End a job whose notes were deleted, by a process that took the job over or by a user."""
        record = attempt.record
        try:
            claim.check()
            error = ResourceError(
                'work-folder-gone',
                f'work files of the running job {record.id} were deleted in {claim.folder}',
                cause=str(cause),
                hint='run the same command again, or job-retry, and do not change the folder',
            )
            failed = replace(record, date_finished=now_text(), date_updated=now_text(), error=error.as_record())
            outcome = Outcome('failed', attempt.with_result(failed, 'failed', error), error)
            claim.finish('failed', outcome.record)
        except ClaimLost as loss:
            return Outcome('running', record, loss)
        return outcome

    def _conclude(
        self, attempt: _JobAttempt, error: FaceFusionError | None, flag: StopFlag, is_cancelled: bool, stopped: State
    ) -> Outcome:
        """Return the final state and record of the job."""
        if isinstance(error, ClaimLost):
            raise error
        record = replace(attempt.record, date_finished=now_text(), date_updated=now_text())
        if error is None:
            return Outcome('completed', attempt.with_result(record, 'completed', None), None)
        if isinstance(error, Interrupted):
            if not flag.is_set():
                # The heartbeat has set the flag of the claim.
                if not is_cancelled:
                    raise lost(record.id)
                error = cancelled(record.id)
            elif stopped == 'queued':
                return Outcome('queued', attempt.with_result(requeued(record), 'requeued', error), error)
            elif record.origin == 'job':
                # job-run does not accept a failed job, so the usual hint to repeat the command would be wrong.
                error = Interrupted(error.message, cause=error.cause, hint=f'resume it with job-retry {record.id}')
        elif record.retries_used < record.retries and error.exit_code not in _FINAL_CODES:
            delay = min(record.retry_delay * 2.0 ** min(record.retries_used, _MAX_DOUBLINGS), LONGEST_DELAY)
            again = replace(requeued(record), retries_used=record.retries_used + 1, not_before=time.time() + delay)
            text = f'the job {record.id} will be retried in {delay:g} seconds: {error.message}'
            self._emit(Message('warn', 'jobs', text))
            return Outcome('queued', attempt.with_result(again, 'failed', error), error)
        failed = replace(record, error=error.as_record())
        return Outcome('failed', attempt.with_result(failed, 'failed', error), error)


class _JobAttempt:
    """One attempt at a job: its record as it changes, and its notes."""

    def __init__(
        self, store: JobStore, work: StepWork, claim: Claim, record: JobRecord, emit: Emit, on_step: OnStep | None
    ) -> None:
        self._work = work
        self._emit = emit
        self._on_step = on_step
        self._claim = claim
        now = now_text()
        self._attempt = AttemptRecord(claim.owner.host, claim.owner.pid, claim.owner.nonce, now)
        self._log = AttemptLog(store.files, claim.folder, self._attempt)
        self._first = replace(record, date_started=record.date_started or now, not_before=None)
        self._steps = list(record.steps)
        self._index = {step.id: index for index, step in enumerate(record.steps)}
        self._paths = work_paths(record)
        self._joined = {group.output_path: group for group in groups_of(record) if len(group.steps) > 1}
        self._outputs = {output.get('path'): output for output in record.outputs}
        # The seconds of each stage of the current step that counts frames.
        self._stages: dict[str, float] = {}

    @property
    def record(self) -> JobRecord:
        """The current record of the job."""
        return replace(self._first, steps=tuple(self._steps), outputs=tuple(self._outputs.values()))

    def with_result(self, record: JobRecord, result: AttemptResult, error: FaceFusionError | None) -> JobRecord:
        """Return the record with this attempt marked as finished."""
        error_record = error.as_record() if error else None
        attempt = replace(self._attempt, date_finished=now_text(), result=result, error=error_record)
        others = tuple(entry for entry in record.attempts if entry.nonce != attempt.nonce)
        return replace(record, attempts=(*others, attempt))

    def steps(self, flag: StopFlag) -> FaceFusionError | None:
        """Process every step that is not completed; return the error of the job.

        Raises FileNotFoundError, and ClaimLost when the job was taken over before the attempt was visible.
        """
        self._log.begin()
        try:
            self._claim.check()
        except ClaimLost:
            # No record mentions this attempt, so no other process would remove its notes.
            self._log.remove()
            raise
        if not self._steps:
            return JobError('job-empty', f'the job {self._first.id} has no steps', hint='add one with job-add-step')
        failures: list[tuple[int, FaceFusionError]] = []
        try:
            # An earlier attempt completed the steps of these outputs but did not join their files.
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
                self._report_failure(index, error)
        except FaceFusionError as error:
            return as_failure(error)
        return self._summary(failures)

    def _report_failure(self, index: int, error: FaceFusionError) -> None:
        """Report a failed step at once, because a summary at the end cannot contain thousands of failures."""
        step = f'step {index} ({index + 1} of {len(self._steps)})'
        target = self._steps[index].args.get('target_path')
        text = f'job {self._first.id}: {step} failed, {target}: {error.message} [{error.reference}]'
        self._emit(Message('error', 'jobs', text + (f': {error.cause}' if error.cause else '')))

    def _summary(self, failures: Sequence[tuple[int, FaceFusionError]]) -> FaceFusionError | None:
        if len(failures) < 2:
            return failures[0][1] if failures else None
        shown = [f'step {index}: {error.message} [{error.reference}]' for index, error in failures[:5]]
        more = f' and {len(failures) - 5} more' if len(failures) > 5 else ''
        return JobError(
            'steps-failed',
            f'{len(failures)} of {len(self._steps)} steps of the job {self._first.id} failed',
            cause='; '.join(shown) + more,
            hint='the other steps are completed: fix the causes, then run the remaining steps with job-retry',
        )

    def _step(self, index: int, flag: StopFlag) -> FaceFusionError | None:
        """Process one step, note its result and return its error. Raises Interrupted, ClaimLost."""
        step, count = self._steps[index], len(self._steps)
        source = self._steps[self._index[step.remix_of]] if step.remix_of in self._index else None
        output = self._paths.get(step.id)
        if source is not None and source.status in ('failed', 'skipped'):
            text = f'the target of step {index} is the output of step {self._index[source.id]}, which failed'
            return self._end(index, replace(step, status='skipped'), InputError('step-skipped', text))
        step = self._steps[index] = replace(step, status='started', date_started=now_text(), date_finished=None)
        self._stages.clear()
        self._log.step_started(step, index, count)
        self._emit(StepStarted(self._first.id, index, output))
        if count > 1 or self._first.origin == 'job':
            self._emit(Message('info', 'jobs', f'job {self._first.id}: step {index} ({index + 1} of {count})'))
        start = time.monotonic()
        try:
            target = _target(step, source)
            report = self._work.run(self._first.id, step, target, output, self._progress, flag)
            output_file = _describe_file(output, flag) if output else None
        except (Interrupted, ClaimLost):
            self._steps[index] = replace(step, status='queued', date_started=None)
            raise
        except Exception as error:  # noqa: BLE001 - any error ends the step, not the worker
            failed = replace(step, status='failed', date_finished=now_text(), seconds=_since(start))
            return self._end(index, failed, as_failure(error))
        done = replace(step, status='completed', date_finished=now_text(), seconds=_since(start), output=output_file)
        stages = {name: round(seconds, 3) for name, seconds in self._stages.items() if seconds}
        report = {**report, 'stage_seconds': stages} if stages else dict(report)
        return self._end(index, replace(done, report=report, error=None), None)

    def _end(self, index: int, step: StepRecord, error: FaceFusionError | None) -> FaceFusionError | None:
        error_record = error.as_record() if error else None
        step = self._steps[index] = replace(step, error=error_record)
        self._log.step_ended(step)
        self._note_published(step)
        if step.status == 'completed':
            # The result is noted before the work files are removed, because a kill between the removal and the note
            # would cause the whole step to be repeated.
            self._work.forget(self._first.id, step)
        if self._on_step is not None:
            self._on_step(self._first.id, index, step)
        self._emit(StepFinished(self._first.id, index, step.status, error_record))
        return error

    def _publish(self, path: str | None, flag: StopFlag) -> None:
        """Join the files of several steps with the output ``path``, once all of them are completed."""
        group = self._joined.get(path or '')
        members = [self._steps[self._index[step.id]] for step in group.steps] if group else []
        ids = [step.id for step in members]
        is_complete = members and all(step.status == 'completed' for step in members)
        if group is not None and is_complete and self._outputs.get(group.output_path, {}).get('steps') != ids:
            try:
                self._work.join(self._first.id, members, Path(group.output_path), self._emit, flag)
            except FaceFusionError:
                raise
            except Exception as error:
                # The caller takes a FileNotFoundError for missing notes and so for a lost claim.
                raise as_failure(error) from error
            self._note_output({**_describe_file(group.output_path, flag), 'steps': ids})
            self._emit(Message('info', 'jobs', f'wrote {group.output_path} from {len(ids)} steps'))
        if self._joined:
            self._remove_joined()

    def _note_published(self, step: StepRecord) -> None:
        """Note the published file of a completed step, if not noted yet; no other step has the same output."""
        if step.status != 'completed' or step.output is None or step.output.get('path') != step.output_path:
            return
        noted = self._outputs.get(step.output_path, {})
        if noted.get('steps') != [step.id] or noted.get('sha256') != step.output.get('sha256'):
            self._note_output({**step.output, 'steps': [step.id]})

    def _note_output(self, output: Mapping[str, Any]) -> None:
        self._outputs[output['path']] = output
        self._log.published(output)

    def _remove_joined(self) -> None:
        """Remove the joined files of steps, except the targets of steps that are not completed."""
        targets = {step.remix_of for step in self._steps if step.status != 'completed'}
        for group in self._joined.values():
            if group.output_path not in self._outputs:
                continue
            for member in group.steps:
                step = self._steps[self._index[member.id]]
                if step.status == 'completed' and step.id not in targets and step.output is not None:
                    path = Path(str(step.output['path']))
                    for file in (path, sidecar_of(path)):
                        with suppress(OSError):
                            file.unlink()

    def _progress(self, event: Event) -> None:
        if isinstance(event, StageFinished) and event.stage in self._stages:
            self._stages[event.stage] += event.seconds
        if isinstance(event, StageProgress) and event.unit == 'frame':
            self._stages.setdefault(event.stage, 0.0)
            # A failure to note the progress must not fail the step, because its end is noted in any case.
            with suppress(JobError, FileNotFoundError):
                more = {'detail': event.detail, 'rate': event.rate, 'seconds_left': event.seconds_left}
                self._log.progress(event.stage, event.done, event.total, **more)
        self._emit(event)


def _end_of(outcome: Outcome) -> tuple[str, str]:
    """Return level and text of the last line in the log of an attempt."""
    if outcome.error is None:
        return 'info', outcome.state
    level = 'error' if outcome.state == 'failed' else 'warn'
    cause = f': {outcome.error.cause}' if outcome.error.cause else ''
    return level, f'{outcome.state}: {outcome.error.message} [{outcome.error.reference}]{cause}'


def _target(step: StepRecord, source: StepRecord | None) -> str | None:
    """Return the target of a step; for a remix, this is the output of the step ``source``."""
    if source is None:
        target = step.args.get('target_path')
        return target if isinstance(target, str) else None
    path = source.output.get('path') if source.output else None
    if not isinstance(path, str):
        raise InternalError('step-without-file', 'the step whose output is the target wrote no file')
    return path


def _describe_file(path: str, flag: StopFlag) -> dict[str, Any]:
    """Return path, size in bytes and SHA-256 of a file. Raises Interrupted, InternalError output-vanished."""
    try:
        return {'path': path, 'size': Path(path).stat().st_size, 'sha256': file_sha256(Path(path), flag)}
    except OSError as error:
        raise InternalError('output-vanished', f'{path} cannot be read', cause=str(error)) from None


def _since(start: float) -> float:
    return round(time.monotonic() - start, 3)
