"""The changes of jobs that commands, the page and Python programs share: create, submit, requeue and delete."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from facefusion.errors import JobError
from facefusion.events import Emit, Message
from facefusion.jobs.adhoc_jobs import empty_record
from facefusion.jobs.files import is_there
from facefusion.jobs.identifier import check_job_id, new_job_id, peer_job_id
from facefusion.jobs.inputs import note_inputs
from facefusion.jobs.options import NotifyOptions, QueueOptions
from facefusion.jobs.record import JobRecord
from facefusion.jobs.states import check_move
from facefusion.jobs.steps import add_step, groups_of, requeued, submitted, work_paths
from facefusion.jobs.store import JobStore, busy, exists
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.partial_files import remove_abandoned
from facefusion.settings import Settings
from facefusion.steps.arguments import STEP_GROUPS

# Limits the duration of the check for missing files when a job is submitted.
_MOST_CHECKED_FILES = 200


def new_record(settings: Settings, job_id: str | None = None) -> JobRecord:
    """Return a job without steps, with the queue and notify options of ``settings``; by default with a new id.

    Raises UsageError for an invalid id.
    """
    queue = settings[QueueOptions]
    return replace(
        empty_record(),
        id=new_job_id('job') if job_id is None else check_job_id(job_id),
        priority=queue.priority,
        retries=queue.retries,
        retry_delay=queue.retry_delay,
        notify=settings[NotifyOptions].notify,
    )


def with_step(record: JobRecord, args: Mapping[str, Any]) -> JobRecord:
    """Return the job with a new last step of these frozen arguments, and a description of its input files."""
    return add_step(record, args, note_inputs(args))


def create_job(store: JobStore, record: JobRecord) -> None:
    """Add a drafted job. Raises JobError job-exists, also for the id that FaceFusion 3.8 gives to this name."""
    if store.find(peer_job_id(record.id)) is not None:
        raise exists(record.id)
    store.create(record)


def submit_job(store: JobStore, job_id: str, emit: Emit, changes: Mapping[str, Any] | None = None) -> None:
    """Move one job to the queue; ``changes`` are new values of fields of its record, such as the priority.

    Raises JobError job-empty, job-wrong-state, job-join, job-busy, OutputError output-name.
    """
    opened = store.open(job_id)
    check_move('submit', job_id, opened.state)
    checked = submitted(opened.record)
    for path in {*work_paths(checked).values(), *(group.output_path for group in groups_of(checked))}:
        check_names(Path(path))
    # This check precedes the claim because it reads complete videos; other processes take over a claim that is too old.
    if any(len(group.steps) > 1 and not _is_image(group.output_path) for group in groups_of(checked)):
        _check_joins(checked)
    with store.edit(job_id, 'submit') as (claim, record):
        record = submitted(replace(record, **(changes or {})))
        if record.steps != checked.steps:
            raise busy(job_id)
        claim.finish('queued', record)
    emit(Message('info', 'jobs', f'job {job_id} queued'))
    for path in _missing_files(checked):
        emit(Message('warn', 'jobs', f'job {job_id}: the file {path} does not exist yet'))


def requeue_job(store: JobStore, job_id: str, emit: Emit, *, from_scratch: bool = False) -> None:
    """Put a failed job back into the queue; ``from_scratch`` also repeats completed steps.

    Raises JobError job-unknown, job-wrong-state, job-broken, job-busy.
    """
    with store.edit(job_id, 'requeue') as (claim, record):
        again = requeued(record, from_scratch=from_scratch)
        claim.finish('queued', replace(again, retries_used=0, not_before=None))
    emit(Message('info', 'jobs', f'job {job_id} queued'))


def delete_job(store: JobStore, job_id: str, emit: Emit) -> None:
    """Delete a job that no process runs, and unfinished files beside its outputs.

    Raises JobError job-unknown, job-wrong-state, job-busy.
    """
    folders: set[Path] = set()
    with suppress(JobError):
        folders = {Path(step.output_path).parent for step in store.open(job_id).record.steps if step.output_path}
    store.delete(job_id)
    for folder in folders:
        remove_abandoned(folder)
    emit(Message('info', 'jobs', f'job {job_id} deleted'))


def _missing_files(record: JobRecord) -> list[str]:
    """Return up to 5 missing input files of the steps; outputs of other steps do not count."""
    outputs = {step.output_path for step in record.steps}
    inputs = [step.args.get('target_path') for step in record.steps if step.remix_of is None]
    inputs += [path for step in record.steps for path in step.args.get('source_paths') or ()]
    paths = [path for path in dict.fromkeys(inputs) if isinstance(path, str) and path not in outputs]
    return [path for path in paths[:_MOST_CHECKED_FILES] if not is_there(path)][:5]


def _is_image(path: str) -> bool:
    return Path(path).suffix.lower() in IMAGE_EXTENSIONS


def _check_joins(record: JobRecord) -> None:
    """Raise JobError job-join if the outputs of steps cannot be joined; loads libraries to probe the targets."""
    from facefusion.inference.options import ExecutionOptions
    from facefusion.settings import resolve
    from facefusion.steps.step_work import check_joins

    check_joins(record, resolve((*STEP_GROUPS, ExecutionOptions), {}, None, {}))
