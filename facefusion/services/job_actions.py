"""Changes of jobs that commands and the page share."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from facefusion.errors import JobError
from facefusion.events import Emit, Message
from facefusion.jobs.files import is_there
from facefusion.jobs.record import JobRecord
from facefusion.jobs.states import check_move
from facefusion.jobs.steps import groups_of, requeued, submitted, work_paths
from facefusion.jobs.store import JobStore, busy
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.partial_files import remove_abandoned
from facefusion.steps.arguments import STEP_GROUPS

# Limits the duration of the check for missing files when a job is submitted.
_MOST_CHECKED_FILES = 200


def submit_job(store: JobStore, job_id: str, changes: Mapping[str, Any], emit: Emit) -> None:
    """Move one job to the queue; ``changes`` are fields of its record to set, such as ``priority``.

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
        record = submitted(replace(record, **changes))
        if record.steps != checked.steps:
            raise busy(job_id)
        claim.finish('queued', record)
    emit(Message('info', 'jobs', f'job {job_id} queued'))
    for path in _missing_files(checked):
        emit(Message('warn', 'jobs', f'job {job_id}: the file {path} does not exist yet'))


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


def requeue_job(store: JobStore, job_id: str, from_scratch: bool, emit: Emit) -> None:
    """Put a failed job back into the queue; ``from_scratch`` also repeats its completed steps.

    Raises JobError job-unknown, job-wrong-state, job-busy.
    """
    with store.edit(job_id, 'requeue') as (claim, record):
        again = requeued(record, from_scratch=from_scratch)
        claim.finish('queued', replace(again, retries_used=0, not_before=None))
    emit(Message('info', 'jobs', f'job {job_id} queued'))


def set_priority(store: JobStore, job_id: str, priority: int, emit: Emit) -> None:
    """Change the priority of a drafted or queued job. Raises JobError job-unknown, job-wrong-state, job-busy."""
    with store.edit(job_id, 'reorder') as (claim, record):
        claim.finish(claim.state, replace(record, priority=priority))
    emit(Message('info', 'jobs', f'job {job_id} has the priority {priority}'))


def delete_job(store: JobStore, job_id: str, emit: Emit) -> None:
    """Delete a job with its work files. Raises JobError job-unknown, job-wrong-state, job-busy."""
    folders: set[Path] = set()
    with suppress(JobError):
        folders = {Path(step.output_path).parent for step in store.open(job_id).record.steps if step.output_path}
    store.delete(job_id)
    for folder in folders:
        remove_abandoned(folder)
    emit(Message('info', 'jobs', f'job {job_id} deleted'))
