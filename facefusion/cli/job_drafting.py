"""The commands that make, submit and delete jobs: ``job-create``, ``job-submit``, ``job-delete`` and their kin."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from facefusion.cli.commands import Spec
from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_job_id, given_flags, job_id_of
from facefusion.errors import FaceFusionError, Interrupted, JobError, UsageError
from facefusion.events import Emit, Message
from facefusion.failures import as_job_failure
from facefusion.jobs.adhoc_jobs import empty_record
from facefusion.jobs.files import is_there
from facefusion.jobs.identifier import check_job_id, new_job_id, peer_job_id
from facefusion.jobs.inputs import note_inputs
from facefusion.jobs.options import HaltOptions, NotifyOptions, QueueOptions
from facefusion.jobs.record import JobRecord
from facefusion.jobs.states import State, check_move
from facefusion.jobs.steps import add_step, groups_of, submitted, work_paths
from facefusion.jobs.store import JobStore, busy, exists
from facefusion.jobs.worker_registry import has_worker
from facefusion.media.kinds import IMAGE_EXTENSIONS
from facefusion.models.options import ModelOptions
from facefusion.pipeline.file_names import check_names
from facefusion.pipeline.partial_files import remove_abandoned
from facefusion.safety.options import PolicyOptions
from facefusion.services.option_groups import STORE_GROUPS
from facefusion.steps.arguments import STEP_GROUPS, freeze
from facefusion.stopping import StopFlag

# Files whose being there is looked at when a job is submitted, which should not take long.
_MOST_LOOKED_FOR = 200
KEPT_GROUPS: tuple[type, ...] = (QueueOptions, NotifyOptions)
GROUPS: tuple[type, ...] = (*STEP_GROUPS, ModelOptions, PolicyOptions, *KEPT_GROUPS, HaltOptions, *STORE_GROUPS)


def _configure_create(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser, required=False)
    parser.add_argument('--if-missing', action='store_true', help='do nothing when there is a job of that id already')


def _create(invocation: Invocation) -> int:
    """Makes a drafted job, with a first step when target and output are given, and prints its id."""
    settings, emit, store = invocation.settings, invocation.emit(), invocation.job_store()
    named = job_id_of(invocation.arguments)
    job_id = new_job_id('job') if named is None else check_job_id(named)
    queue = settings[QueueOptions]
    record = replace(
        empty_record(),
        id=job_id,
        priority=queue.priority,
        retries=queue.retries,
        retry_delay=queue.retry_delay,
        notify=settings[NotifyOptions].notify,
    )
    given = given_flags(invocation.arguments, STEP_GROUPS)
    if given:
        if not {'target_path', 'output_path'} <= given.keys():
            raise UsageError(
                'step-incomplete',
                'a job can only be made with a first step when that has a target and an output',
                hint='give -t/--target and -o/--output, or no option of a step at all and then job-add-step',
            )
        args = freeze(settings, invocation.local_models(), emit).args
        record = add_step(record, args, note_inputs(args))
    try:
        if store.has_any(peer_job_id(job_id)):
            raise exists(job_id)
        store.create(record)
    except JobError as error:
        if not (error.reference == 'job-exists' and invocation.arguments.if_missing):
            raise
        emit(Message('info', 'jobs', f'there is a job {job_id} already'))
    else:
        emit(Message('info', 'jobs', f'job {job_id} drafted'))
    print(job_id)
    return 0


def _submit(invocation: Invocation) -> int:
    """Puts a drafted job into the queue."""
    store = invocation.job_store()
    submit_job(invocation, store, store.known_id(job_id_of(invocation.arguments) or ''), invocation.emit())
    warn_without_worker(invocation, store, invocation.emit())
    return 0


def submit_job(invocation: Invocation, store: JobStore, job_id: str, emit: Emit) -> None:
    """Moves one job to the queue.

    Raises JobError job-empty, job-wrong-state, job-join, job-busy, OutputError output-name.
    """
    opened = store.open(job_id)
    check_move('submit', job_id, opened.state)
    checked = submitted(opened.record)
    for path in {*work_paths(checked).values(), *(group.output_path for group in groups_of(checked))}:
        check_names(Path(path))
    # Before the job is held: whole clips are read for this, and a hold that lasts is ended by others.
    if any(len(group.steps) > 1 and not _is_picture(group.output_path) for group in groups_of(checked)):
        _check_joins(checked)
    with store.edit(job_id, 'submit') as (hold, record):
        record = submitted(_with_flags(invocation, record))
        if record.steps != checked.steps:
            raise busy(job_id)
        hold.finish('queued', record)
    emit(Message('info', 'jobs', f'job {job_id} queued'))
    for path in _missing_files(checked):
        emit(Message('warn', 'jobs', f'job {job_id}: there is no file {path} yet'))


def _missing_files(record: JobRecord) -> list[str]:
    """The first few files that steps read and that are not there; outputs of steps before do not count."""
    made = {step.output_path for step in record.steps}
    read = [step.args.get('target_path') for step in record.steps if step.remix_of is None]
    read += [path for step in record.steps for path in step.args.get('source_paths') or ()]
    wanted = [path for path in dict.fromkeys(read) if isinstance(path, str) and path not in made]
    return [path for path in wanted[:_MOST_LOOKED_FOR] if not is_there(path)][:5]


def _with_flags(invocation: Invocation, record: JobRecord) -> JobRecord:
    """The job with what was given now of the options that are kept with it."""
    return replace(record, **given_flags(invocation.arguments, KEPT_GROUPS))


def _is_picture(path: str) -> bool:
    return Path(path).suffix.lower() in IMAGE_EXTENSIONS


def _check_joins(record: JobRecord) -> None:
    """Probes the targets, which loads what a query does not need."""
    from facefusion.inference.options import ExecutionOptions
    from facefusion.settings import resolve
    from facefusion.steps.step_work import check_joins

    check_joins(record, resolve((*STEP_GROUPS, ExecutionOptions), {}, None, {}))


def warn_without_worker(invocation: Invocation, store: JobStore, emit: Emit) -> None:
    """Says what to do when nobody would take a queued job."""
    if not has_worker(store.root):
        command = invocation.on_this_store('job-run-all --watch')
        text = 'no worker watches this store: run the job with job-run, or start one with'
        emit(Message('warn', 'jobs', f'{text} `{command}`'))


def _configure_nothing(parser: argparse.ArgumentParser) -> None:
    return


def _submit_all(invocation: Invocation) -> int:
    """Puts every drafted job into the queue."""
    store, emit = invocation.job_store(), invocation.emit()
    code = for_all(invocation, store, ('drafted',), lambda job_id: submit_job(invocation, store, job_id, emit))
    warn_without_worker(invocation, store, emit)
    return code


def _delete(invocation: Invocation) -> int:
    """Removes a job, whatever its state, unless a process works on it."""
    store = invocation.job_store()
    _delete_one(store, store.known_id(job_id_of(invocation.arguments) or ''), invocation.emit())
    return 0


def _delete_one(store: JobStore, job_id: str, emit: Emit) -> None:
    folders: set[Path] = set()
    with suppress(JobError):
        folders = {Path(step.output_path).parent for step in store.open(job_id).record.steps if step.output_path}
    store.delete(job_id)
    for folder in folders:
        remove_abandoned(folder)
    emit(Message('info', 'jobs', f'job {job_id} deleted'))


def _delete_all(invocation: Invocation) -> int:
    """Removes every job on which no process works."""
    store, emit = invocation.job_store(), invocation.emit()
    states: tuple[State, ...] = ('drafted', 'queued', 'failed', 'completed', 'running')
    return for_all(invocation, store, states, lambda job_id: _delete_one(store, job_id, emit))


def for_all(
    invocation: Invocation,
    store: JobStore,
    states: Iterable[State],
    action: Callable[[str], object],
    flag: StopFlag | None = None,
) -> int:
    """Does something to every job in these states, the oldest first; a failure is said, and the others go on.

    Gives 1 when one failed. Raises JobError: jobs-none when there is no such job, and with --halt-on-error the first
    failure. Raises Interrupted when ``flag`` is set.
    """
    emit, wanted = invocation.emit(), tuple(states)
    found = sorted(
        (wanted.index(job_file.state), _age(job_file.path), job_id)
        for job_id, job_file in store.job_files().items()
        if job_file.state in wanted
    )
    if not found:
        kind = f'{wanted[0]} job' if len(wanted) == 1 else 'job in the store'
        raise JobError('jobs-none', f'there is no {kind}', hint='facefusion job-list shows all jobs')
    code = 0
    for _, _, job_id in found:
        if flag is not None:
            flag.check()
        try:
            action(job_id)
        except FaceFusionError as error:
            if isinstance(error, Interrupted) and flag is not None and flag.is_set():
                raise
            if invocation.settings[HaltOptions].halt_on_error:
                raise as_job_failure(error) from error
            named = '' if f'job {job_id} ' in error.message + ' ' else f'job {job_id}: '
            emit(Message('error', 'jobs', f'{named}{error.message} [{error.reference}]'))
            code = 1
    return code


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


CREATE = Spec((*STEP_GROUPS, ModelOptions, PolicyOptions, *KEPT_GROUPS, *STORE_GROUPS), _configure_create, _create)
SUBMIT = Spec((*KEPT_GROUPS, *STORE_GROUPS), add_job_id, _submit)
SUBMIT_ALL = Spec((*KEPT_GROUPS, HaltOptions, *STORE_GROUPS), _configure_nothing, _submit_all)
DELETE = Spec(STORE_GROUPS, add_job_id, _delete)
DELETE_ALL = Spec((HaltOptions, *STORE_GROUPS), _configure_nothing, _delete_all)
