"""Commands that create, submit and delete jobs: ``job-create``, ``job-submit(-all)``, ``job-delete(-all)``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from facefusion.cli.commands import Spec, no_arguments
from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import add_job_id, given_flags, job_id_of
from facefusion.errors import FaceFusionError, Interrupted, JobError, UsageError
from facefusion.events import Emit, Message
from facefusion.failures import as_job_failure
from facefusion.jobs.options import HaltOptions, NotifyOptions, QueueOptions
from facefusion.jobs.queue_order import set_priority
from facefusion.jobs.states import State
from facefusion.jobs.store import JobStore
from facefusion.jobs.worker_registry import has_worker
from facefusion.models.options import ModelOptions
from facefusion.options import describe, parse_item
from facefusion.safety.options import PolicyOptions
from facefusion.services.job_actions import create_job, delete_job, new_record, submit_job, with_step
from facefusion.services.option_groups import STORE_GROUPS
from facefusion.steps.arguments import STEP_GROUPS, freeze
from facefusion.stopping import StopFlag

STORED_GROUPS: tuple[type, ...] = (QueueOptions, NotifyOptions)
GROUPS: tuple[type, ...] = (*STEP_GROUPS, ModelOptions, PolicyOptions, *STORED_GROUPS, HaltOptions, *STORE_GROUPS)


def _configure_create(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser, required=False)
    parser.add_argument('--if-missing', action='store_true', help='do nothing when the job exists')


def _create(invocation: Invocation) -> int:
    """Create a drafted job and print its id; with step options on the command line it gets a first step."""
    settings, emit, store = invocation.settings, invocation.emit(), invocation.job_store()
    record = new_record(settings, job_id_of(invocation.arguments))
    given = given_flags(invocation.arguments, STEP_GROUPS)
    if given:
        if not {'target_path', 'output_path'} <= given.keys():
            raise UsageError(
                'step-incomplete',
                'a first step needs a target and an output',
                hint='add -t/--target and -o/--output, or remove all step options and use job-add-step afterwards',
            )
        record = with_step(record, freeze(settings, invocation.local_models(), emit).args)
    try:
        create_job(store, record)
    except JobError as error:
        if not (error.reference == 'job-exists' and invocation.arguments.if_missing):
            raise
        emit(Message('info', 'jobs', f'the job {record.id} exists already'))
    else:
        emit(Message('info', 'jobs', f'job {record.id} drafted'))
    print(record.id)
    return 0


def _submit(invocation: Invocation) -> int:
    """Put a drafted job into the queue."""
    store = invocation.job_store()
    _submit_one(invocation, store, store.resolve_id(job_id_of(invocation.arguments) or ''), invocation.emit())
    warn_without_worker(invocation, store, invocation.emit())
    return 0


def _submit_one(invocation: Invocation, store: JobStore, job_id: str, emit: Emit) -> None:
    submit_job(store, job_id, emit, given_flags(invocation.arguments, STORED_GROUPS))


def _configure_priority(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser)
    parser.add_argument('job_priority', type=_priority, metavar='PRIORITY', help='jobs of a higher priority run first')


def _priority(text: str) -> int:
    info = next(info for info in describe(QueueOptions) if info.key == 'priority')
    try:
        return int(parse_item(info, text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _prioritise(invocation: Invocation) -> int:
    """Change the priority of a drafted or queued job."""
    store, priority = invocation.job_store(), invocation.arguments.job_priority
    job_id = store.resolve_id(job_id_of(invocation.arguments) or '')
    set_priority(store, job_id, priority)
    invocation.emit()(Message('info', 'jobs', f'job {job_id} has the priority {priority}'))
    return 0


def warn_without_worker(invocation: Invocation, store: JobStore, emit: Emit) -> None:
    """Warn if no worker watches this store, and name the commands that run a queued job."""
    if not has_worker(store.root):
        command = invocation.on_this_store('job-run-all --watch')
        text = 'no worker watches this store: run the job with job-run, or start a worker with'
        emit(Message('warn', 'jobs', f'{text} `{command}`'))


def _submit_all(invocation: Invocation) -> int:
    """Put every drafted job into the queue."""
    store, emit = invocation.job_store(), invocation.emit()
    code = for_all(invocation, store, ('drafted',), lambda job_id: _submit_one(invocation, store, job_id, emit))
    warn_without_worker(invocation, store, emit)
    return code


def _delete(invocation: Invocation) -> int:
    """Delete a job in any state, unless a process has claimed it."""
    store = invocation.job_store()
    delete_job(store, store.resolve_id(job_id_of(invocation.arguments) or ''), invocation.emit())
    return 0


def _delete_all(invocation: Invocation) -> int:
    """Delete every job that no process has claimed."""
    store, emit = invocation.job_store(), invocation.emit()
    states: tuple[State, ...] = ('drafted', 'queued', 'failed', 'completed', 'running')
    return for_all(invocation, store, states, lambda job_id: delete_job(store, job_id, emit))


def for_all(
    invocation: Invocation,
    store: JobStore,
    states: Iterable[State],
    action: Callable[[str], object],
    flag: StopFlag | None = None,
) -> int:
    """Apply ``action`` to every job in these states, the oldest first; report failures and continue with the others.

    Returns 1 if a job failed, otherwise 0. Raises JobError jobs-none if there is no such job, the first failure with
    --halt-on-error, and Interrupted if ``flag`` is set.
    """
    emit, wanted = invocation.emit(), tuple(states)
    jobs = sorted(
        (wanted.index(job_file.state), _age(job_file.path), job_id)
        for job_id, job_file in store.job_files().items()
        if job_file.state in wanted
    )
    if not jobs:
        kind = f'{wanted[0]} job' if len(wanted) == 1 else 'job in the store'
        raise JobError('jobs-none', f'there is no {kind}', hint='run `facefusion job-list` to list all jobs')
    code = 0
    for _, _, job_id in jobs:
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


# FaceFusion 3.8 accepts these download options also for commands that only draft steps.
UNREAD_BY_DRAFTS = frozenset({'download_providers', 'offline'})
CREATE = Spec(
    (*STEP_GROUPS, ModelOptions, PolicyOptions, *STORED_GROUPS, *STORE_GROUPS),
    _configure_create,
    _create,
    UNREAD_BY_DRAFTS,
)
SUBMIT = Spec((*STORED_GROUPS, *STORE_GROUPS), add_job_id, _submit)
SUBMIT_ALL = Spec((*STORED_GROUPS, HaltOptions, *STORE_GROUPS), no_arguments, _submit_all)
PRIORITY = Spec(STORE_GROUPS, _configure_priority, _prioritise)
DELETE = Spec(STORE_GROUPS, add_job_id, _delete)
DELETE_ALL = Spec((HaltOptions, *STORE_GROUPS), no_arguments, _delete_all)
