"""The steps of a job: adding, inserting, removing, remixing them, and what may be left to do of them.

Pure functions on records. An index counts from 0; any negative one means the last step, as in FaceFusion 3.8.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from facefusion.errors import JobError
from facefusion.jobs.files import is_there
from facefusion.jobs.naming import comparable, step_output_path
from facefusion.jobs.record import MOST_STEPS, JobRecord, Json, StepRecord, now_text


class Group(NamedTuple):
    """The steps that work for one published file, in their order."""

    output_path: str
    steps: tuple[StepRecord, ...]


def new_step(args: Mapping[str, Any], inputs: Sequence[Json] = (), remix_of: str | None = None) -> StepRecord:
    """A drafted step with an id of its own; ``inputs`` is what was noted of its files."""
    return StepRecord(os.urandom(4).hex(), dict(args), remix_of=remix_of, inputs=tuple(inputs))


def add_step(record: JobRecord, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """The job with a step more at its end. Raises JobError job-too-long."""
    return _with_steps(record, (*record.steps, new_step(args, inputs)))


def insert_step(record: JobRecord, index: int, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """The job with a step before the one at ``index``. Raises JobError step-unknown, job-too-long."""
    at = step_index(record, index)
    return _with_steps(record, (*record.steps[:at], new_step(args, inputs), *record.steps[at:]))


def remix_step(record: JobRecord, index: int, args: Mapping[str, Any], inputs: Sequence[Json] = ()) -> JobRecord:
    """The job with a step at its end whose target is the output of the one at ``index``.

    Raises JobError step-unknown, step-without-output, job-too-long.
    """
    at = step_index(record, index)
    source = record.steps[at]
    if not source.output_path:
        raise JobError(
            'step-without-output',
            f'the step {at} of the job {record.id} has no output that another step could work on',
            hint='give the step an output, with -o/--output-path, when it is added',
        )
    target = step_output_path(source.output_path, record.id, at)
    return _with_steps(record, (*record.steps, new_step({**args, 'target_path': target}, inputs, source.id)))


def remove_step(record: JobRecord, index: int) -> JobRecord:
    """The job without the step at ``index``. Raises JobError step-unknown, step-in-use."""
    at = step_index(record, index)
    users = [str(number) for number, step in enumerate(record.steps) if step.remix_of == record.steps[at].id]
    if users:
        raise JobError(
            'step-in-use',
            f'the step {at} of the job {record.id} cannot be removed',
            cause='its output is the target of the step ' + ', '.join(users),
            hint='remove that step first',
        )
    return _with_steps(record, (*record.steps[:at], *record.steps[at + 1 :]))


def step_index(record: JobRecord, index: int) -> int:
    """The place of a step; any negative ``index`` is that of the last. Raises JobError step-unknown."""
    count = len(record.steps)
    at = count - 1 if index < 0 else index
    if not 0 <= at < count:
        cause = f'it has {count} steps, counted from 0' if count else 'it has no steps'
        raise JobError(
            'step-unknown', f'the job {record.id} has no step {index}', cause=cause, hint='add steps with job-add-step'
        )
    return at


def submitted(record: JobRecord) -> JobRecord:
    """The job as it lies in the queue. Raises JobError job-empty, step-incomplete.

    The notes of a file that a step of the job itself writes are dropped: that file is to change.
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
                f'the step {index} of the job {record.id} has no {missing}',
                hint=f'remove it with job-remove-step, and add it again with --{missing}-path',
            )
    made = {
        comparable(path) for path in (*work_paths(record).values(), *(group.output_path for group in groups_of(record)))
    }
    steps = tuple(
        replace(_undone(step), inputs=tuple(known for known in step.inputs if comparable(known['path']) not in made))
        for step in record.steps
    )
    return replace(record, steps=steps, date_submitted=now_text(), date_updated=now_text())


def requeued(record: JobRecord, *, from_scratch: bool = False, missing: bool = False) -> JobRecord:
    """The job with everything to do that is not done, ended steps whose files are gone and still needed included.

    ``from_scratch``: all of it; ``missing``: ended steps whose published file is gone, too.
    """
    gone = {path for group in groups_of(record) if missing and not is_there(path := group.output_path)}

    def stays(step: StepRecord) -> bool:
        return _is_done(step) and not from_scratch and step.output_path not in gone

    steps = [step if stays(step) else _undone(step) for step in record.steps]
    paths: set[str | None] = {group.output_path for group in groups_of(record) if _is_to_be_joined(record, group)}
    sources = set[str | None]()
    is_settled = False
    while not is_settled:
        todo = [step for step in steps if step.status == 'queued']
        # A step whose file is joined with one that is still to come, or is the target of one, is needed itself.
        paths |= {step.output_path for step in todo}
        sources |= {step.remix_of for step in todo}
        needed = [
            step for step in steps if step.status != 'queued' and (step.output_path in paths or step.id in sources)
        ]
        again = {step.id for step in needed if not _has_file(step)}
        steps = [_undone(step) if step.id in again else step for step in steps]
        is_settled = not again
    outputs = () if from_scratch else record.outputs
    return replace(record, steps=tuple(steps), outputs=outputs, error=None, date_finished=None, date_updated=now_text())


def groups_of(record: JobRecord) -> tuple[Group, ...]:
    """The published files of a job and the steps that work for each, in the order of their first steps."""
    members: dict[str, list[StepRecord]] = {}
    for step in record.steps:
        if step.output_path:
            members.setdefault(step.output_path, []).append(step)
    return tuple(Group(path, tuple(steps)) for path, steps in members.items())


def work_paths(record: JobRecord) -> dict[str, str]:
    """By the id of each step that has an output the file that it writes.

    That is the published one when the step works for it alone, else one of its own, named as FaceFusion 3.8 does.
    """
    alone = {group.output_path for group in groups_of(record) if len(group.steps) == 1}
    return {
        step.id: path if path in alone else step_output_path(path, record.id, index)
        for index, step in enumerate(record.steps)
        if (path := step.output_path)
    }


def _with_steps(record: JobRecord, steps: tuple[StepRecord, ...]) -> JobRecord:
    if len(steps) > MOST_STEPS:
        raise JobError(
            'job-too-long', f'a job holds up to {MOST_STEPS} steps', hint='make a second job of what is left'
        )
    return replace(record, steps=steps, date_updated=now_text())


def _undone(step: StepRecord) -> StepRecord:
    return replace(
        step,
        status='queued',
        date_started=None,
        date_finished=None,
        seconds=None,
        output=None,
        error=None,
        report=None,
    )


def _is_to_be_joined(record: JobRecord, group: Group) -> bool:
    ids = [step.id for step in group.steps]
    published = any(output.get('path') == group.output_path and output.get('steps') == ids for output in record.outputs)
    return len(ids) > 1 and not published


def _is_done(step: StepRecord) -> bool:
    return step.status == 'completed' and step.output is not None


def _has_file(step: StepRecord) -> bool:
    path = step.output.get('path') if step.output else None
    if not isinstance(path, str):
        return False
    try:
        return Path(path).stat().st_size == step.output.get('size') if step.output else False
    except OSError:
        return False
