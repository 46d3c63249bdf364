"""The steps of a job: add, insert, remove and remix them, and find the steps that must run.

All functions here are pure functions of records. Indexes count from 0; any negative index means the last step, as
in FaceFusion 3.8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import JobError
from facefusion.jobs.files import is_there
from facefusion.jobs.naming import comparable, step_output_path
from facefusion.jobs.record import MAX_STEPS, JobRecord, Json, StepRecord, now_text


class Group(NamedTuple):
    """The steps that contribute to one published file, in their order."""

    output_path: str
    steps: tuple[StepRecord, ...]


def new_step(args: Mapping[str, Any], inputs: Sequence[Json] = (), remix_of: str | None = None) -> StepRecord:
    """Return a drafted step with a new id; ``inputs`` describes its files."""
    return StepRecord(os.urandom(4).hex(), dict(args), remix_of=remix_of, inputs=tuple(inputs))


def add_step(record: JobRecord, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """Return the job with a new last step. Raises JobError job-too-long."""
    return _with_steps(record, (*record.steps, new_step(args, inputs)))


def insert_step(record: JobRecord, index: int, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """Return the job with a new step before the one at ``index``. Raises JobError step-unknown, job-too-long."""
    at = step_index(record, index)
    return _with_steps(record, (*record.steps[:at], new_step(args, inputs), *record.steps[at:]))


def remix_step(record: JobRecord, index: int, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """Return the job with a new last step whose target is the output of the step at ``index``.

    Raises JobError step-unknown, step-without-output, job-too-long.
    """
    at = step_index(record, index)
    source = record.steps[at]
    if not source.output_path:
        raise JobError(
            'step-without-output',
            f'step {at} of the job {record.id} has no output that another step could use',
            hint='add that step again, with an output path (-o/--output-path)',
        )
    target = step_output_path(source.output_path, record.id, at)
    return _with_steps(record, (*record.steps, new_step({**args, 'target_path': target}, inputs, source.id)))


def remove_step(record: JobRecord, index: int) -> JobRecord:
    """Return the job without the step at ``index``. Raises JobError step-unknown, step-in-use."""
    at = step_index(record, index)
    users = [str(number) for number, step in enumerate(record.steps) if step.remix_of == record.steps[at].id]
    if users:
        raise JobError(
            'step-in-use',
            f'step {at} of the job {record.id} cannot be removed',
            cause='its output is the target of step ' + ', '.join(users),
            hint='remove that step first',
        )
    return _with_steps(record, (*record.steps[:at], *record.steps[at + 1 :]))


def step_index(record: JobRecord, index: int) -> int:
    """Return the index of a step; a negative ``index`` selects the last one. Raises JobError step-unknown."""
    count = len(record.steps)
    at = count - 1 if index < 0 else index
    if not 0 <= at < count:
        cause = f'it has {count} steps, counted from 0' if count else 'it has no steps'
        raise JobError(
            'step-unknown', f'the job {record.id} has no step {index}', cause=cause, hint='add steps with job-add-step'
        )
    return at


def submitted(record: JobRecord) -> JobRecord:
    """Return the job as queued. Raises JobError job-empty, step-incomplete.

    Descriptions of input files that the job itself writes are dropped, because those files will change.
    """
    if not record.steps:
        raise JobError(
            'job-empty', f'the job {record.id} has no steps', hint='add one with job-add-step, then submit it again'
        )
    for index, step in enumerate(record.steps):
        missing = 'output' if not step.output_path else 'target' if not step.args.get('target_path') else ''
        if missing:
            raise JobError(
                'step-incomplete',
                f'step {index} of the job {record.id} has no {missing}',
                hint=f'remove it with job-remove-step, and add it again with --{missing}-path',
            )
    written = {
        comparable(path) for path in (*work_paths(record).values(), *(group.output_path for group in groups_of(record)))
    }
    steps = tuple(
        replace(_undone(step), inputs=tuple(entry for entry in step.inputs if comparable(entry['path']) not in written))
        for step in record.steps
    )
    return replace(record, steps=steps, date_submitted=now_text(), date_updated=now_text())


def requeued(record: JobRecord, *, from_scratch: bool = False, missing: bool = False) -> JobRecord:
    """Return the job with all unfinished steps queued, and completed steps whose file is missing but needed.

    ``from_scratch`` queues all steps; ``missing`` also queues those whose published file is missing.
    """
    unpublished = {path for group in groups_of(record) if missing and not is_there(path := group.output_path)}

    def is_done(step: StepRecord) -> bool:
        has_output = step.status == 'completed' and step.output is not None
        return has_output and not from_scratch and step.output_path not in unpublished

    steps = [step if is_done(step) else _undone(step) for step in record.steps]
    paths: set[str | None] = {group.output_path for group in groups_of(record) if _is_to_be_joined(record, group)}
    sources = set[str | None]()
    is_settled = False
    while not is_settled:
        todo = [step for step in steps if step.status == 'queued']
        # The file of a step is needed when it is joined with the file of a queued step, or is the target of a queued
        # step.
        paths |= {step.output_path for step in todo}
        sources |= {step.remix_of for step in todo}
        needed = [
            step for step in steps if step.status != 'queued' and (step.output_path in paths or step.id in sources)
        ]
        repeated = {step.id for step in needed if not _has_file(step)}
        steps = [_undone(step) if step.id in repeated else step for step in steps]
        is_settled = not repeated
    outputs = () if from_scratch else record.outputs
    return replace(record, steps=tuple(steps), outputs=outputs, error=None, date_finished=None, date_updated=now_text())


def groups_of(record: JobRecord) -> tuple[Group, ...]:
    """Return the published files of a job with their steps, in the order of their first steps."""
    members: dict[str, list[StepRecord]] = {}
    for step in record.steps:
        if step.output_path:
            members.setdefault(step.output_path, []).append(step)
    return tuple(Group(path, tuple(steps)) for path, steps in members.items())


def work_paths(record: JobRecord) -> dict[str, str]:
    """Return the file that each step with an output writes, by the id of the step.

    This is the published file if no other step contributes to it, otherwise a separate file named as in FaceFusion 3.8.
    """
    single = {group.output_path for group in groups_of(record) if len(group.steps) == 1}
    return {
        step.id: path if path in single else step_output_path(path, record.id, index)
        for index, step in enumerate(record.steps)
        if (path := step.output_path)
    }


def _with_steps(record: JobRecord, steps: tuple[StepRecord, ...]) -> JobRecord:
    if len(steps) > MAX_STEPS:
        raise JobError(
            'job-too-long', f'a job has at most {MAX_STEPS} steps', hint='add the other steps to a second job'
        )
    return replace(record, steps=steps, date_updated=now_text())


def _undone(step: StepRecord) -> StepRecord:
    no_results: Any = dict.fromkeys(('date_started', 'date_finished', 'seconds', 'output', 'error', 'report'))
    return replace(step, status='queued', **no_results)


def _is_to_be_joined(record: JobRecord, group: Group) -> bool:
    ids = [step.id for step in group.steps]
    published = any(output.get('path') == group.output_path and output.get('steps') == ids for output in record.outputs)
    return len(ids) > 1 and not published


def _has_file(step: StepRecord) -> bool:
    """Whether the file that a step wrote exists with its recorded size."""
    output = step.output or {}
    with suppress(OSError):
        return isinstance(output.get('path'), str) and Path(output['path']).stat().st_size == output.get('size')
    return False
