"""Commands that change the steps of a drafted job: ``job-add-step``, ``-remix-``, ``-insert-``, ``-remove-``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from facefusion.cli.commands import Spec
from facefusion.cli.invocation import Invocation
from facefusion.cli.job_drafting import UNREAD_BY_DRAFTS
from facefusion.cli.parser import add_job_id, job_id_of
from facefusion.errors import UsageError
from facefusion.events import Emit, Message
from facefusion.jobs.inputs import note_inputs
from facefusion.jobs.record import JobRecord
from facefusion.jobs.steps import add_step, insert_step, remix_step, remove_step
from facefusion.models.options import ModelOptions
from facefusion.safety.options import PolicyOptions
from facefusion.services.option_groups import STORE_GROUPS
from facefusion.steps.arguments import STEP_GROUPS, freeze

GROUPS: tuple[type, ...] = (*STEP_GROUPS, ModelOptions, PolicyOptions, *STORE_GROUPS)


def _configure_indexed(parser: argparse.ArgumentParser) -> None:
    add_job_id(parser)
    parser.add_argument('step_index', type=int, metavar='STEP_INDEX', help='counted from 0; -1 is the last step')


def _add(invocation: Invocation) -> int:
    """Add a step at the end."""
    emit = invocation.emit()
    args = freeze(invocation.settings, invocation.local_models(), emit).args
    inputs = note_inputs(args)
    return _change(invocation, emit, lambda record: add_step(record, args, inputs), 'step added')


def _insert(invocation: Invocation) -> int:
    """Insert a step before another."""
    emit, index = invocation.emit(), invocation.arguments.step_index
    args = freeze(invocation.settings, invocation.local_models(), emit).args
    inputs = note_inputs(args)
    return _change(invocation, emit, lambda record: insert_step(record, index, args, inputs), 'step inserted')


def _remix(invocation: Invocation) -> int:
    """Add a step that processes the output of another step."""
    emit, index = invocation.emit(), invocation.arguments.step_index
    if 'target_path' in vars(invocation.arguments):
        raise UsageError(
            'remix-target',
            'job-remix-step takes no target',
            cause='its target is the output of the step STEP_INDEX',
            hint='remove -t/--target-path, or use job-add-step',
        )
    args = freeze(invocation.settings, invocation.local_models(), emit).args
    inputs = note_inputs(args, with_target=False)
    return _change(invocation, emit, lambda record: remix_step(record, index, args, inputs), f'{_named(index)} remixed')


def _remove(invocation: Invocation) -> int:
    """Remove a step."""
    index = invocation.arguments.step_index
    return _change(invocation, invocation.emit(), lambda record: remove_step(record, index), f'{_named(index)} removed')


def _named(index: int) -> str:
    return 'the last step' if index < 0 else f'step {index}'


def _change(invocation: Invocation, emit: Emit, change: Callable[[JobRecord], JobRecord], text: str) -> int:
    store = invocation.job_store()
    job_id = store.resolve_id(job_id_of(invocation.arguments) or '')
    with store.edit(job_id, 'edit') as (claim, record):
        changed = change(record)
        claim.finish('drafted', changed)
    emit(Message('info', 'jobs', f'job {job_id}: {text}; it has {len(changed.steps)} now'))
    return 0


ADD = Spec(GROUPS, add_job_id, _add, UNREAD_BY_DRAFTS)
INSERT = Spec(GROUPS, _configure_indexed, _insert, UNREAD_BY_DRAFTS)
REMIX = Spec(GROUPS, _configure_indexed, _remix, UNREAD_BY_DRAFTS | {'target_path'})
REMOVE = Spec(STORE_GROUPS, _configure_indexed, _remove)
